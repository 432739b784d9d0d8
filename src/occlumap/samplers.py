"""Samplers: what to measure next.

A sampler is a function of the measurements so far to Perturbations; an empty answer means that it has no more
wishes. It never calls a classifier and never reads a clock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import whole_number
from occlumap.errors import ArgumentError
from occlumap.grid import Grid, Offset, rectangle_keys
from occlumap.measurements import Measurements
from occlumap.perturbations import (
    NO_RECTANGLES,
    Perturbations,
    Rectangles,
    SegmentMasks,
    joint_removals,
    removals,
)
from occlumap.pyramid import Pruning, complete_pyramids, leaf_bounds
from occlumap.segments import MASK_CUTS, SegmentTree

Sampler = Callable[[Measurements], Perturbations]


def sweep(wanted: Perturbations) -> Sampler:
    """All of `wanted`, at once."""

    def sampler(measurements: Measurements) -> Perturbations:
        return wanted[len(measurements) :]

    return sampler


def sliding_window(shape: tuple[int, int], window: object, stride: object = None) -> Rectangles:
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
        if len(wanted) or (np.diff(measurements.rectangles.starts) > 1).any():
            return wanted
        groups = []
        for target in targets:
            original = float(measurements.original[measurements.column(target)])
            for pyramid in complete_pyramids(measurements, grid, offsets, target):
                groups.append(leaf_bounds(pyramid, pruning.leaves(pyramid, original)))
        groups = [bounds for bounds in groups if len(bounds)]
        return joint_removals(groups) if any(len(bounds) > 1 for bounds in groups) else NO_RECTANGLES

    return sampler


KEEP = 0.5
"""The probability that a segment stays visible."""


class TreeMasks:
    """Different random masks of a tree's segments at several scales, drawn when they are asked for.

    Mask i is the same however many follow: more calls go on where fewer ended. The original image is not among them.

    >>> tree = SegmentTree(np.array([[0, 1]], np.int32), np.array([[0, 1]]))
    >>> len(TreeMasks(tree, seed=0).first(300))  # two segments: both hidden, one, or the other
    3
    """

    def __init__(self, tree: SegmentTree, seed: int) -> None:
        self._labels, self._leaves = tree.labels, tree.leaves
        self._cuts = [tree.cut(segments) for segments in MASK_CUTS]
        self._random = np.random.default_rng(seed)
        self._drawn: dict[bytes, NDArray[np.bool_]] = {}
        self._draws = 0

    def most(self, count: int) -> int:
        """`count`, or how many masks there are if these are fewer."""
        return min(count, (1 << self._leaves) - 1)

    def first(self, count: int) -> SegmentMasks:
        """The first `count` masks, fewer where there are no more."""
        count = self.most(count)
        patience = 50 * count + 1000  # small trees draw the same mask again
        while len(self._drawn) < count and self._draws < patience:
            segments = self._cuts[self._draws % len(self._cuts)]
            kept = (self._random.random(int(segments.max()) + 1) < KEEP)[segments]
            self._draws += 1
            if not kept.all():
                self._drawn.setdefault(np.packbits(kept).tobytes(), kept)
        rows = list(islice(self._drawn.values(), count))
        return SegmentMasks(self._labels, np.array(rows, np.bool_).reshape(-1, self._leaves))

    def sampler(self, count: int, step: int | None = None) -> Sampler:
        """The first `count`, `step` at a time; all at once when None."""

        def sampler(measurements: Measurements) -> SegmentMasks:
            measured = len(measurements)
            return self.first(count if step is None else min(count, measured + step))[measured:]

        return sampler


def least_calls(grid: Grid, offsets: Sequence[Offset]) -> int:
    """Calls that the cheapest of `offsets` takes, the original image included."""
    return 1 + int(_Blocks.of(grid, offsets).missing().min())


def cheapest_first(grid: Grid, offsets: Sequence[Offset], most: int) -> NDArray[np.int32]:
    """The regions (n, 4), at most `most`, of as many of `offsets` as they pay for (sections 4.12, 8.1; ours).

    Always next is the offset that has the fewest regions which those before it lack, equals in the order of
    `offsets`; its regions come coarse scales first. No score is needed to tell. Takes memory for the different
    regions, not for the regions of every offset: at depth 7 those would be 360 million.

    >>> grid = Grid(16, 16, depth=2)
    >>> [len(cheapest_first(grid, grid.offsets(), most)) for most in (20, 48, 1000)]
    [20, 37, 186]
    """
    blocks = _Blocks.of(grid, offsets)
    # for each different region the blocks that have it
    keys, region_of = np.unique(blocks.keys, return_inverse=True)
    owners = blocks.owners[np.argsort(region_of, kind="stable")]
    starts = np.cumsum([0, *np.bincount(region_of).tolist()]).tolist()
    taken = np.zeros(len(keys), np.bool_)
    chosen: list[NDArray[np.int32]] = []
    left = most
    while len(unfinished := np.flatnonzero(missing := blocks.missing())):
        cheapest = unfinished[missing[unfinished].argmin()]
        if missing[cheapest] > left:
            break
        bounds = grid.regions([offsets[cheapest]])
        places = np.searchsorted(keys, rectangle_keys(bounds, grid.height, grid.width))
        fresh = ~taken[places]
        chosen.append(bounds[fresh])
        left -= len(chosen[-1])
        for place in places[fresh].tolist():
            taken[place] = True
            blocks.lacking[owners[starts[place] : starts[place + 1]]] -= 1
    return np.concatenate(chosen) if chosen else np.empty((0, 4), np.int32)


@dataclass(frozen=True, eq=False)
class _Blocks:
    """The cells of several offsets without repetition, to count what each offset lacks.

    A block is the cells of one scale that all offsets share which differ by whole cells of that scale, less those
    that are cells of the next scale too: so each region of an offset is in one block of the offset's. `keys` and
    `owners`: each cell of each block, and the block. `lacking`: how many of each block are not taken; counted down
    from outside. `of_offsets`: (scales, offsets), the blocks of each offset.
    """

    keys: NDArray[np.int64]
    owners: NDArray[np.int64]
    lacking: NDArray[np.int64]
    of_offsets: NDArray[np.int64]

    def missing(self) -> NDArray[np.int64]:
        """How many regions each offset lacks."""
        missing: NDArray[np.int64] = self.lacking[self.of_offsets].sum(axis=0)
        return missing

    @classmethod
    def of(cls, grid: Grid, offsets: Sequence[Offset]) -> "_Blocks":
        """The blocks of `offsets`, none of them taken yet."""
        own: list[NDArray[np.int64]] = []
        of_offsets = []
        finer: dict[Offset, NDArray[np.int64]] = {}
        for scale in range(grid.depth, 0, -1):
            stride = 2 * grid.steps >> scale
            residues = [(row % stride, col % stride) for row, col in offsets]
            numbers: dict[Offset, int] = {}
            cells: dict[Offset, NDArray[np.int64]] = {}
            for residue in dict.fromkeys(residues):
                keys = rectangle_keys(grid.cells(scale, residue), grid.height, grid.width)
                half = stride // 2
                below = finer.get((residue[0] % half, residue[1] % half))
                numbers[residue], cells[residue] = len(own), keys
                own.append(keys if below is None else keys[~np.isin(keys, below)])
            of_offsets.append([numbers[residue] for residue in residues])
            finer = cells
        sizes = np.array([len(keys) for keys in own])
        return cls(np.concatenate(own), np.repeat(np.arange(len(own)), sizes), sizes, np.array(of_offsets))
