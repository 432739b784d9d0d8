"""Choosing among the trees of all offsets (paper sections 4.10 to 4.12 and 8.1)."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import whole_number
from occlumap.errors import ArgumentError
from occlumap.grid import Grid
from occlumap.pyramid import Masks, Pyramid

SELECTIONS = ("density", "adversarial", "vote")


def parse_best_k(best_k: int | str) -> int | None:
    """`best_k` as a whole number of 1 or more, None for "all"; ArgumentError for anything else."""
    if isinstance(best_k, str):
        if best_k == "all":
            return None
        raise ArgumentError(f'expected best_k to be a whole number of 1 or more, or "all"; got {best_k!r}')
    return whole_number("best_k", best_k, minimum=1)


def best(values: Sequence[float], best_k: int | None) -> list[int]:
    """Indices of the `best_k` greatest values, greatest first; equals keep their order.

    None, or more than there are, means all.

    >>> best([0.1, 0.3, 0.3], 2)
    [1, 2]
    """
    order = np.argsort(-np.asarray(values, np.float64), kind="stable")
    return [int(index) for index in order[:best_k]]


def mean_heatmap(heatmaps: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean of image-sized arrays, one or more, added in the order given; float64 (H, W)."""
    total: NDArray[np.float64] = np.zeros(())
    for count, heatmap in enumerate(heatmaps, start=1):  # noqa: B007 - used below
        total = total + heatmap
    return total / count


def vote(grid: Grid, trees: Iterable[tuple[Pyramid, Masks]]) -> tuple[NDArray[np.float64], list[int]]:
    """One tree for all offsets (section 8.1): the heatmap (H, W) and each offset's number of votes.

    `trees`: each offset's pyramid and its leaves.

    Definition (ours). The smallest regions are the cells that all offsets' edges together cut the image
    into, half the smallest cell on a side. In the pruned tree of each offset such a region lies in one
    leaf, or in none. It votes for the offset whose leaf represents it best: the one with the most
    importance per pixel of the leaf; no leaf counts 0; equals go to the offset that comes first. The
    heatmap shows every region with its winner's importance, 0 where no offset has a leaf.
    """
    rows, cols = grid.finest_edges(0), grid.finest_edges(1)
    shape = len(rows) - 1, len(cols) - 1
    best_density, importance, winner = np.zeros(shape), np.zeros(shape), np.full(shape, -1)
    for index, (pyramid, masks) in enumerate(trees):
        for level, mask in enumerate(masks):
            at = np.ix_(
                np.searchsorted(pyramid.row_edges[level], rows[:-1], side="right") - 1,
                np.searchsorted(pyramid.col_edges[level], cols[:-1], side="right") - 1,
            )
            values = np.where(mask, pyramid.importance[level], 0.0)
            density = (values / pyramid.areas(level))[at]
            wins = mask[at] & (density > best_density)
            best_density[wins], importance[wins], winner[wins] = density[wins], values[at][wins], index
    votes = np.bincount(winner[winner >= 0], minlength=index + 1).tolist()
    return np.repeat(np.repeat(importance, np.diff(rows), axis=0), np.diff(cols), axis=1), votes
