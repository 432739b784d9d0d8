"""Sobol' attribution: which cells the score's variance comes from, alone and together with others.

Fel, Cadene, Chalvidal, Cord, Vigouroux, Serre, "Look at the Variance! Efficient Black-box Explanations with
Sobol-based Sensitivity Analysis", NeurIPS 2021 (arXiv 2111.04138). The estimator is that of Jansen, "Analysis of
variance designs for model output", Computer Physics Communications 117, 1999.
"""

from collections.abc import Iterator

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from occlumap._extras import from_extra
from occlumap.classifiers import Classifier
from occlumap.errors import BudgetError
from occlumap.evaluation.peers import Heatmap
from occlumap.evaluation.scoring import target_scores
from occlumap.fills import Image

FILL = "black"

FINEST = 7
"""Cells along an axis at most, as many as RISE and HSIC have; the paper's 11 leave too few designs for 1,000 calls."""

FEWEST_DESIGNS = 8
"""Designs (rows of A) at least; the paper has 32, which on its grid of 11 x 11 are 3,936 calls."""


def sobol(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """Total Sobol' index of each cell of a g x g grid, brought to the image's size by bicubic interpolation.

    A mask has a value from 0 to 1 for each cell, and dims the cell to that share (0 is black). A and B are N
    masks each, the two halves of one scrambled Sobol' sequence in 2 g^2 dimensions; C_i is A with the column of
    cell i taken from B. Jansen's estimator of the share of the variance that is gone once all but i are known:

        S_i = sum_j (f(A_j) - f(C_i,j))^2 / (2 N V)

    V is the variance of all f(A), f(B) and f(C), which all have one law; V of f(A) alone, as in the paper, would
    change all S_i by one common factor. The grid is the finest, 2 x 2 to 7 x 7, with which N = calls //
    (g^2 + 2) is at least 8: g = 3 with 100 calls, 5 with 300, 7 with 1,000; what a whole design needs beyond
    `calls` is not spent. N is no power of two then: the sequence is cut off after N.

    Range: 0 to about 1 (the interpolation may pass 0 a little); higher = the cell matters more, whether for the
    class or against it: the index has no sign. A classifier that never changes its score gives 0 everywhere.
    Raises BudgetError below 48 calls, which 8 designs on 2 x 2 cells take; MissingDependencyError without SciPy.
    """
    height, width = image.shape[:2]
    finest = min(FINEST, height, width)
    fitting = [g for g in range(2, finest + 1) if calls // (g * g + 2) >= FEWEST_DESIGNS]
    if not fitting:
        raise BudgetError(
            f"expected at least {FEWEST_DESIGNS * 6} calls for sobol, {FEWEST_DESIGNS} designs on 2 x 2 cells, and "
            f"an image of 2 x 2 pixels or more; got {calls} calls and {height} x {width} pixels; raise the budget"
        )
    grid = max(fitting)
    designs = calls // (grid * grid + 2)
    first, second = _designs(designs, grid * grid, seed)
    mixed = np.repeat(first[None], grid * grid, axis=0)
    for cell in range(grid * grid):
        mixed[cell, :, cell] = second[:, cell]
    masks = np.concatenate([first, second, mixed.reshape(-1, grid * grid)])
    scores = target_scores(classifier, _dimmed(image, masks.reshape(-1, grid, grid)), target)
    squares = (scores[:designs] - scores[2 * designs :].reshape(-1, designs)) ** 2
    variance = scores.var()
    indices = squares.mean(axis=1) / (2 * variance) if variance > 0 else np.zeros(grid * grid)
    return _enlarged(indices.reshape(grid, grid), height, width)


def _designs(count: int, cells: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    qmc = from_extra("benchmark", "scipy.stats", "sobol").qmc
    sequence = qmc.Sobol(2 * cells, scramble=True, seed=np.random.default_rng(seed))
    points = sequence.random_base2((count - 1).bit_length())[:count]
    return points[:, :cells], points[:, cells:]


def _dimmed(image: Image, masks: NDArray[np.float64]) -> Iterator[Image]:
    """The image times each mask (n, g, g), whose cells have sharp edges."""
    rows, cols = (np.arange(length) * masks.shape[1] // length for length in image.shape[:2])
    for mask in masks:
        yield np.rint(image * mask[np.ix_(rows, cols)][..., None]).astype(np.uint8)


def _enlarged(cells: NDArray[np.float64], height: int, width: int) -> Heatmap:
    """Bicubic; the outermost cells go on beyond the border, or the largest values would be pushed against it."""
    rows, cols = cells.shape
    padded = PIL.Image.fromarray(np.pad(cells, 2, mode="edge").astype(np.float32))
    inside = (2, 2, cols + 2, rows + 2)
    return np.asarray(padded.resize((width, height), PIL.Image.Resampling.BICUBIC, box=inside))
