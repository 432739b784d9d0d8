"""HSIC attribution: which cells of the image the score depends on, as a kernel measure of dependence.

Novello, Fel, Vigouroux, "Making Sense of Dependence: Efficient Black-box Explanations Using Dependence Measure",
NeurIPS 2022 (arXiv 2206.06219); HSIC is that of Gretton, Bousquet, Smola, Schoelkopf, "Measuring Statistical
Dependence with Hilbert-Schmidt Norms", ALT 2005.
"""

from collections.abc import Iterator

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from occlumap.classifiers import Classifier
from occlumap.errors import BudgetError
from occlumap.evaluation.peers import Heatmap
from occlumap.evaluation.scoring import target_scores
from occlumap.fills import Image

FILL = "black"

GRID = 7
"""Cells along each axis; of a shorter image as many as it has pixels."""

FEWEST = 16
"""Masks at least: with fewer, chance alone makes cells of a 7 x 7 grid look alike. The paper has 1,500."""


def hsic(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """Hilbert-Schmidt independence criterion between each cell of a 7 x 7 grid and the score, bicubic to image size.

    n = `calls` masks hide or show each cell: every cell is hidden (black) in half of them, drawn by a Latin
    hypercube, so independently of the other cells. For the cell's column z of zeros and ones and the scores y:

        HSIC = trace(K H L H) / (n - 1)^2,    K_jk = 1 if z_j = z_k else 0,    H = I - 1/n
        L_jk = exp(-(y_j - y_k)^2 / (2 h^2)),    h = the median |y_j - y_k| of the pairs that differ

    K is the paper's kernel for binary inputs. With s = 2 z - 1 it is (1 + s s^T) / 2, and the trace s^T H L H s / 2.

    Range: 0 to about 0.25 (the interpolation may pass 0 a little); higher = the score depends more on the cell,
    whether it speaks for the class or against it: the measure has no sign. A cell without influence has not 0 but
    chance dependence of order 1/n.
    Raises BudgetError below 16 calls.
    """
    if calls < FEWEST:
        raise BudgetError(
            f"expected at least {FEWEST} calls for hsic, one for each random mask of {GRID} x {GRID} cells, got "
            f"{calls}; raise the budget"
        )
    height, width = image.shape[:2]
    shape = (min(GRID, height), min(GRID, width))
    shown = _half_shown(calls, shape[0] * shape[1], seed)
    scores = target_scores(classifier, _masked(image, shown.reshape(-1, *shape)), target)
    dependence = _dependence(shown, scores)
    return _enlarged(dependence.reshape(shape), height, width)


def _half_shown(count: int, cells: int, seed: int) -> NDArray[np.bool_]:
    """Masks (count, cells): a Latin hypercube rounded to two values is a shuffled column of halves."""
    halves = np.arange(count) * 2 >= count
    return np.random.default_rng(seed).permuted(np.tile(halves, (cells, 1)), axis=1).T


def _dependence(shown: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """HSIC of each column of `shown` (n, cells) with `scores` (n,)."""
    distances = np.abs(scores[:, None] - scores)
    differing = distances[distances > 0]
    if not len(differing):
        return np.zeros(shown.shape[1])
    kernel = np.exp(-((distances / np.median(differing)) ** 2) / 2)
    centred = kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()
    signs = np.where(shown, 1.0, -1.0)
    traces = (signs * (centred @ signs)).sum(axis=0) / 2
    dependence: NDArray[np.float64] = traces / (len(scores) - 1) ** 2
    return dependence


def _masked(image: Image, shown: NDArray[np.bool_]) -> Iterator[Image]:
    """The image under each mask (n, rows, cols), black where it is False; cells have sharp edges."""
    rows, cols = (
        np.arange(length) * cells // length
        for length, cells in zip(image.shape[:2], shown.shape[1:], strict=True)
    )
    for mask in shown:
        yield image * mask[np.ix_(rows, cols)][..., None]


def _enlarged(cells: NDArray[np.float64], height: int, width: int) -> Heatmap:
    """Bicubic; the outermost cells go on beyond the border, or the largest values would be pushed against it."""
    rows, cols = cells.shape
    padded = PIL.Image.fromarray(np.pad(cells, 2, mode="edge").astype(np.float32))
    inside = (2, 2, cols + 2, rows + 2)
    return np.asarray(padded.resize((width, height), PIL.Image.Resampling.BICUBIC, box=inside))
