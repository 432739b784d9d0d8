"""Pyramid: the tree of one offset as arrays, its pruning, and its nodes to look at (sections 4.3 to 4.6)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import one_of
from occlumap.errors import ArgumentError
from occlumap.grid import Grid, Offset
from occlumap.measurements import Measurements
from occlumap.regions import Region

Masks = tuple[NDArray[np.bool_], ...]
TIE = 1e-9
"""A parent outweighs its children when it is greater by more than this share of |original score|."""


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Cells of scale 1..depth of one offset: `importance[l - 1]` is (rows, columns) float64 of scale l.

    `row_edges[l - 1]` and `col_edges[l - 1]` are the cells' edges in pixels. A cell's children are the
    cells of the next scale inside it. The root is the whole image and never compared.
    """

    offset: Offset
    row_edges: tuple[NDArray[np.int64], ...]
    col_edges: tuple[NDArray[np.int64], ...]
    importance: tuple[NDArray[np.float64], ...]

    @property
    def depth(self) -> int:
        """Number of scales."""
        return len(self.importance)

    def parents(self, level: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For `importance[level]`, level >= 1, the row and the column of each cell's parent."""
        rows = np.searchsorted(self.row_edges[level - 1], self.row_edges[level][:-1], side="right") - 1
        cols = np.searchsorted(self.col_edges[level - 1], self.col_edges[level][:-1], side="right") - 1
        return rows, cols

    def child_sums(self, level: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of `values` (as `importance[level + 1]`) over each cell's children, added row by row."""
        rows, cols = self.parents(level + 1)
        sums = np.zeros_like(self.importance[level])
        first_row, first_col = (
            np.searchsorted(p, np.arange(n)) for p, n in zip((rows, cols), sums.shape, strict=True)
        )
        counts = [np.bincount(p, minlength=n) for p, n in zip((rows, cols), sums.shape, strict=True)]
        # one child of every parent at a time, so that each sum adds up left to right as a plain loop would
        for down in range(int(counts[0].max())):
            has_row = np.flatnonzero(counts[0] > down)
            for right in range(int(counts[1].max())):
                has_col = np.flatnonzero(counts[1] > right)
                sums[np.ix_(has_row, has_col)] += values[
                    np.ix_(first_row[has_row] + down, first_col[has_col] + right)
                ]
        return sums

    def areas(self, level: int) -> NDArray[np.int64]:
        """Pixels of each cell."""
        areas: NDArray[np.int64] = np.diff(self.row_edges[level])[:, None] * np.diff(self.col_edges[level])
        return areas

    def paint(self, level: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The image-sized array (H, W) in which each cell of one scale shows its value."""
        by_rows = np.repeat(values, np.diff(self.row_edges[level]), axis=0)
        return np.repeat(by_rows, np.diff(self.col_edges[level]), axis=1)


def build(measurements: Measurements, grid: Grid, offset: Offset, target: int) -> Pyramid | None:
    """The pyramid of one offset, or None while any of its cells is unmeasured."""
    cells = [grid.cells(scale, offset) for scale in range(1, grid.depth + 1)]
    found = measurements.find(np.concatenate(cells))
    if (found < 0).any():
        return None
    column = measurements.column(target)
    importance = measurements.original[column] - measurements.scores[found, column]
    return assemble(grid, offset, importance)


def assemble(grid: Grid, offset: Offset, importance: NDArray[np.float64]) -> Pyramid:
    """A pyramid from the importances of an offset's cells, scale by scale, row by row."""
    row_edges = tuple(grid.edges(0, scale, offset[0]) for scale in range(1, grid.depth + 1))
    col_edges = tuple(grid.edges(1, scale, offset[1]) for scale in range(1, grid.depth + 1))
    shapes = [(len(rows) - 1, len(cols) - 1) for rows, cols in zip(row_edges, col_edges, strict=True)]
    stops = np.cumsum([rows * cols for rows, cols in shapes])
    parts = np.split(importance, stops[:-1])
    return Pyramid(
        offset, row_edges, col_edges, tuple(p.reshape(s) for p, s in zip(parts, shapes, strict=True))
    )


def prune_greedy(pyramid: Pyramid, tolerance: float) -> Masks:
    """Leaves that the paper's rule leaves (section 4.5), one bool mask for each scale.

    From the top down, a cell whose importance is greater than the sum of its direct children's, by more
    than `tolerance`, loses all that is below it and becomes a leaf.
    """
    masks = []
    alive = np.ones(pyramid.importance[0].shape, np.bool_)
    for level in range(pyramid.depth - 1):
        children = pyramid.child_sums(level, pyramid.importance[level + 1])
        leaf = alive & (pyramid.importance[level] - children > tolerance)
        masks.append(leaf)
        alive = (alive & ~leaf)[np.ix_(*pyramid.parents(level + 1))]
    return (*masks, alive)


def prune_optimal(pyramid: Pyramid, tolerance: float) -> Masks:
    """Leaves with the greatest sum of importance (ours), one bool mask for each scale.

    From the bottom up, a cell's value is the greater of its own importance and its children's summed
    values; ties, within `tolerance`, keep the children.
    """
    values = pyramid.importance[-1]
    outweighs = []
    for level in range(pyramid.depth - 2, -1, -1):
        children = pyramid.child_sums(level, values)
        own = pyramid.importance[level] - children > tolerance
        outweighs.append(own)
        values = np.where(own, pyramid.importance[level], children)
    masks = []
    alive = np.ones(pyramid.importance[0].shape, np.bool_)
    for level, own in enumerate(reversed(outweighs)):
        leaf = alive & own
        masks.append(leaf)
        alive = (alive & ~leaf)[np.ix_(*pyramid.parents(level + 1))]
    return (*masks, alive)


PRUNINGS: dict[str, Callable[[Pyramid, float], Masks]] = {"greedy": prune_greedy, "optimal": prune_optimal}


@dataclass(frozen=True)
class Pruning:
    """How trees are cut: a rule of `PRUNINGS`, and the importance at or below which a leaf goes.

    `threshold`: a text such as "1%" is a share of |original score|; a number is an importance.
    """

    rule: str = "greedy"
    threshold: str | float = "1%"

    def __post_init__(self) -> None:
        one_of("pruning", self.rule, PRUNINGS)
        self._parsed()

    def _parsed(self) -> tuple[float, bool]:
        """The threshold's number, and whether it is a share of the original score."""
        text = str(self.threshold).strip()
        try:
            relative = text.endswith("%")
            number = float(text.removesuffix("%"))
        except ValueError:
            number = float("nan")
        if isinstance(self.threshold, bool) or not np.isfinite(number) or (relative and number < 0):
            raise ArgumentError(
                'expected threshold to be a share of the original score such as "1%", or a number, an '
                f"importance such as 0.005; got {self.threshold!r}"
            )
        return (number / 100 if relative else number), relative

    def least_importance(self, original: float) -> float:
        """Leaves at or below this go; ArgumentError for a share of an original score of exactly 0."""
        number, relative = self._parsed()
        if relative and original == 0:
            raise ArgumentError(
                f"expected an original score other than 0 for threshold={self.threshold!r}, which is a share of "
                "it; give an importance instead, such as threshold=0.01, or explain a class that scores"
            )
        return number * abs(original) if relative else number

    def leaves(self, pyramid: Pyramid, original: float) -> Masks:
        """The leaves that remain, near-zero ones gone: one bool mask for each scale."""
        least = self.least_importance(original)
        masks = PRUNINGS[self.rule](pyramid, TIE * abs(original))
        return tuple(mask & (values > least) for mask, values in zip(masks, pyramid.importance, strict=True))


def leaf_values(pyramid: Pyramid, leaves: Masks) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Importances and areas of the leaves, scale by scale, row by row."""
    values = [pyramid.importance[level][mask] for level, mask in enumerate(leaves)]
    areas = [pyramid.areas(level)[mask] for level, mask in enumerate(leaves)]
    return np.concatenate(values), np.concatenate(areas)


def leaf_bounds(pyramid: Pyramid, leaves: Masks) -> NDArray[np.int32]:
    """Bounds of the leaves (n, 4), scale by scale, row by row."""
    blocks = []
    for level, mask in enumerate(leaves):
        rows, cols = np.nonzero(mask)
        row_edges, col_edges = pyramid.row_edges[level], pyramid.col_edges[level]
        blocks.append(
            np.stack([row_edges[rows], row_edges[rows + 1], col_edges[cols], col_edges[cols + 1]], axis=1)
        )
    return np.concatenate(blocks).astype(np.int32)


def paint_leaves(pyramid: Pyramid, leaves: Masks) -> NDArray[np.float64]:
    """The heatmap of one tree (section 4.6): (H, W) float64, 0 where no leaf is."""
    heatmap = np.zeros((int(pyramid.row_edges[0][-1]), int(pyramid.col_edges[0][-1])))
    for level, mask in enumerate(leaves):
        if mask.any():
            heatmap += pyramid.paint(level, np.where(mask, pyramid.importance[level], 0.0))
    return heatmap


class Node(NamedTuple):
    """One node of a tree, for reading and drawing (section 4.4).

    `name` numbers the nodes of the unpruned tree breadth first, root 0. `state`: "inner", "leaf",
    "near-zero" (a leaf whose importance was too small to stay) or "pruned" (below a leaf).
    """

    name: int
    scale: int
    region: Region
    importance: float
    parent: int | None
    children: tuple[int, ...]
    state: str


class Tree(NamedTuple):
    """The tree of one offset: its shift in pixels (rows, columns), information density and nodes by name."""

    offset: tuple[float, float]
    density: float
    nodes: tuple[Node, ...]

    def leaves(self) -> list[Node]:
        """The nodes that make the heatmap."""
        return [node for node in self.nodes if node.state == "leaf"]


def tree(
    pyramid: Pyramid, pruning: Pruning, original: float, shift: tuple[float, float], density: float
) -> Tree:
    """All nodes of a pyramid, each with what became of it."""
    cut = PRUNINGS[pruning.rule](pyramid, TIE * abs(original))
    remaining = pruning.leaves(pyramid, original)
    height, width = int(pyramid.row_edges[0][-1]), int(pyramid.col_edges[0][-1])
    names: list[NDArray[np.int64]] = [np.zeros((1, 1), np.int64)]
    states: list[NDArray[np.str_]] = [np.full((1, 1), "inner")]
    below_leaf = np.zeros(pyramid.importance[0].shape, np.bool_)
    for level, values in enumerate(pyramid.importance):
        if level:
            above = cut[level - 1] | below_leaf
            below_leaf = above[np.ix_(*pyramid.parents(level))]
        state = np.where(remaining[level], "leaf", np.where(cut[level], "near-zero", "inner"))
        states.append(np.where(below_leaf, "pruned", state))
        start = int(names[-1].flat[-1]) + 1
        names.append(np.arange(start, start + values.size, dtype=np.int64).reshape(values.shape))
    children: dict[int, list[int]] = {int(name): [] for block in names for name in block.flat}
    nodes: list[tuple[int, int, Region, float, int | None, str]] = [
        (0, 0, Region(0, height, 0, width), 0.0, None, "inner")
    ]
    for level, values in enumerate(pyramid.importance):
        rows, cols = (
            pyramid.parents(level)
            if level
            else (np.zeros(values.shape[0], int), np.zeros(values.shape[1], int))
        )
        row_edges, col_edges = pyramid.row_edges[level].tolist(), pyramid.col_edges[level].tolist()
        for row, col in np.ndindex(values.shape):
            name, parent = int(names[level + 1][row, col]), int(names[level][rows[row], cols[col]])
            region = Region(row_edges[row], row_edges[row + 1], col_edges[col], col_edges[col + 1])
            children[parent].append(name)
            nodes.append(
                (name, level + 1, region, float(values[row, col]), parent, str(states[level + 1][row, col]))
            )
    return Tree(
        shift,
        density,
        tuple(
            Node(n, s, region, value, parent, tuple(children[n]), state)
            for n, s, region, value, parent, state in nodes
        ),
    )
