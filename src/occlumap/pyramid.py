"""Pyramid: the tree of one offset as arrays, its pruning, and its nodes to look at (sections 4.3 to 4.6)."""

import reprlib
from collections.abc import Callable, Iterator, Sequence
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
        rows = _cell_parents(self.row_edges[level - 1], self.row_edges[level])
        cols = _cell_parents(self.col_edges[level - 1], self.col_edges[level])
        return rows, cols

    def child_sums(self, level: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of `values` (as `importance[level + 1]`) over each cell's children, added row by row."""
        rows, cols = self.parents(level + 1)
        sums = np.zeros_like(self.importance[level])
        np.add.at(sums, (rows[:, None], cols[None]), values)  # in the order of values, as a plain loop adds
        return sums

    def handed_down(self, level: int, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """For each cell of the next scale the value of its parent; `values` are as `importance[level]`."""
        return values[np.ix_(*self.parents(level + 1))]

    def areas(self, level: int) -> NDArray[np.int64]:
        """Pixels of each cell."""
        areas: NDArray[np.int64] = np.diff(self.row_edges[level])[:, None] * np.diff(self.col_edges[level])
        return areas

    def paint(self, level: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The image-sized array (H, W) in which each cell of one scale shows its value."""
        by_rows = np.repeat(values, np.diff(self.row_edges[level]), axis=0)
        return np.repeat(by_rows, np.diff(self.col_edges[level]), axis=1)


def _cell_parents(edges: NDArray[np.int64], finer_edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Along one axis the index of the cell in which each finer cell lies."""
    parents: NDArray[np.int64] = np.searchsorted(edges, finer_edges[:-1], side="right") - 1
    return parents


def build(measurements: Measurements, grid: Grid, offset: Offset, target: int) -> Pyramid | None:
    """The pyramid of one offset, or None while any of its cells is unmeasured."""
    cells = [grid.cells(scale, offset) for scale in range(1, grid.depth + 1)]
    found = measurements.find(np.concatenate(cells))
    if (found < 0).any():
        return None
    column = measurements.column(target)
    importance = measurements.original[column] - measurements.scores[found, column]
    return assemble(grid, offset, importance)


def complete_pyramids(
    measurements: Measurements, grid: Grid, offsets: Sequence[Offset], target: int
) -> Iterator[Pyramid]:
    """The pyramids of the offsets all of whose cells are measured, in the order of `offsets`, one by one.

    All at once would be 3 GB at depth 7.
    """
    for offset in offsets:
        pyramid = build(measurements, grid, offset, target)
        if pyramid is not None:
            yield pyramid


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
    for level in range(len(pyramid.importance) - 1):
        children = pyramid.child_sums(level, pyramid.importance[level + 1])
        leaf = alive & (pyramid.importance[level] - children > tolerance)
        masks.append(leaf)
        alive = pyramid.handed_down(level, alive & ~leaf)
    return (*masks, alive)


def prune_optimal(pyramid: Pyramid, tolerance: float) -> Masks:
    """Leaves with the greatest sum of importance (ours), one bool mask for each scale.

    From the bottom up, a cell's value is the greater of its own importance and its children's summed
    values; ties, within `tolerance`, keep the children.
    """
    values = pyramid.importance[-1]
    outweighs = []
    for level in range(len(pyramid.importance) - 2, -1, -1):
        children = pyramid.child_sums(level, values)
        own = pyramid.importance[level] - children > tolerance
        outweighs.append(own)
        values = np.where(own, pyramid.importance[level], children)
    masks = []
    alive = np.ones(pyramid.importance[0].shape, np.bool_)
    for level, own in enumerate(reversed(outweighs)):
        leaf = alive & own
        masks.append(leaf)
        alive = pyramid.handed_down(level, alive & ~leaf)
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
        if not isinstance(self.threshold, str):  # np.float32(0.01) as it is, not as it prints
            object.__setattr__(self, "threshold", float(self.threshold))

    def _parsed(self) -> tuple[float, bool]:
        """The threshold's number, and whether it is a share of the original score."""
        text = self.threshold.strip() if isinstance(self.threshold, str) else ""
        relative = text.endswith("%")
        try:
            number = float(text.removesuffix("%") if text else self.threshold)
        except (TypeError, ValueError, OverflowError):
            number = float("nan")
        if isinstance(self.threshold, bool) or not np.isfinite(number) or (relative and number < 0):
            raise ArgumentError(
                'expected threshold to be a share of the original score such as "1%", or a number, an '
                f"importance such as 0.005; got {reprlib.repr(self.threshold)}"
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


def information_density(pyramid: Pyramid, leaves: Masks) -> float:
    """Sum of the leaves' importance / sum of their areas in pixels; 0 where no leaf remains (4.11)."""
    values, areas = leaf_values(pyramid, leaves)
    if not len(values):
        return 0.0
    return float(np.add.accumulate(values)[-1]) / int(areas.sum())  # accumulate adds left to right


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

    `name` numbers the nodes of the unpruned tree breadth first, root 0, the children of a node row by row.
    `state`: "inner", "leaf", "near-zero" (a leaf whose importance was too small to stay) or "pruned" (below
    a leaf).
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
    names: NDArray[np.int64] = np.zeros((1, 1), np.int64)  # of the scale above
    above: NDArray[np.bool_] = np.zeros((1, 1), np.bool_)  # whether its cells are leaves or below one
    nodes = [Node(0, 0, Region(0, height, 0, width), 0.0, None, (), "inner")]
    children: dict[int, list[int]] = {0: []}
    for level, values in enumerate(pyramid.importance):
        inside = np.ix_(*(pyramid.parents(level) if level else (np.zeros(n, int) for n in values.shape)))
        parents, below_leaf = names[inside], above[inside]
        state = np.where(remaining[level], "leaf", np.where(cut[level], "near-zero", "inner"))
        state = np.where(below_leaf, "pruned", state)
        # breadth first: the children of one node, row by row, before those of the next
        order = np.argsort(parents, axis=None, kind="stable")
        names = np.empty(values.shape, np.int64)
        names.flat[order] = len(nodes) + np.arange(values.size)
        row_edges, col_edges = pyramid.row_edges[level].tolist(), pyramid.col_edges[level].tolist()
        for place in order.tolist():
            row, col = divmod(place, values.shape[1])
            name, parent = int(names[row, col]), int(parents[row, col])
            region = Region(row_edges[row], row_edges[row + 1], col_edges[col], col_edges[col + 1])
            children[parent].append(name)
            children[name] = []
            nodes.append(
                Node(name, level + 1, region, float(values[row, col]), parent, (), str(state[row, col]))
            )
        above = below_leaf | cut[level]
    return Tree(shift, density, tuple(node._replace(children=tuple(children[node.name])) for node in nodes))
