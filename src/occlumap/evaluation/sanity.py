"""Sanity checks: does a heatmap change when it must, and stay when it must?

A method is here a function `(image, classifier, target, calls, seed) -> heatmap`. The checks compare two of
its heatmaps, so each is one line for the caller:

- another classifier: `similarity(heatmap, method(image, randomised_outputs(classifier, 1), target, calls, seed))`
- another class: `similarity(heatmap, method(image, classifier, other_class(...), calls, seed))`
- the same again: `repeatability(heatmap, method(image, classifier, target, calls, another_seed))`
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlumap.classifiers import Classifier, name_of, score
from occlumap.errors import ScoreError, TargetError
from occlumap.evaluation.localisation import checked_heatmap
from occlumap.evaluation.references import check_image
from occlumap.evaluation.scoring import check_target
from occlumap.fills import Image


class RandomisedOutputs:
    """A classifier whose class columns are another's in a random order: see `randomised_outputs`."""

    def __init__(self, classifier: Classifier, seed: int):
        self._classifier, self._seed = classifier, seed
        self.name = f"randomised-{seed}:{name_of(classifier)}"

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Scores of the batch, (n, classes), their columns permuted."""
        scores = score(self._classifier, batch)
        if scores.shape[1] < 2:
            raise ScoreError(
                f"expected two classes or more to permute, got 1 from {name_of(self._classifier)!r}; with scores "
                "of one class there is no other to confuse it with"
            )
        return scores[:, self.columns(scores.shape[1])]

    def columns(self, classes: int) -> NDArray[np.int64]:
        """Which column of the original stands in each column: one random cycle, so none stays in its place."""
        cycle = np.random.default_rng(self._seed).permutation(classes)
        source = np.empty(classes, np.int64)
        source[cycle] = np.roll(cycle, 1)
        return source

    def __getattr__(self, name: str) -> Any:
        if name in ("classes", "input_size"):
            return getattr(self._classifier, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def randomised_outputs(classifier: Classifier, seed: int) -> RandomisedOutputs:
    """`classifier` with its class columns permuted, no column in its own place; the same for the same seed.

    A heatmap of class t must change, as what is now called t is another class's score: compare both by
    `similarity`. Low is good, near 1 means that the heatmap shows the photograph and not the classifier; below
    0 is no fault, as probabilities of classes compete. Class names and input size stay; calls are the
    original's, one for one. A permutation of the classifier's outputs stands in for the permuted labels and
    weights of the paper, which a black box does not let us touch.

    Its calls raise what `occlumap.classifiers.score` raises, and ScoreError for a single class.

    Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018.

    >>> def three(batch):
    ...     return np.tile([0.1, 0.2, 0.7], (len(batch), 1))
    >>> randomised_outputs(three, seed=0)(np.zeros((1, 2, 2, 3), np.uint8))
    array([[0.7, 0.1, 0.2]])
    """
    return RandomisedOutputs(classifier, seed)


def other_class(classifier: Classifier, image: Image, target: int) -> int:
    """The class that `classifier` scores highest in `image`, uint8 (H, W, 3), after `target`; one call.

    Its heatmap should differ from the target's; compare both by `similarity`, lower is better. The runner-up,
    as a class without any score has no evidence to show; it may share evidence with the target (two breeds
    of dog), so compare methods on the same photographs, rather than with 0. On a `mosaic` take the class of
    another quadrant instead: its evidence lies elsewhere for certain. Ties go to the lower index.

    Raises ImageError for another image, TargetError for a class that does not exist or is the only one, and what
    `occlumap.classifiers.score` raises.
    """
    check_image(image)
    (scores,) = score(classifier, image[None].copy())  # it may change its batch
    if len(scores) < 2:
        raise TargetError(f"expected a classifier with another class, got {name_of(classifier)!r} with one")
    check_target(target, len(scores))
    scores[target] = -np.inf
    return int(scores.argmax())


def similarity(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's rank correlation of two heatmaps (H, W) over their pixels, ties by their average rank.

    -1..1; 1 for the same ranking of pixels, so a rising function of the values (a factor, a square root)
    changes nothing. nan when either is constant: it ranks no pixel before another, and both 0 and 1 would
    be a claim; count such heatmaps apart.

    Raises ArgumentError for heatmaps that are not (H, W) of finite numbers or differ in shape. Needs SciPy
    (extra `benchmark`).

    >>> round(similarity([[1, 2, 3]], [[10, 20, 15]]), 9)
    0.5
    """
    values = checked_heatmap(first)
    others = checked_heatmap(second, values.shape)
    if np.ptp(values) == 0 or np.ptp(others) == 0:
        return float("nan")
    from scipy.stats import spearmanr

    return float(spearmanr(values, others, axis=None).statistic)


@dataclass(frozen=True)
class Repeatability:
    """How two heatmaps of the same thing differ.

    `difference`: the largest absolute difference of a pixel, in the heatmap's unit; 0 or more, lower is better,
    0 for equal heatmaps. `spearman`: their `similarity`, higher is better, 1 for the same ranking, nan when
    either is constant.
    """

    difference: float
    spearman: float


def repeatability(first: ArrayLike, second: ArrayLike) -> Repeatability:
    """How much two heatmaps (H, W) of the same thing differ: made with another seed, or another batch size.

    Between batch sizes a method owes a difference of 0; between seeds it shows how much of the heatmap is chance.
    Raises ArgumentError as `similarity` does. Needs SciPy (extra `benchmark`).

    >>> repeatability([[0, 1], [2, 3]], [[0, 1], [2, 3.5]]).difference
    0.5
    """
    values = checked_heatmap(first)
    others = checked_heatmap(second, values.shape)
    return Repeatability(float(np.abs(values - others).max()), similarity(values, others))
