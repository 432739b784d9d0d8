"""Samplers: what to measure next.

A sampler is a function of (measurements, how many more are affordable or None) to Perturbations; an empty
answer means that it has no more wishes. It never calls a classifier and never reads a clock.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import whole_number
from occlumap.errors import ArgumentError, BudgetError
from occlumap.estimators.paper import complete_pyramids
from occlumap.grid import Grid, Offset
from occlumap.measurements import Measurements
from occlumap.offsets import information_density
from occlumap.perturbations import Perturbations, joint_removals, removals
from occlumap.pyramid import Pruning, assemble, leaf_bounds

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


def promising_offsets(
    grid: Grid, offsets: Sequence[Offset], targets: Sequence[int], pruning: Pruning
) -> Sampler:
    """One offset after the other, the one that promises the densest tree first (sections 4.12, 8.1; ours).

    The first offset is measured whole. From then on the importance of an unmeasured cell is predicted as
    the mean, over its pixels, of the importances of the measured cells of its scale; the offset whose
    predicted tree is densest among those that are affordable is measured next. Several targets take turns.

    Raises BudgetError when not even the first offset is affordable.
    """
    cells = {
        offset: np.concatenate([grid.cells(s, offset) for s in range(1, grid.depth + 1)])
        for offset in offsets
    }
    scales = {
        offset: np.repeat(
            np.arange(grid.depth), [len(grid.cells(s, offset)) for s in range(1, grid.depth + 1)]
        )
        for offset in offsets
    }
    rounds = 0

    def sampler(measurements: Measurements, left: int | None) -> Perturbations:
        nonlocal rounds
        missing = {offset: bounds[measurements.find(bounds) < 0] for offset, bounds in cells.items()}
        wanting = {offset: len(bounds) for offset, bounds in missing.items() if len(bounds)}
        affordable = [offset for offset, count in wanting.items() if left is None or count <= left]
        if not affordable:
            if wanting and len(wanting) == len(cells):
                least = 1 + len(measurements) + min(wanting.values())
                raise BudgetError(
                    f"expected a budget of at least {least} calls, which one offset at depth={grid.depth} takes; "
                    f"raise the budget, or use a smaller depth"
                )
            return _NOTHING
        if not len(measurements):
            return removals(missing[affordable[0]])
        target = targets[rounds % len(targets)]
        rounds += 1
        maps = _scale_sums(measurements, grid, list(cells), target)
        original = float(measurements.original[measurements.column(target)])
        importance = measurements.effect(target)

        def promise(offset: Offset) -> float:
            found = measurements.find(cells[offset])
            values = np.where(found >= 0, importance[found], _predicted(maps, scales[offset], cells[offset]))
            pyramid = assemble(grid, offset, values)
            return information_density(pyramid, pruning.leaves(pyramid, original))

        return removals(missing[max(affordable, key=promise)])

    return sampler


def _scale_sums(
    measurements: Measurements, grid: Grid, offsets: Sequence[Offset], target: int
) -> NDArray[np.float64]:
    """For each scale the summed-area table of the mean measured importance at each pixel."""
    tables = np.zeros((grid.depth, grid.height + 1, grid.width + 1))
    effects = measurements.effect(target)
    for level in range(grid.depth):
        bounds = np.concatenate([grid.cells(level + 1, offset) for offset in offsets])
        found = measurements.find(bounds)
        _, first = np.unique(found, return_index=True)
        total, count = np.zeros((2, grid.height, grid.width))
        for index in first[found[first] >= 0]:
            a, b, c, d = bounds[index]
            total[a:b, c:d] += effects[found[index]]
            count[a:b, c:d] += 1
        tables[level, 1:, 1:] = (total / np.maximum(count, 1)).cumsum(0).cumsum(1)
    return tables


def _predicted(
    tables: NDArray[np.float64], levels: NDArray[np.int64], bounds: NDArray[np.int32]
) -> NDArray[np.float64]:
    a, b, c, d = bounds.T
    sums = tables[levels, b, d] - tables[levels, a, d] - tables[levels, b, c] + tables[levels, a, c]
    predicted: NDArray[np.float64] = sums / ((b - a) * (d - c))
    return predicted
