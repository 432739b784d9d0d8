"""Grid: which rectangles exist, at every scale and offset (paper sections 4.3, 4.9, 4.10)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import one_of, whole_number
from occlumap.errors import ArgumentError, ImageError

Offset = tuple[int, int]
"""A shift of the whole grid, (rows, columns), counted in steps of half the smallest cell."""

OFFSETS = ("none", "four", "all")
MAX_DEPTH = 8  # 65,536 offsets; a ninth scale would already need an image of millions of calls


@dataclass(frozen=True)
class Grid:
    """All cells of an image of `height` x `width` pixels down to scale `depth`.

    Scale l = 1..depth has cells of height / 2^l x width / 2^l pixels. An offset shifts all scales
    together, by whole steps of half the smallest cell. Edges (never widths) are rounded to whole pixels,
    halves up, so every cell lies in exactly one cell of the scale above, and cropping to the parent needs
    no code. A cell that rounds to nothing does not exist.

    Raises ArgumentError for a depth outside 1..8, ImageError for a side of fewer than 2^depth pixels.

    >>> grid = Grid(80, 80, depth=3)
    >>> len(grid.offsets()), grid.edges(axis=0, scale=1, shift=1).tolist()
    (64, [0, 5, 45, 80])
    """

    height: int
    width: int
    depth: int

    def __post_init__(self) -> None:
        # kept as ints: arithmetic on a small NumPy type, np.uint8(6) for one, would overflow
        for name, maximum in (("height", None), ("width", None), ("depth", MAX_DEPTH)):
            number = whole_number(name, getattr(self, name), minimum=1, maximum=maximum)
            object.__setattr__(self, name, number)
        if min(self.height, self.width) < 2**self.depth:
            possible = min(self.height, self.width).bit_length() - 1
            advice = f"use depth={possible} or less, or " if possible else ""
            raise ImageError(
                f"expected an image of at least 2^depth = {2**self.depth} pixels on each side for "
                f"depth={self.depth}, got {self.height} x {self.width}; {advice}enlarge the image"
            )

    @property
    def steps(self) -> int:
        """Offsets along one axis, 2^depth; two steps make one smallest cell."""
        return 1 << self.depth

    def offsets(self, choice: str = "all") -> list[Offset]:
        """The offsets of `choice`, rows as the outer loop.

        `none`: no shift. `four` (section 4.9): half a scale-1 cell along no axis, either, both. `all`
        (section 4.10): every multiple of the step below half the image, 4^depth of them.
        """
        choice = one_of("offsets", choice, OFFSETS)
        along = {"none": [0], "four": [0, self.steps // 2], "all": list(range(self.steps))}[choice]
        return [(row, col) for row in along for col in along]

    def pixels(self, offset: Offset) -> tuple[float, float]:
        """An offset in pixels, (rows, columns), before rounding."""
        return offset[0] * self.height / (2 * self.steps), offset[1] * self.width / (2 * self.steps)

    def edges(self, axis: int, scale: int, shift: int) -> NDArray[np.int64]:
        """Pixel edges of the cells of one scale along one axis (0 rows, 1 columns), shape (cells + 1,).

        `shift` is in steps. Each edge is exact before it is rounded once.
        """
        stride = 2 * self.steps >> scale
        return _edges((self.height, self.width)[axis], 2 * self.steps, stride, shift % stride)

    def finest_edges(self, axis: int) -> NDArray[np.int64]:
        """Every edge that any offset has along an axis: all multiples of half the smallest cell."""
        return _edges((self.height, self.width)[axis], 2 * self.steps, 1, 0)

    def cells(self, scale: int, offset: Offset) -> NDArray[np.int32]:
        """Bounds of the cells of one scale, row by row: (cells, 4), as a Region has them."""
        rows = self.edges(0, scale, offset[0])
        cols = self.edges(1, scale, offset[1])
        bounds = np.empty((len(rows) - 1, len(cols) - 1, 4), np.int32)
        bounds[..., 0], bounds[..., 1] = rows[:-1, None], rows[1:, None]
        bounds[..., 2], bounds[..., 3] = cols[None, :-1], cols[None, 1:]
        return bounds.reshape(-1, 4)

    def regions(self, offsets: Sequence[Offset] | None = None) -> NDArray[np.int32]:
        """Every different rectangle below the root, once: (n, 4), coarse scales first.

        `offsets`: those whose cells are wanted; all of them when None.
        """
        wanted = self.offsets() if offsets is None else list(offsets)
        if not wanted:
            raise ArgumentError("expected at least one offset, got none")
        blocks = []
        for scale in range(1, self.depth + 1):
            stride = 2 ** (self.depth + 1 - scale)
            # offsets that differ by whole cells of a scale have the same cells there
            for residue in dict.fromkeys((row % stride, col % stride) for row, col in wanted):
                blocks.append(self.cells(scale, residue))
        return unique_rectangles(np.concatenate(blocks), self.height, self.width)


@lru_cache(maxsize=4096)
def _edges(length: int, parts: int, stride: int, start: int) -> NDArray[np.int64]:
    """Edges of an axis of `parts` steps, every `stride` steps from `start`; read-only, as it is shared."""
    positions = np.arange(start, parts, stride, dtype=np.int64)
    inner = (2 * length * positions + parts) // (2 * parts)
    edges = np.unique(np.concatenate(([0], inner, [length])))
    edges.flags.writeable = False
    return edges


def rectangle_keys(bounds: NDArray[np.int32], height: int, width: int) -> NDArray[np.int64]:
    """One whole number for each rectangle, equal only for equal rectangles of the same image."""
    row_start, row_stop, col_start, col_stop = np.asarray(bounds, np.int64).reshape(-1, 4).T
    keys: NDArray[np.int64] = ((row_start * (height + 1) + row_stop) * (width + 1) + col_start) * (
        width + 1
    ) + col_stop
    return keys


def unique_rectangles(bounds: NDArray[np.int32], height: int, width: int) -> NDArray[np.int32]:
    """The different rectangles of `bounds` (n, 4) in the order in which they first appear."""
    _, first = np.unique(rectangle_keys(bounds, height, width), return_index=True)
    return bounds[np.sort(first)]
