"""Samplers: what to measure next.

A sampler is a function of (measurements, how many more are affordable or None) to Perturbations; an empty
answer means that it has no more wishes. It never calls a classifier and never reads a clock.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import whole_number
from occlumap.errors import ArgumentError
from occlumap.forest import plant
from occlumap.grid import Grid, Offset
from occlumap.measurements import Measurements
from occlumap.perturbations import Perturbations, joint_removals, removals
from occlumap.pyramid import Pruning, complete_pyramids, leaf_bounds

Sampler = Callable[[Measurements, int | None], Perturbations]
_NOTHING = removals(np.empty((0, 4), np.int32))


def sweep(wanted: Perturbations) -> Sampler:
    """All of `wanted`, at once."""

    def sampler(measurements: Measurements, left: int | None) -> Perturbations:
        return wanted if len(measurements) < len(wanted) else _NOTHING

    return sampler


def sliding_window(shape: tuple[int, int], window: object, stride: object = None) -> Perturbations:
    """Windows from left to right, top to bottom (section 4.2), a last one flush with each border.

    `window`, `stride`: pixels, a whole number or (rows, columns); `stride` is half the window when None.
    Raises ArgumentError for a window that is larger than the image, or a stride larger than the window.
    """
    sizes = _pair("window", window, shape)
    halves = tuple(max(1, size // 2) for size in sizes)
    strides = halves if stride is None else _pair("stride", stride, sizes)
    starts = [
        list(dict.fromkeys([*range(0, length - size + 1, step), length - size]))
        for length, size, step in zip(shape, sizes, strides, strict=True)
    ]
    return removals([(r, r + sizes[0], c, c + sizes[1]) for r in starts[0] for c in starts[1]])


def _pair(name: str, value: object, largest: Sequence[int]) -> tuple[int, int]:
    values = list(value) if isinstance(value, tuple | list) else [value, value]
    if len(values) != 2:
        raise ArgumentError(f"expected {name} to be a whole number or (rows, columns), got {value!r}")
    rows, cols = (
        whole_number(name, v, minimum=1, maximum=most) for v, most in zip(values, largest, strict=True)
    )
    return rows, cols


def joint_leaves(
    grid: Grid, offsets: Sequence[Offset], targets: Sequence[int], pruning: Pruning, first: Sampler
) -> Sampler:
    """All that `first` wants, then all leaves of each offset's tree hidden at once (section 4.11)."""

    def sampler(measurements: Measurements, left: int | None) -> Perturbations:
        wanted = first(measurements, left)
        if len(wanted) or (np.diff(measurements.perturbations.starts) > 1).any():
            return wanted
        groups = []
        for target in targets:
            original = float(measurements.original[measurements.column(target)])
            for pyramid in complete_pyramids(measurements, grid, offsets, target):
                groups.append(leaf_bounds(pyramid, pruning.leaves(pyramid, original)))
        groups = [bounds for bounds in groups if len(bounds)]
        return joint_removals(groups) if any(len(bounds) > 1 for bounds in groups) else _NOTHING

    return sampler


def least_calls(grid: Grid, offsets: Sequence[Offset]) -> int:
    """Calls that the cheapest of `offsets` takes, the original image included."""
    return 1 + min(
        sum(len(grid.cells(scale, offset)) for scale in range(1, grid.depth + 1)) for offset in offsets
    )


def promising_offsets(
    grid: Grid, offsets: Sequence[Offset], targets: Sequence[int], pruning: Pruning
) -> Sampler:
    """One offset after the other, the one that promises the densest tree first (sections 4.12, 8.1; ours).

    The first offset that is affordable is measured whole. From then on the importance of an unmeasured cell is
    predicted as the mean, over its pixels, of the importances of the measured cells of its scale; the offset whose
    predicted tree is densest among those that are affordable is measured next. Several targets take turns.
    """
    forest = plant(grid, offsets)
    means = {target: _ScaleMeans(grid, forest.rectangles) for target in targets}

    def sampler(measurements: Measurements, left: int | None) -> Perturbations:
        found = [measurements.find(rectangles) for rectangles in forest.rectangles]
        missing = forest.counts([indices < 0 for indices in found])
        affordable = np.flatnonzero((missing > 0) & (missing <= (missing.max() if left is None else left)))
        if not len(affordable):
            return _NOTHING
        chosen = affordable[0]
        if len(measurements):
            turn = int((missing == 0).sum()) - 1  # the first offset was nobody's choice
            target = targets[turn % len(targets)]
            importance = measurements.effect(target)
            predicted = means[target].predict(measurements, importance, found)
            known = [
                np.where(indices >= 0, importance[indices], values)
                for indices, values in zip(found, predicted, strict=True)
            ]
            expected = forest.with_importances(known)
            original = float(measurements.original[measurements.column(target)])
            densities = expected.densities(pruning.leaves(expected, original))
            chosen = affordable[densities[affordable].argmax()]
        cells = np.concatenate([grid.cells(scale, offsets[chosen]) for scale in range(1, grid.depth + 1)])
        return removals(cells[measurements.find(cells) < 0])

    return sampler


class _ScaleMeans:
    """For each scale the mean of the measured importances at each pixel, and what it says of any cell.

    Sums run in the order of measuring. Of measurements that go on from those of the call before only the new
    ones are added; that is faster, and the same to the bit.
    """

    def __init__(self, grid: Grid, rectangles: Sequence[NDArray[np.int32]]) -> None:
        self._shape = grid.depth, grid.height, grid.width
        self._rectangles = rectangles
        self._begin()

    def _begin(self) -> None:
        self._total, self._count = np.zeros((2, *self._shape))
        self._added: tuple[NDArray[np.int32], NDArray[np.float64]] = np.empty((0, 4), np.int32), np.empty(0)

    def predict(
        self, measurements: Measurements, importance: NDArray[np.float64], found: Sequence[NDArray[np.int64]]
    ) -> list[NDArray[np.float64]]:
        """For each scale the mean over the pixels of each of its rectangles; `found`: those measured, -1 if not."""
        bounds, (old_bounds, old_importance) = measurements.perturbations.bounds, self._added
        added = len(old_importance)
        if not (
            np.array_equal(old_bounds, bounds[:added]) and np.array_equal(old_importance, importance[:added])
        ):
            self._begin()
            added = 0
        for level, (rectangles, indices) in enumerate(zip(self._rectangles, found, strict=True)):
            fresh = np.flatnonzero(indices >= added)
            fresh = fresh[np.argsort(indices[fresh])]
            values = importance[indices[fresh]].tolist()
            for (a, b, c, d), value in zip(rectangles[fresh].tolist(), values, strict=True):
                self._total[level, a:b, c:d] += value
                self._count[level, a:b, c:d] += 1
        self._added = bounds, importance
        tables = np.zeros((self._shape[0], self._shape[1] + 1, self._shape[2] + 1))
        tables[:, 1:, 1:] = (self._total / np.maximum(self._count, 1)).cumsum(1).cumsum(2)
        return [_box_means(table, cells) for table, cells in zip(tables, self._rectangles, strict=True)]


def _box_means(table: NDArray[np.float64], bounds: NDArray[np.int32]) -> NDArray[np.float64]:
    """Means over rectangles (k, 4) of an image, given its summed-area table (H + 1, W + 1)."""
    a, b, c, d = bounds.T
    means: NDArray[np.float64] = (table[b, d] - table[a, d] - table[b, c] + table[a, c]) / ((b - a) * (d - c))
    return means
