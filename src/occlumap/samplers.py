"""Samplers: what to measure next.

A sampler is a function of the measurements so far to Perturbations; an empty answer means that it has no more
wishes. It never calls a classifier and never reads a clock.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import whole_number
from occlumap.errors import ArgumentError
from occlumap.grid import Grid, Offset, rectangle_keys
from occlumap.measurements import Measurements
from occlumap.perturbations import Perturbations, joint_removals, removals
from occlumap.pyramid import Pruning, complete_pyramids, leaf_bounds

Sampler = Callable[[Measurements], Perturbations]
_NOTHING = removals(np.empty((0, 4), np.int32))


def sweep(wanted: Perturbations) -> Sampler:
    """All of `wanted`, at once."""

    def sampler(measurements: Measurements) -> Perturbations:
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

    def sampler(measurements: Measurements) -> Perturbations:
        wanted = first(measurements)
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
    return 1 + min(len(grid.regions([offset])) for offset in offsets)


def cheapest_first(grid: Grid, offsets: Sequence[Offset], most: int) -> NDArray[np.int32]:
    """The regions (n, 4), at most `most`, of as many of `offsets` as they pay for (sections 4.12, 8.1; ours).

    Always next is the offset that has the fewest regions which those before it lack, equals in the order of
    `offsets`; its regions come coarse scales first. No score is needed to tell.

    >>> grid = Grid(16, 16, depth=2)
    >>> [len(cheapest_first(grid, grid.offsets(), most)) for most in (20, 48, 1000)]
    [20, 37, 186]
    """
    own = [grid.regions([offset]) for offset in offsets]
    bounds = np.concatenate(own)
    keys = rectangle_keys(bounds, grid.height, grid.width)
    _, places = np.unique(keys, return_inverse=True)
    sizes = [len(of_one) for of_one in own]
    # for each different region the offsets that have it
    by_place = np.argsort(places, kind="stable")
    owners = np.split(np.repeat(np.arange(len(own)), sizes)[by_place], np.cumsum(np.bincount(places))[:-1])
    own_places = np.split(places, np.cumsum(sizes)[:-1])
    starts = np.cumsum([0, *sizes])
    missing = np.array(sizes)
    taken = np.zeros(len(owners), np.bool_)
    chosen: list[NDArray[np.int64]] = []
    left = most
    while len(unfinished := np.flatnonzero(missing)):
        cheapest = unfinished[missing[unfinished].argmin()]
        if missing[cheapest] > left:
            break
        fresh = np.flatnonzero(~taken[own_places[cheapest]])
        chosen.append(starts[cheapest] + fresh)
        left -= len(fresh)
        for place in own_places[cheapest][fresh].tolist():
            taken[place] = True
            missing[owners[place]] -= 1
    return bounds[np.concatenate(chosen)] if chosen else bounds[:0]
