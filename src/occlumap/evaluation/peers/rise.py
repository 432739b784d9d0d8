"""RISE: random masks, each pixel the mean score of the masks that show it (Petsiuk, Das, Saenko 2018).

Its authors' code is no package, so this is written from the paper. It multiplies the image by its masks,
which fades what is hidden to black; `rise_blurred` fades it to the blurred image.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import whole_number
from occlumap.classifiers import Classifier
from occlumap.evaluation.peers import Heatmap
from occlumap.evaluation.references import hider
from occlumap.evaluation.scoring import target_scores
from occlumap.fills import Image

FILL = "black"
FILL_BLURRED = "blur"
CELLS = 7
SHOWN = 0.5
"""Cells along a side, and the probability that a cell is shown: the paper's for ImageNet."""


def rise(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """Sum of score x mask / (`calls` x 0.5), with `calls` masks; 0 or more for probabilities.

    A mask is a grid of 7 x 7 cells, each shown with probability 0.5, enlarged bilinearly by one cell more
    than the image and cropped to it at random (section 3.2 of the paper).
    """
    return _rise(image, np.zeros_like(image), classifier, target, calls, seed)


def rise_blurred(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """As `rise`, fading to the blurred image (sigma a tenth of the shorter side) instead of black."""
    blurred = hider("blur", image)(np.ones(image.shape[:2], np.bool_))
    return _rise(image, blurred, classifier, target, calls, seed)


def _rise(
    image: Image, reference: Image, classifier: Classifier, target: int, calls: int, seed: int
) -> Heatmap:
    whole_number("calls", calls, minimum=1)
    shape = (image.shape[0], image.shape[1])
    shown, hidden = image.astype(np.float32), reference.astype(np.float32)
    images = (
        np.rint(mask[:, :, None] * shown + (1 - mask[:, :, None]) * hidden).astype(np.uint8)
        for mask in masks(shape, calls, seed)
    )
    scores = target_scores(classifier, images, target)
    total: NDArray[np.float64] = np.zeros(shape)
    for score, mask in zip(scores.tolist(), masks(shape, calls, seed), strict=True):
        total += score * mask
    return (total / (calls * SHOWN)).astype(np.float32)


def masks(shape: tuple[int, int], count: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """`count` masks (H, W) from 0 (hidden) to 1 (shown), made one at a time; the same for the same seed."""
    from PIL import Image as PillowImage

    rng = np.random.default_rng(seed)
    cell_rows, cell_cols = (-(-length // CELLS) for length in shape)
    size = ((CELLS + 1) * cell_cols, (CELLS + 1) * cell_rows)
    for _ in range(count):
        grid = (rng.random((CELLS, CELLS)) < SHOWN).astype(np.float32)
        row, col = int(rng.integers(cell_rows)), int(rng.integers(cell_cols))
        enlarged = PillowImage.fromarray(grid).resize(size, PillowImage.Resampling.BILINEAR)
        yield np.asarray(enlarged)[row : row + shape[0], col : col + shape[1]]
