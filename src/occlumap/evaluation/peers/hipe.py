"""Hierarchical Perturbation (HiPe): look closer only where hiding a coarse part has cost something.

Cooper, Arandjelovic, Harrison, "Believe the HiPe: Hierarchical Perturbation for Fast, Robust, and
Model-Agnostic Saliency Mapping", Pattern Recognition 129, 2022 (arXiv 2103.05108).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from occlumap.classifiers import Classifier
from occlumap.errors import BudgetError
from occlumap.evaluation.peers import Heatmap
from occlumap.evaluation.scoring import target_scores
from occlumap.fills import Image, Mean

FILL = "region-mean"

Bounds = NDArray[np.int32]


def hipe(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """The score that hiding costs, summed over the scales at which a place was worth a look.

    At scale s the image is a grid of cells, twice as many along each axis as at scale s - 1, and the regions
    are all squares of 2 x 2 cells, cropped at the border. With S = 0 at first, for every region R of the scale
    with max S in R >= (min S + max S) / 2, the authors' mid-range threshold:

        S += max(0, f(image) - f(image with R filled by its own mean colour))   on the pixels of R

    Ours is what a budget adds. Where `calls` end before a scale does, its regions are taken in the order of
    their largest S, then of their mean S, then by lot, and no finer scale follows: so the first scale must fit,
    50 calls with the photograph's own at 224 x 224. Only that lot draws on `seed`.

    Range: 0 upwards, in units of the score; higher = hiding it costs more. Evidence against the class is 0.
    Raises BudgetError when `calls` do not reach for the first scale.
    """
    scales = _scales(image.shape[0], image.shape[1])
    regions = next(scales)
    if calls < 1 + len(regions):
        raise BudgetError(
            f"expected at least {1 + len(regions)} calls for hipe on an image of {image.shape[0]} x "
            f"{image.shape[1]} pixels, one for the image and {len(regions)} for the coarsest scale, got "
            f"{calls}; raise the budget"
        )
    random = np.random.default_rng(seed)
    original = target_scores(classifier, [image], target)[0]
    saliency: NDArray[np.float64] = np.zeros(image.shape[:2])
    left = calls - 1
    while True:
        chosen = regions[_most_salient(regions, saliency, left, random)]
        costs = np.maximum(original - target_scores(classifier, _hidden(image, chosen), target), 0)
        for (a, b, c, d), cost in zip(chosen.tolist(), costs.tolist(), strict=True):
            saliency[a:b, c:d] += cost
        left -= len(chosen)
        finer = next(scales, None)
        if finer is None or left == 0:
            return saliency.astype(np.float32)
        regions = finer


def _scales(height: int, width: int) -> Iterator[Bounds]:
    """Bounds (n, 4) of the regions of each scale, from coarse to fine, as many scales as the authors' code has.

    The coarsest has 2 floor(log4 length) cells along an axis, so 6 for 224 pixels, and the finest 96 of them.
    No cell is thinner than a pixel.
    """
    base = [max(1, (length.bit_length() - 1) // 2) for length in (height, width)]
    depth = max(1, int(np.log2(max(height, width) / max(base))) - 1)
    for scale in range(1, depth + 1):
        rows, cols = (
            _spans(length, min(cells << scale, length))
            for length, cells in zip((height, width), base, strict=True)
        )
        yield np.array([(*row, *col) for row in rows for col in cols], np.int32)


def _spans(length: int, cells: int) -> list[tuple[int, int]]:
    """Every two neighbouring cells of one axis, the first and the last cell also alone."""
    edges = [round(cell * length / cells) for cell in range(cells + 1)]
    pairs = [(edges[max(i, 0)], edges[min(i + 2, cells)]) for i in range(-1, cells)]
    return list(dict.fromkeys(pairs))


def _most_salient(
    regions: Bounds, saliency: NDArray[np.float64], most: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Which regions reach the threshold, in their own order, `most` of them at most, the best first."""
    parts = [saliency[a:b, c:d] for a, b, c, d in regions.tolist()]
    largest = np.array([part.max() for part in parts])
    mean = np.array([part.mean() for part in parts])
    order = np.lexsort((random.random(len(regions)), -mean, -largest))
    reaching = order[largest[order] >= (saliency.min() + saliency.max()) / 2]
    return np.sort(reaching[:most])


def _hidden(image: Image, regions: Bounds) -> Iterator[Image]:
    for (a, b, c, d), colour in zip(regions.tolist(), Mean().prepare(image)(regions), strict=True):
        hidden = image.copy()
        hidden[a:b, c:d] = colour
        yield hidden
