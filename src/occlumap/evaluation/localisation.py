"""Localisation: does a heatmap lie where its object is; no classifier is called.

A heatmap is worth here what its positive values are: what speaks against the class is taken as 0. One
without a positive value says nothing about the place; the shares then give it what a constant heatmap
gets, the area's share of the image, so that silence is neither better nor worse than a guess.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlumap._arrays import refuse_masked
from occlumap._checks import whole_number
from occlumap.errors import ArgumentError
from occlumap.evaluation.references import Mask, check_image
from occlumap.fills import Image
from occlumap.images import fit
from occlumap.regions import Region


def mosaic(photographs: Sequence[Image], classes: Sequence[int], size: tuple[int, int]) -> Image:
    """Four photographs of four classes in one image, uint8 (height, width, 3) with `size` (height, width).

    Photograph i stands in quadrant i: 0 top left, 1 top right, 2 bottom left, 3 bottom right. Its centre, in
    the quadrant's proportions, is brought to the quadrant's size (Pillow bicubic); of an odd side, the second
    half is the longer one. `classes[i]` is what photograph i shows: explain the mosaic for it, and judge the
    heatmap by `grid_pointing(heatmap, i)`.

    Raises ArgumentError for anything but four photographs and four different classes: with a class twice in
    the mosaic, two quadrants are right. Raises ImageError for a photograph that is not uint8 (H, W, 3).
    """
    if len(photographs) != 4 or len(classes) != 4:
        raise ArgumentError(
            f"expected four photographs and their four classes, got {len(photographs)} and {len(classes)}"
        )
    if len(set(classes)) != 4:
        raise ArgumentError(
            f"expected photographs of four different classes, got {list(classes)}; with a class twice, two "
            "quadrants are right: choose other photographs"
        )
    height, width = (whole_number("each side of size", side, minimum=2) for side in size)
    made = np.empty((height, width, 3), np.uint8)
    for index, photograph in enumerate(photographs):
        check_image(photograph, f"photograph {index}")
        quadrant = quadrant_of((height, width), index)
        made[quadrant.slices], _ = fit(photograph, (quadrant.height, quadrant.width))
    return made


def quadrant_of(shape: tuple[int, int], quadrant: int) -> Region:
    """Quadrant 0 (top left), 1 (top right), 2 (bottom left) or 3 (bottom right) of an image `shape` (H, W).

    >>> quadrant_of((4, 5), 1)
    Region(row_start=0, row_stop=2, col_start=2, col_stop=5)
    """
    whole_number("quadrant", quadrant, minimum=0, maximum=3)
    lower, right = divmod(quadrant, 2)
    rows, cols = ((0, length // 2, length) for length in shape)
    return Region(rows[lower], rows[lower + 1], cols[right], cols[right + 1])


def grid_pointing(heatmap: ArrayLike, quadrant: int) -> float:
    """Grid pointing game: the share of positive attribution in the right quadrant of a 2 x 2 `mosaic`.

    sum(max(heatmap, 0) in the quadrant) / sum(max(heatmap, 0)); 0..1, higher is better, 0.25 is chance, and
    what a heatmap without a positive value gets (on odd sides, the quadrant's share of the area). Equal for
    heatmaps that differ by a positive factor. `heatmap`: (H, W), of the mosaic, for the class of `quadrant`
    (0 top left, 1 top right, 2 bottom left, 3 bottom right).

    Raises ArgumentError for a heatmap that is not (H, W) of finite numbers, at least 2 x 2.

    Böhle, Fritz and Schiele, "Convolutional Dynamic Alignment Networks for Interpretable Classifications",
    CVPR 2021; Rao, Böhle and Schiele, "Towards Better Understanding Attribution Methods", CVPR 2022 (GridPG).

    >>> grid_pointing([[3, 1], [0, -5]], quadrant=0)
    0.75
    """
    values = checked_heatmap(heatmap)
    if min(values.shape) < 2:
        raise ArgumentError(
            f"expected a heatmap of a mosaic, at least 2 x 2, got shape {values.shape}; it has no four quadrants"
        )
    return energy_inside(values, box_mask(values.shape, [quadrant_of(values.shape, quadrant)]))


def pointing_game(heatmap: ArrayLike, mask: Mask, tolerance: float = 15) -> float:
    """Pointing game: whether the heatmap's maximum lies on the object, or within `tolerance` pixels of it.

    1 for a hit, 0 for a miss; where several pixels share the maximum, the share of them that hit, so that a
    constant heatmap gets what pointing at random would. Higher is better; the mean over photographs is the
    accuracy of the paper. Unchanged by anything that keeps the maximum where it is. Distances are Euclidean,
    from pixel centre to pixel centre; 15 is the paper's tolerance, on images of their full size.

    `heatmap`: (H, W); `mask`: bool (H, W), True on the object. Raises ArgumentError for a heatmap that is
    not (H, W) of finite numbers, for a mask of another shape or type or without a pixel, and for a negative
    tolerance. Needs SciPy (extra `benchmark`).

    Zhang et al., "Top-Down Neural Attention by Excitation Backprop", ECCV 2016.

    >>> mask = np.array([[True, False, False, False]])
    >>> pointing_game([[0, 0, 9, 0]], mask, tolerance=1), pointing_game([[0, 0, 9, 0]], mask, tolerance=2)
    (0.0, 1.0)
    """
    from scipy.ndimage import distance_transform_edt

    values = checked_heatmap(heatmap)
    inside = _checked_mask(mask, values.shape)
    if not tolerance >= 0:
        raise ArgumentError(f"expected a tolerance of 0 pixels or more, got {tolerance!r}")
    hits = distance_transform_edt(~inside)[values == values.max()] <= tolerance
    return float(hits.mean())


def energy_inside(heatmap: ArrayLike, mask: Mask) -> float:
    """Energy-based pointing game: the share of positive attribution inside a mask or box.

    sum(max(heatmap, 0) inside) / sum(max(heatmap, 0)); 0..1, higher is better, and the mask's share of the
    area is chance, and what a heatmap without a positive value gets. Equal for heatmaps that differ by a
    positive factor. The paper's heatmaps are never negative and its masks are boxes (`box_mask`).

    `heatmap`: (H, W); `mask`: bool (H, W), True on the object. Raises ArgumentError for a heatmap that is
    not (H, W) of finite numbers, and for a mask of another shape or type or without a pixel.

    Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", CVPR
    Workshops 2020.

    >>> energy_inside([[3, 1], [0, -5]], np.array([[False, True], [True, True]]))
    0.25
    """
    values = checked_heatmap(heatmap)
    inside = _checked_mask(mask, values.shape)
    positive = np.maximum(values, 0)
    if not positive.any():
        return float(inside.mean())
    positive /= positive.max()  # so that no sum overflows, nor all of it vanishes
    within, without = float(positive[inside].sum()), float(positive[~inside].sum())
    return within / (within + without)


def box_mask(shape: tuple[int, int], boxes: Sequence[Region] | ArrayLike) -> Mask:
    """A mask, bool `shape` (H, W), True inside any of `boxes`: rectangles as a Region has them, (n, 4).

    Raises ArgumentError when there is none, or one is empty or reaches beyond the image.

    >>> box_mask((2, 3), [(0, 1, 1, 3)]).astype(int)
    array([[0, 1, 1],
           [0, 0, 0]])
    """
    made = np.zeros(shape, np.bool_)
    for row_start, row_stop, col_start, col_stop in checked_regions(boxes, shape).tolist():
        made[row_start:row_stop, col_start:col_stop] = True
    return made


def checked_heatmap(heatmap: ArrayLike, shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    """`heatmap` as float64 (H, W), or an ArgumentError; with `shape`, of that shape."""
    refuse_masked("a heatmap", heatmap, "say what its hidden values stand for: heatmap.filled(0)")
    values = np.asarray(heatmap)
    if values.ndim != 2 or not values.size or values.dtype.kind not in "fiub":
        raise ArgumentError(
            f"expected a heatmap of numbers, shape (H, W), got {values.dtype} of shape {values.shape}; "
            "sum or average over channels first"
        )
    if shape is not None and values.shape != shape:
        raise ArgumentError(
            f"expected a heatmap of shape {shape}, got {values.shape}; resize it to the image that it explains"
        )
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise ArgumentError(
            f"expected finite values in the heatmap, got {count} that are not; whoever made it must say what "
            "they stand for"
        )
    return values.astype(np.float64)


def checked_regions(regions: Sequence[Region] | ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """`regions` as int64 (n, 4), n >= 1, each with a pixel and inside (H, W), or an ArgumentError."""
    bounds = np.asarray(regions)
    if bounds.ndim != 2 or bounds.shape[1] != 4 or not len(bounds) or bounds.dtype.kind not in "iu":
        raise ArgumentError(
            "expected one region or more, (n, 4) whole numbers (row_start, row_stop, col_start, col_stop), got "
            f"{bounds.dtype} of shape {bounds.shape}"
        )
    bounds = bounds.astype(np.int64)
    starts, stops = bounds[:, ::2], bounds[:, 1::2]
    bad = ((starts < 0) | (starts >= stops) | (stops > shape[:2])).any(axis=1)
    if bad.any():
        raise ArgumentError(
            f"expected regions with a pixel and inside an image of {shape[0]} x {shape[1]} (rows x columns), got "
            f"{Region(*bounds[bad][0].tolist())}; rows stand before columns, stops are not inside; crop what "
            "reaches beyond"
        )
    return bounds


def _checked_mask(mask: Mask, shape: tuple[int, ...]) -> Mask:
    inside = np.asarray(mask)
    if inside.dtype != np.bool_ or inside.shape != shape:
        raise ArgumentError(
            f"expected a bool mask of the heatmap's shape {shape}, got {inside.dtype} of shape {inside.shape}; "
            "for a mask of labels write mask == label, for boxes box_mask(shape, boxes)"
        )
    if not inside.any():
        raise ArgumentError(
            "expected a mask with a pixel in it, got an empty one; leave such photographs out"
        )
    return inside
