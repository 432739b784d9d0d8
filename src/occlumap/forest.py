"""Forest: the trees of many offsets side by side, to prune and to rank them all at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from occlumap.grid import Grid, Offset, rectangle_keys
from occlumap.pyramid import Masks, cell_parents

Indices = tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, eq=False)
class Forest:
    """The pyramids of `size` offsets; it is pruned as a Pyramid is, all of them in one go.

    Each field has one array for each scale, in which the cells of all offsets stand in one row: offset
    after offset, those of one offset row by row. `importance`: of each cell. `trees`: the index of its offset.
    `parents`: the index of its parent in the scale above. `rectangles`: (k, 4), the different rectangles of the
    scale; `places`: which of them a cell is.
    """

    size: int
    importance: tuple[NDArray[np.float64], ...]
    trees: Indices
    parents: Indices
    rectangles: tuple[NDArray[np.int32], ...]
    places: Indices

    def with_importances(self, values: Sequence[NDArray[np.float64]]) -> "Forest":
        """The same trees; `values[l - 1]` has the importance of each of `rectangles[l - 1]`."""
        pairs = zip(values, self.places, strict=True)
        return replace(self, importance=tuple(of_scale[places] for of_scale, places in pairs))

    def child_sums(self, level: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Prunable.child_sums`."""
        sums = np.zeros_like(self.importance[level])
        np.add.at(sums, self.parents[level + 1], values)
        return sums

    def handed_down(self, level: int, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """See `Prunable.handed_down`."""
        return values[self.parents[level + 1]]

    def counts(self, marked: Sequence[NDArray[np.bool_]]) -> NDArray[np.int64]:
        """How many cells of each tree are marked; `marked[l - 1]` says it of each of `rectangles[l - 1]`."""
        counts = np.zeros(self.size, np.int64)
        for of_scale, trees, places in zip(marked, self.trees, self.places, strict=True):
            counts += np.bincount(trees[of_scale[places]], minlength=self.size)
        return counts

    def densities(self, leaves: Masks) -> NDArray[np.float64]:
        """What `offsets.information_density` gives for each tree, to the bit."""
        importance, area = np.zeros(self.size), np.zeros(self.size, np.int64)
        for level, mask in enumerate(leaves):
            a, b, c, d = self.rectangles[level].T.astype(np.int64)
            np.add.at(importance, self.trees[level][mask], self.importance[level][mask])
            np.add.at(area, self.trees[level][mask], ((b - a) * (d - c))[self.places[level][mask]])
        return importance / np.maximum(area, 1)


def plant(grid: Grid, offsets: Sequence[Offset]) -> Forest:
    """The trees of `offsets`, every importance 0."""
    trees, parents, rectangles, places = [], [], [], []
    starts_above = [0] * len(offsets)
    for scale in range(1, grid.depth + 1):
        cells = [grid.cells(scale, offset) for offset in offsets]
        sizes = [len(of_one) for of_one in cells]
        trees.append(np.repeat(np.arange(len(offsets)), sizes))
        parents.append(
            np.concatenate(
                [
                    start + _parents(grid, scale, offset)
                    for start, offset in zip(starts_above, offsets, strict=True)
                ]
            )
        )
        starts_above = np.cumsum([0, *sizes[:-1]]).tolist()
        bounds = np.concatenate(cells)
        _, first, place = np.unique(
            rectangle_keys(bounds, grid.height, grid.width), return_index=True, return_inverse=True
        )
        rectangles.append(bounds[first])
        places.append(place)
    importance = tuple(np.zeros(len(of_scale)) for of_scale in trees)
    return Forest(len(offsets), importance, tuple(trees), tuple(parents), tuple(rectangles), tuple(places))


def _parents(grid: Grid, scale: int, offset: Offset) -> NDArray[np.int64]:
    """For each cell of one offset's scale, row by row, the index of its parent; 0, the root's, for scale 1."""
    if scale == 1:
        return np.zeros(len(grid.cells(1, offset)), np.int64)
    above = [grid.edges(axis, scale - 1, offset[axis]) for axis in (0, 1)]
    rows, cols = (cell_parents(above[axis], grid.edges(axis, scale, offset[axis])) for axis in (0, 1))
    indices: NDArray[np.int64] = (rows[:, None] * (len(above[1]) - 1) + cols).ravel()
    return indices
