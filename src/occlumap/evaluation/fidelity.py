"""Fidelity: does a heatmap, summed over a part of the image, say what hiding that part costs?

What hiding costs does not depend on the heatmap, so it is measured once for a photograph and judges every
method:

    regions = random_regions(image.shape[:2])
    drops = region_drops(classifier, image, target, regions, references)  # one row for each reference
    region_prediction(heatmap, regions, drops[0])                         # no call

Two correlations of this file share a rule for where none exists: predictions that are all equal (of a heatmap
of zeros, for one) rank nothing and get 0, as leaving them out would reward silence; drops that are all equal
cannot tell heatmaps apart and give nan.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlumap._checks import whole_number
from occlumap.classifiers import Classifier
from occlumap.errors import ArgumentError
from occlumap.evaluation.localisation import checked_heatmap, checked_regions
from occlumap.evaluation.references import Mask, Reference, check_image, hider
from occlumap.evaluation.scoring import target_scores
from occlumap.fills import Image
from occlumap.regions import Region

AREAS = (0.01, 0.25)
"""Smallest and largest share of the image that a random region covers; log-uniform between."""
ASPECT = 2.0
"""A random rectangle's height over width, as shares of the image's sides, lies between 1 / ASPECT and ASPECT."""


def random_regions(shape: tuple[int, int], count: int = 200, seed: int = 0) -> NDArray[np.int64]:
    """`count` random rectangles of many sizes in an image `shape` (H, W): int64 (count, 4), as Regions.

    Area log-uniform from 1 % to 25 % of the image, height over width (as shares of the sides) log-uniform from
    1/2 to 2, place uniform among those inside the image, so that the middle is covered more often than the borders;
    whole pixels, at least one. The same for the same seed. Raises ArgumentError for a side or a count below 1.

    >>> random_regions((100, 100), count=2)
    array([[14, 34, 40, 78],
           [73, 84, 72, 94]])
    """
    rng = np.random.default_rng(seed)
    area, aspect = _log_uniform(rng, *AREAS, count), _log_uniform(rng, 1 / ASPECT, ASPECT, count)
    return _placed(rng, shape, np.sqrt(area * aspect) * shape[0], np.sqrt(area / aspect) * shape[1])


def random_squares(shape: tuple[int, int], count: int = 200, seed: int = 0) -> NDArray[np.int64]:
    """`count` random squares in an image `shape` (H, W): int64 (count, 4), as Regions; for `infidelity`.

    Side log-uniform from a tenth to half of the shorter side of the image, place uniform. The same for the
    same seed. Raises ArgumentError for a side or a count below 1.
    """
    rng = np.random.default_rng(seed)
    side = np.sqrt(_log_uniform(rng, *AREAS, count)) * min(shape)
    return _placed(rng, shape, side, side)


def random_pixels(shape: tuple[int, int], size: int, count: int = 100, seed: int = 0) -> Mask:
    """`count` random sets of `size` different pixels: bool (count, H, W), True in the set; for `sensitivity_n`.

    Uniform over all sets of that size. The same for the same seed. Raises ArgumentError for a size that is
    not from 1 to the number of pixels, and for a count below 1.

    >>> random_pixels((2, 3), size=2, count=4).sum(axis=(1, 2))
    array([2, 2, 2, 2])
    """
    pixels = shape[0] * shape[1]
    whole_number("size", size, minimum=1, maximum=pixels)
    whole_number("count", count, minimum=1)
    rng = np.random.default_rng(seed)
    sets = np.zeros((count, pixels), np.bool_)
    for row in sets:
        row[rng.choice(pixels, size, replace=False)] = True
    return sets.reshape(count, *shape)


def region_drops(
    classifier: Classifier,
    image: Image,
    target: int,
    regions: ArrayLike,
    references: Sequence[Reference],
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """What hiding each of n regions costs the class's score: float64 (references, n), one row a reference.

    drop = score(image) - score(image with the region's pixels from the reference); below 0 where hiding
    helps. `image`: uint8 (H, W, 3); `regions`: (n, 4); `references`: names, images, or functions
    `(image, mask) -> image`, see `occlumap.evaluation.references.hider`: for a fair judgement ones that no
    judged method used as a fill. Calls: 1, and n for each reference; the same drops for any batch size, as
    far as the classifier gives the same scores.

    Raises ImageError for an image or reference that is none, ArgumentError for no reference or regions that
    are none, empty or outside, and what `target_scores` raises.
    """
    check_image(image)
    bounds = checked_regions(regions, image.shape)
    masks = (_region_mask(image.shape, row) for row in bounds.tolist())
    return _drops(classifier, image, target, masks, references, batch_size)


def pixel_drops(
    classifier: Classifier,
    image: Image,
    target: int,
    sets: Mask,
    references: Sequence[Reference],
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """What hiding each of n sets of pixels costs: as `region_drops`, for `sets` bool (n, H, W), True = hidden."""
    check_image(image)
    return _drops(classifier, image, target, _checked_sets(sets, image.shape[:2]), references, batch_size)


@dataclass(frozen=True)
class RegionPrediction:
    """How well a heatmap's sum over a region predicts what hiding it costs; see `region_prediction`."""

    spearman: float
    r2: float


def region_prediction(heatmap: ArrayLike, regions: ArrayLike, drops: ArrayLike) -> RegionPrediction:
    """How well the heatmap's sum over each region predicts the true drop, over n regions.

    `spearman`: rank correlation of sums and drops, ties by average rank, -1..1. `r2`: the share of the
    drops' variance that the best line through the sums explains, among lines with a slope of 0 or more:
    max(Pearson's r, 0) squared, 0..1. Higher is better for both, and both are equal for heatmaps that differ
    by a positive factor. Equal sums give 0 and 0, equal drops nan and nan.

    Large regions cost more, whatever the heatmap: a constant heatmap, which sums to a region's area, scores well
    above 0. Read the figures beside that control's. A true additive classifier's weights get 1 and 1.

    `heatmap`: (H, W); `regions`: (n, 4), n >= 2; `drops`: (n,), one row of `region_drops` for these regions.
    Raises ArgumentError for a heatmap that is not (H, W) of finite numbers, regions that are fewer than two,
    empty or outside, and drops that are not finite or not one for each region. Needs SciPy (extra `benchmark`).

    The test of this project; the correlation of summed attribution and drop is Ancona et al.'s (2018) and
    Bhatt et al.'s ("Evaluating and Aggregating Feature-based Model Explanations", IJCAI 2020), over regions
    instead of scattered pixels.

    >>> weights = np.array([[4.0, 1.0], [0.0, 2.0]])
    >>> regions = [(0, 1, 0, 1), (0, 1, 0, 2), (0, 2, 1, 2)]
    >>> found = region_prediction(weights, regions, [4, 5, 3])
    >>> round(found.spearman, 9), round(found.r2, 9)
    (1.0, 1.0)
    """
    sums, costs = _region_sums_and_drops(heatmap, regions, drops, minimum=2)
    return RegionPrediction(_spearman(sums, costs), _positive(_pearson(sums, costs)) ** 2)


def sensitivity_n(heatmap: ArrayLike, sets: Mask, drops: ArrayLike) -> float:
    """Sensitivity-n: Pearson's correlation of the heatmap's sum over n pixels and the drop of hiding them.

    corr over the sets S of sum(heatmap[S]) and score(image) - score(image with S hidden); -1..1, higher is
    better, 1 for every n only for a heatmap that adds up as the classifier does. Equal for heatmaps that
    differ by a positive factor or a constant. Equal sums give 0, equal drops nan. It depends on n: the paper
    plots it for n from 1 to 80 % of the pixels.

    `heatmap`: (H, W); `sets`: bool (m, H, W), m >= 2, all of n pixels, from `random_pixels`;
    `drops`: (m,), one row of `pixel_drops` for these sets. Raises ArgumentError for a heatmap that is not (H, W)
    of finite numbers, sets of another shape or of different sizes or without a pixel or fewer than two, and
    drops that are not finite or not one for each set.

    Ancona et al., "Towards better understanding of gradient-based attribution methods for Deep Neural
    Networks", ICLR 2018. The paper hides pixels with 0; here the reference is the caller's.
    """
    values = checked_heatmap(heatmap)
    masks = _checked_sets(sets, values.shape)
    sizes = np.unique(masks.sum(axis=(1, 2)))
    if len(sizes) > 1:
        raise ArgumentError(
            f"expected sets of equally many pixels, got {sizes[0]} to {sizes[-1]}; make them with random_pixels, "
            "one size at a time"
        )
    costs = _checked_drops(drops, len(masks), minimum=2)
    return _pearson(np.array([values[mask].sum() for mask in masks]), costs)


def infidelity(heatmap: ArrayLike, regions: ArrayLike, drops: ArrayLike, *, scaled: bool) -> float:
    """Infidelity: mean squared error of the heatmap's sum over a region as a forecast of the drop.

    mean over regions of (b * sum(heatmap in the region) - drop)^2, the drop that of showing a reference in
    the region; 0 or more, lower is better, in squared units of the score. With `scaled=False` b is 1: for
    heatmaps in units of the score. With `scaled=True` b is the best factor of 0 or more,
    max(sum(s * drop) / sum(s^2), 0) over the sums s, so that the heatmap's unit does not matter: then it lies
    between 0 and mean(drop^2), which is what a heatmap of zeros gets.

    This is the paper's measure for the perturbation "square removal", I = (image - reference) inside a random
    square and 0 outside, and for a heatmap that is an attribution times input (as occlusion's is): the
    paper's product of I with the attribution is then the heatmap's sum over the square, all weights equal.
    The paper's optimal scaling (and Captum's `normalize=True`) may be negative; ours may not, else a
    heatmap turned upside down would score as well as the right one.

    `heatmap`: (H, W); `regions`: (n, 4), n >= 1, squares from `random_squares` as in the paper, or any;
    `drops`: (n,), one row of `region_drops` for these regions. Raises ArgumentError as `region_prediction` does.

    Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019.

    >>> infidelity([[1.0, 2.0]], [(0, 1, 0, 1), (0, 1, 0, 2)], [2, 6], scaled=False)
    5.0
    >>> infidelity([[1.0, 2.0]], [(0, 1, 0, 1), (0, 1, 0, 2)], [2, 6], scaled=True)
    0.0
    """
    sums, costs = _region_sums_and_drops(heatmap, regions, drops, minimum=1)
    if scaled and sums.any():
        unit = sums / np.abs(sums).max()  # its squares neither overflow nor vanish
        sums = _positive(float(unit @ costs) / float(unit @ unit)) * unit
    return float(np.mean((sums - costs) ** 2))


def _log_uniform(rng: np.random.Generator, low: float, high: float, count: int) -> NDArray[np.float64]:
    whole_number("count", count, minimum=1)
    return np.exp(rng.uniform(np.log(low), np.log(high), count))


def _placed(
    rng: np.random.Generator,
    shape: tuple[int, int],
    heights: NDArray[np.float64],
    widths: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Regions of these sizes, rounded to whole pixels of an image `shape` (H, W), at random places in it."""
    edges = []
    for name, length, sides in (("height", shape[0], heights), ("width", shape[1], widths)):
        whole_number(f"the {name} of shape", length, minimum=1)
        pixels = np.clip(np.rint(sides), 1, length).astype(np.int64)
        starts = rng.integers(0, length - pixels, endpoint=True)
        edges += [starts, starts + pixels]
    return np.stack(edges, axis=1)


def _drops(
    classifier: Classifier,
    image: Image,
    target: int,
    masks: Iterable[Mask],
    references: Sequence[Reference],
    batch_size: int,
) -> NDArray[np.float64]:
    """The drops (references, masks) of hiding each mask (H, W) by each reference."""
    if isinstance(references, str | np.ndarray) or callable(references) or not len(references):
        raise ArgumentError(
            f"expected a list of one reference or more, got {references!r:.80}; for a single one write [reference]"
        )
    hiders = [hider(reference, image) for reference in references]
    hidden = (hide(mask) for mask in masks for hide in hiders)
    scores = target_scores(classifier, chain([image], hidden), target, batch_size)
    return np.ascontiguousarray((scores[0] - scores[1:]).reshape(-1, len(hiders)).T)


def _region_mask(shape: tuple[int, ...], bounds: Sequence[int]) -> Mask:
    mask = np.zeros(shape[:2], np.bool_)
    mask[Region(*bounds).slices] = True
    return mask


def _region_sums_and_drops(
    heatmap: ArrayLike, regions: ArrayLike, drops: ArrayLike, *, minimum: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = checked_heatmap(heatmap)
    bounds = checked_regions(regions, values.shape)
    costs = _checked_drops(drops, len(bounds), minimum)
    # Each region on its own and as one row: where pixels are equal, so are sums, to the last bit. The rounding of
    # a summed-area table, or of another order of adding, would rank what is equal.
    return np.array([values[Region(*row).slices].ravel().sum() for row in bounds.tolist()]), costs


def _checked_drops(drops: ArrayLike, count: int, minimum: int) -> NDArray[np.float64]:
    costs = np.asarray(drops, np.float64)
    if count < minimum:
        raise ArgumentError(f"expected {minimum} regions or sets or more, got {count}; one shows no relation")
    if costs.shape != (count,):
        raise ArgumentError(
            f"expected one drop for each of {count} regions or sets, shape ({count},), got {costs.shape}; of the "
            "drops for several references hand in one row at a time, drops[0]"
        )
    if not np.isfinite(costs).all():
        raise ArgumentError("expected finite drops, got some that are not; measure them with region_drops")
    return costs


def _checked_sets(sets: Mask, shape: tuple[int, ...]) -> Mask:
    masks = np.asarray(sets)
    if masks.dtype != np.bool_ or masks.ndim != 3 or masks.shape[1:] != shape or not len(masks):
        raise ArgumentError(
            f"expected one set of pixels or more, bool (n, {shape[0]}, {shape[1]}), got {masks.dtype} of shape "
            f"{masks.shape}; make them with random_pixels(image.shape[:2], size)"
        )
    if not masks.any(axis=(1, 2)).all():
        raise ArgumentError("expected sets with a pixel in them, got an empty one; leave it out")
    return masks


def _positive(value: float) -> float:
    """`value`, 0 for a negative one; nan stays nan."""
    return 0.0 if value < 0 else value


def _spearman(sums: NDArray[np.float64], drops: NDArray[np.float64]) -> float:
    from scipy.stats import rankdata

    return _pearson(rankdata(sums), rankdata(drops))


def _pearson(sums: NDArray[np.float64], drops: NDArray[np.float64]) -> float:
    """Pearson's correlation; 0 where the sums are equal, nan where the drops are."""
    if np.ptp(drops) == 0:
        return float("nan")
    if np.ptp(sums) == 0:
        return 0.0
    return float(np.clip(np.corrcoef(_near_one(sums), _near_one(drops))[0, 1], -1, 1))


def _near_one(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`values`, not all 0, by a power of two, which rounds nothing: squares neither overflow nor vanish."""
    return np.ldexp(values, -int(np.frexp(np.abs(values).max())[1]))
