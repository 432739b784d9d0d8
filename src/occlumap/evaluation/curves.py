"""Curves: what the score does as the pixels that a heatmap ranks first are hidden, or shown alone.

A heatmap ranks the pixels; equal values are ranked by chance, from a seed, and the curve is the mean over
three such rankings. A reference stands in for what is hidden (see `occlumap.evaluation.references`). Scores
are raw: nothing is normalised unless `Curve.normalised` is called.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlumap._checks import whole_number
from occlumap.classifiers import Classifier
from occlumap.errors import ArgumentError
from occlumap.evaluation.localisation import checked_heatmap
from occlumap.evaluation.references import Reference, check_image, hider
from occlumap.evaluation.scoring import target_scores
from occlumap.fills import Image

RANKINGS = 3
"""How many rankings of equal values a curve is the mean of."""

AREAS = (0.01, 0.05, 0.1, 0.2, 0.5)
"""The shares of the pixels at which sufficiency and comprehensiveness are taken (DeYoung et al. 2020)."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores of one class at growing shares of the pixels.

    `fractions`: (steps + 1,) float64 from 0 to 1, the share of pixels hidden or shown. `scores`:
    (steps + 1,) float64, in the classifier's own units.
    """

    fractions: NDArray[np.float64]
    scores: NDArray[np.float64]

    @property
    def auc(self) -> float:
        """Area under the curve over 0..1 by the trapezoid rule, in the classifier's units.

        >>> Curve(np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.5, 0.0])).auc
        0.5
        """
        heights = (self.scores[1:] + self.scores[:-1]) / 2
        return float((heights * np.diff(self.fractions)).sum())

    def normalised(self) -> "Curve":
        """The curve with its lower end at 0 and its upper end at 1; ArgumentError when they are equal.

        One end is the score of the image, the other that of the reference, so curves of one image and one
        reference keep their order.
        """
        low, high = sorted((float(self.scores[0]), float(self.scores[-1])))
        if low == high:
            raise ArgumentError(
                "expected a curve whose ends differ, got the same score for the image and for the reference; "
                "such a curve has no scale of its own: use the raw scores"
            )
        return Curve(self.fractions, (self.scores - low) / (high - low))


def deletion(
    classifier: Classifier,
    image: Image,
    heatmap: ArrayLike,
    target: int,
    reference: Reference = "blur",
    steps: int = 32,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Curve:
    """The score as the pixels of highest attribution are hidden first (Petsiuk et al. 2018, RISE).

    scores[k] = score(image with the k / steps of its pixels that rank highest from the reference).

    `classifier`: from uint8 (n, H, W, 3) to scores (n, classes). `image`: uint8 (H, W, 3), as the classifier
    gets it. `heatmap`: (H, W). `target`: a class index. `reference`: what is shown instead, the name of one, an
    image, or f(image, mask) -> image. `steps`: equal shares of the pixels, which give steps + 1 scores. `seed`:
    of the ranking of equal values and of the noise in references.

    `.auc`: in the range of the scores (0..1 for probabilities), lower is better. Costs steps + 1 calls, three times
    that where values are equal.

    Raises ArgumentError for a heatmap of another shape or with values that are not finite; ImageError,
    TargetError, ClassifierError, ScoreError as `explain` does.
    """
    counts = _counts(image, steps)
    return _curve(classifier, image, heatmap, target, reference, counts, seed, batch_size, _first)


def insertion(
    classifier: Classifier,
    image: Image,
    heatmap: ArrayLike,
    target: int,
    reference: Reference = "blur",
    steps: int = 32,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Curve:
    """The score as the pixels of highest attribution are shown first (Petsiuk et al. 2018, RISE).

    scores[k] = score(reference with the k / steps of the image's pixels that rank highest), so the curve starts from
    the reference and ends with the image. Arguments, calls and errors as `deletion` has them. `.auc`: in the
    range of the scores (0..1 for probabilities), higher is better.
    """
    counts = _counts(image, steps)
    return _curve(classifier, image, heatmap, target, reference, counts, seed, batch_size, _all_but_first)


def symmetric_relevance_gain(
    classifier: Classifier,
    image: Image,
    heatmap: ArrayLike,
    target: int,
    reference: Reference = "blur",
    steps: int = 32,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> float:
    """Insertion AUC - deletion AUC with the same reference: SRG (Bluecher et al., TMLR 2024).

    Between -1 and 1 for probabilities, 0 on average for a ranking by chance; higher is better. The two curves
    start and end at the same two scores, so what the reference itself does to the score cancels out: insertion
    AUC is the area under LeRF, deletion AUC that under MoRF. Arguments and errors as `deletion` has them.
    """
    ends = (classifier, image, heatmap, target, reference, steps)
    inserted = insertion(*ends, seed=seed, batch_size=batch_size)
    return inserted.auc - deletion(*ends, seed=seed, batch_size=batch_size).auc


morf = deletion
"""Pixel flipping, most relevant first (Samek et al. 2017): another name for `deletion`."""


def lerf(
    classifier: Classifier,
    image: Image,
    heatmap: ArrayLike,
    target: int,
    reference: Reference = "blur",
    steps: int = 32,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Curve:
    """Pixel flipping, least relevant first (Samek et al. 2017): `insertion` read from its end; higher is better.

    What is left when the least relevant share f is hidden is the most relevant share 1 - f. `.auc` in the range of
    the scores, as `insertion` has it.
    """
    ends = (classifier, image, heatmap, target, reference, steps)
    inserted = insertion(*ends, seed=seed, batch_size=batch_size)
    return Curve(inserted.fractions, inserted.scores[::-1])


def comprehensiveness(
    classifier: Classifier,
    image: Image,
    heatmap: ArrayLike,
    target: int,
    reference: Reference = "blur",
    areas: Sequence[float] = AREAS,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """What hiding the highest `areas` (shares of the pixels) costs, (areas,): score - score without them.

    Between -1 and 1 for probabilities, higher is better; the usual summary is the mean (DeYoung et al. 2020, ERASER,
    from rationales in text). Raises ArgumentError for areas that are no shares, and what `deletion` raises.
    """
    counts = _area_counts(image, areas)
    curve = _curve(classifier, image, heatmap, target, reference, counts, seed, batch_size, _first)
    costs: NDArray[np.float64] = curve.scores[0] - curve.scores[1:]
    return costs


def sufficiency(
    classifier: Classifier,
    image: Image,
    heatmap: ArrayLike,
    target: int,
    reference: Reference = "blur",
    areas: Sequence[float] = AREAS,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """What showing nothing but the highest `areas` costs, (areas,): score - score of them alone.

    Between -1 and 1 for probabilities, lower is better; the usual summary is the mean (DeYoung et al. 2020, ERASER).
    Errors as `comprehensiveness` has them.
    """
    shown = _area_counts(image, areas)[1:]
    counts = [image.shape[0] * image.shape[1], *shown]
    curve = _curve(classifier, image, heatmap, target, reference, counts, seed, batch_size, _all_but_first)
    costs: NDArray[np.float64] = curve.scores[0] - curve.scores[1:]
    return costs


def rankings(heatmap: ArrayLike, seed: int = 0) -> list[NDArray[np.int64]]:
    """Ranks (H, W) of the pixels, 0 for the highest value; equal values by chance, three times over.

    One ranking where no two values are equal: the others would be the same.

    >>> rankings([[0.5, 2.0], [1.0, -1.0]])
    [array([[2, 0],
           [1, 3]])]
    """
    values = np.asarray(heatmap, np.float64)
    flat = values.ravel()
    tied = len(np.unique(flat)) < len(flat)
    found = []
    for number in range(RANKINGS if tied else 1):
        shuffled = np.random.default_rng([seed, number]).permutation(len(flat))
        order = shuffled[np.argsort(-flat[shuffled], kind="stable")]
        ranks = np.empty(len(flat), np.int64)
        ranks[order] = np.arange(len(flat))
        found.append(ranks.reshape(values.shape))
    return found


def _first(ranks: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    return ranks < count


def _all_but_first(ranks: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    return ranks >= count


def _counts(image: Image, steps: int) -> list[int]:
    """How many pixels make k of `steps` equal shares, k = 0 to steps."""
    check_image(image)
    pixels = image.shape[0] * image.shape[1]
    whole_number("steps", steps, minimum=1, maximum=pixels)
    return [round(k * pixels / steps) for k in range(steps + 1)]


def _area_counts(image: Image, areas: Sequence[float]) -> list[int]:
    check_image(image)
    shares = np.array(areas, dtype=object)
    if (
        shares.ndim != 1
        or not len(shares)
        or not all(isinstance(share, Real) and 0 < float(share) <= 1 for share in shares)
    ):
        raise ArgumentError(f"expected areas as shares of the pixels above 0 and up to 1, got {areas!r}")
    return [0, *(max(1, round(area * image.shape[0] * image.shape[1])) for area in areas)]


def _curve(
    classifier: Classifier,
    image: Image,
    heatmap: ArrayLike,
    target: int,
    reference: Reference,
    counts: Sequence[int],
    seed: int,
    batch_size: int,
    hidden: Callable[[NDArray[np.int64], int], NDArray[np.bool_]],
) -> Curve:
    """Scores with the pixels that `hidden(ranks, count)` gives hidden, mean over the rankings."""
    whole_number("seed", seed, minimum=0)
    ranked = rankings(checked_heatmap(heatmap, image.shape[:2]), seed)
    hide = hider(reference, image, seed)
    images = (hide(hidden(ranks, count)) for ranks in ranked for count in counts)
    scores = target_scores(classifier, images, target, batch_size)
    fractions = np.array(counts, np.float64) / (image.shape[0] * image.shape[1])
    return Curve(fractions, scores.reshape(len(ranked), len(counts)).mean(axis=0))
