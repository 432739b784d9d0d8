"""Perturbations: which rectangles of an image are hidden, and the images that come of it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlumap.fills import Image, Painter


@dataclass(frozen=True, eq=False)
class Perturbations:
    """n perturbed images to be made, each with one rectangle or more hidden.

    `bounds`: (m, 4) int32, rectangles as a Region has them. `starts`: (n + 1,) int64; perturbation i hides
    the rectangles `bounds[starts[i]:starts[i + 1]]`, each filled from the unperturbed image.
    """

    bounds: NDArray[np.int32]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, part: slice) -> "Perturbations":
        lengths = np.diff(self.starts)[part]
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        rectangles = np.arange(starts[-1]) + np.repeat(self.starts[:-1][part] - starts[:-1], lengths)
        return Perturbations(self.bounds[rectangles], starts)

    def __add__(self, other: "Perturbations") -> "Perturbations":
        return Perturbations(
            np.concatenate([self.bounds, other.bounds]),
            np.concatenate([self.starts, other.starts[1:] + self.starts[-1]]),
        )

    def keys(self) -> list[bytes]:
        """A short value for each perturbation, equal only for equal ones."""
        data, starts = self.bounds.tobytes(), (self.starts * self.bounds.itemsize * 4).tolist()
        return [data[start:stop] for start, stop in pairwise(starts)]

    @classmethod
    def from_keys(cls, keys: Collection[bytes]) -> "Perturbations":
        """The opposite of `keys`."""
        size = 4 * np.dtype(np.int32).itemsize  # of a rectangle
        bounds = np.frombuffer(b"".join(keys), np.int32).reshape(-1, 4)
        lengths = np.fromiter(map(len, keys), np.int64, len(keys)) // size
        return cls(bounds, np.concatenate([[0], np.cumsum(lengths)]))

    def singles(self) -> NDArray[np.int64]:
        """Indices of the perturbations that hide a single rectangle."""
        return np.flatnonzero(np.diff(self.starts) == 1)

    def apply(self, image: Image, paint: Painter) -> Image:
        """The perturbed images, uint8 (n, H, W, 3), in memory of their own."""
        batch = np.repeat(image[None], len(self), axis=0)
        owners = np.repeat(np.arange(len(self)), np.diff(self.starts)).tolist()
        for owner, (a, b, c, d), patch in zip(owners, self.bounds.tolist(), paint(self.bounds), strict=True):
            batch[owner, a:b, c:d] = patch
        return batch

    def describe(self, index: int) -> str:
        """Perturbation `index` in words, for messages."""
        hidden = self.bounds[self.starts[index] : self.starts[index + 1]].tolist()
        if len(hidden) != 1:
            return f"{len(hidden)} regions hidden together"
        row_start, row_stop, col_start, col_stop = hidden[0]
        return f"region rows {row_start}:{row_stop}, columns {col_start}:{col_stop} hidden"


def removals(regions: ArrayLike) -> Perturbations:
    """Hide one rectangle at a time; `regions`: (n, 4), or a sequence of Region."""
    bounds = np.asarray(regions, np.int32).reshape(-1, 4)
    return Perturbations(bounds, np.arange(len(bounds) + 1, dtype=np.int64))


def joint_removals(groups: Iterable[Sequence[Sequence[int]] | NDArray[np.int32]]) -> Perturbations:
    """Hide several rectangles at once: one perturbation for each group of bounds (k, 4)."""
    blocks = [np.asarray(group, np.int32).reshape(-1, 4) for group in groups]
    starts = np.cumsum([0, *(len(block) for block in blocks)], dtype=np.int64)
    return Perturbations(np.concatenate([np.empty((0, 4), np.int32), *blocks]), starts)
