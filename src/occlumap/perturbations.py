"""Perturbations: which rectangles or segments of an image are hidden, and the images that come of it."""

import hashlib
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlumap.fills import Fill, Image, MaskPainter, Painter, in_turn, mask_painter, painter

MaskPainters = list[MaskPainter]
"""Of the fills that take turns, one painter each."""

BATCHES_PAINTED = 8
"""Batches whose fill colours are worked out in one go, to spread NumPy's cost per call. For speed alone."""


class Perturbations(Protocol):
    """n perturbed images to be made of one image: `Rectangles`, or `SegmentMasks`."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> Self: ...

    @property
    def hides(self) -> str:
        """What kind of part is hidden; equal for perturbations that can be measured together."""
        ...

    def keys(self) -> list[bytes]:
        """A short value for each perturbation, equal only for equal ones."""
        ...

    def from_keys(self, keys: Collection[bytes]) -> Self:
        """The opposite of `keys`, for perturbations like these."""
        ...

    def painter(self, fill: Fill, image: Image) -> Any:
        """What `batches` and `apply` need to paint the hidden parts."""
        ...

    def batches(self, size: int, paint: Any) -> Iterator[tuple[Self, Any]]:
        """Parts of at most `size`, each with the painter for its `apply`."""
        ...

    def apply(self, image: Image, paint: Any) -> Image:
        """The perturbed images, uint8 (n, H, W, 3), in memory of their own."""
        ...

    def describe(self, index: int) -> str:
        """Perturbation `index` in words, for messages."""
        ...


@dataclass(frozen=True, eq=False)
class Rectangles:
    """n perturbed images to be made, each with one rectangle or more hidden.

    `bounds`: (m, 4) int32, rectangles as a Region has them. `starts`: (n + 1,) int64; perturbation i hides
    the rectangles `bounds[starts[i]:starts[i + 1]]`, each filled from the unperturbed image.
    """

    bounds: NDArray[np.int32]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, part: slice) -> "Rectangles":
        lengths = np.diff(self.starts)[part]
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        rectangles = np.arange(starts[-1]) + np.repeat(self.starts[:-1][part] - starts[:-1], lengths)
        return Rectangles(self.bounds[rectangles], starts)

    def __add__(self, other: "Rectangles") -> "Rectangles":
        return Rectangles(
            np.concatenate([self.bounds, other.bounds]),
            np.concatenate([self.starts, other.starts[1:] + self.starts[-1]]),
        )

    @property
    def hides(self) -> str:
        """See `Perturbations.hides`."""
        return "rectangles"

    def keys(self) -> list[bytes]:
        """A short value for each perturbation, equal only for equal ones."""
        data, starts = self.bounds.tobytes(), (self.starts * self.bounds.itemsize * 4).tolist()
        return [data[start:stop] for start, stop in pairwise(starts)]

    @classmethod
    def from_keys(cls, keys: Collection[bytes]) -> "Rectangles":
        """The opposite of `keys`."""
        size = 4 * np.dtype(np.int32).itemsize  # of a rectangle
        bounds = np.frombuffer(b"".join(keys), np.int32).reshape(-1, 4)
        lengths = np.fromiter(map(len, keys), np.int64, len(keys)) // size
        return cls(bounds, np.concatenate([[0], np.cumsum(lengths)]))

    def singles(self) -> NDArray[np.int64]:
        """Indices of the perturbations that hide a single rectangle."""
        return np.flatnonzero(np.diff(self.starts) == 1)

    def painter(self, fill: Fill, image: Image) -> Painter:
        """See `fills.painter`."""
        return painter(fill, image)

    def batches(self, size: int, paint: Painter) -> "Iterator[tuple[Rectangles, Painter]]":
        """See `Perturbations.batches`; fill colours of several batches are worked out together."""
        for start in range(0, len(self), size * BATCHES_PAINTED):
            block = self[start : start + size * BATCHES_PAINTED]
            patches = iter(paint(block.bounds))
            for first in range(0, len(block), size):
                yield block[first : first + size], _handing_out(patches)

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


def _handing_out(patches: Iterator[Image]) -> Painter:
    """A painter that takes the next of patches which are painted already."""
    return lambda bounds: islice(patches, len(bounds))


@dataclass(frozen=True, eq=False)
class SegmentMasks:
    """n perturbed images to be made, each with some segments of the image hidden.

    `labels`: (H, W) int32, the segment of each pixel, 0..k - 1. `kept`: (n, k) bool, which segments stay visible.
    """

    labels: NDArray[np.int32]
    kept: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, part: slice) -> "SegmentMasks":
        return SegmentMasks(self.labels, self.kept[part])

    @property
    def hides(self) -> str:
        """See `Perturbations.hides`: segments, and which, by their hash."""
        return f"segments {hashlib.sha256(np.ascontiguousarray(self.labels).tobytes()).hexdigest()[:12]}"

    def keys(self) -> list[bytes]:
        """A short value for each mask, equal only for equal ones."""
        return [row.tobytes() for row in np.packbits(self.kept, axis=1)]

    def from_keys(self, keys: Collection[bytes]) -> "SegmentMasks":
        """The opposite of `keys`, over the same segments."""
        width = self.kept.shape[1]
        packed = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), (width + 7) // 8)
        return SegmentMasks(self.labels, np.unpackbits(packed, axis=1, count=width).astype(np.bool_))

    def turns(self, count: int) -> NDArray[np.int64]:
        """For each mask one of 0..count - 1, by its hash: the same whenever it is asked, as good as chance."""
        if count == 1:
            return np.zeros(len(self), np.int64)
        packed = np.packbits(self.kept, axis=1)
        return np.array([zlib.crc32(row.tobytes()) % count for row in packed], np.int64)

    def painter(self, fill: Fill, image: Image) -> MaskPainters:
        """See `fills.mask_painter`; one for each of the fills that take turns."""
        return [mask_painter(one, image) for one in in_turn(fill)]

    def batches(self, size: int, paint: MaskPainters) -> "Iterator[tuple[SegmentMasks, MaskPainters]]":
        """See `Perturbations.batches`."""
        for start in range(0, len(self), size):
            yield self[start : start + size], paint

    def apply(self, image: Image, paint: MaskPainters) -> Image:
        """The perturbed images, uint8 (n, H, W, 3), in memory of their own."""
        height, width = image.shape[:2]
        # whole rows of values, not pixels of three: several times faster, as is all that follows
        batch = np.empty((len(self), height, 3 * width), np.uint8)
        plain = image.reshape(height, 3 * width)
        turns = self.turns(len(paint)).tolist()
        places = self.labels.astype(np.intp)
        for first in range(0, len(self), 8):
            # a byte for each pixel, one bit for each of eight masks: 1 where the pixel is visible
            bits = np.packbits(self.kept[first : first + 8], axis=0, bitorder="little")[0].take(places)
            bits_of_values = bits.repeat(3).reshape(plain.shape)
            for bit, made in enumerate(batch[first : first + 8]):
                hidden = (bits & (1 << bit)) == 0
                painted = paint[turns[first + bit]](hidden) if hidden.any() else image
                if painted.shape != image.shape:  # one colour
                    painted = np.broadcast_to(painted, (1, width, 3))
                painted = painted.reshape(-1, 3 * width)
                # the image where visible is all ones, what is painted where it is 0
                visible = np.negative(bits_of_values >> bit & 1)
                np.bitwise_xor(plain, painted, out=made)
                made &= visible
                made ^= painted
        return batch.reshape(len(self), *image.shape)

    def describe(self, index: int) -> str:
        """Mask `index` in words, for messages."""
        return f"{int((~self.kept[index]).sum())} of {self.kept.shape[1]} segments hidden"


def removals(regions: ArrayLike) -> Rectangles:
    """Hide one rectangle at a time; `regions`: (n, 4), or a sequence of Region."""
    bounds = np.asarray(regions, np.int32).reshape(-1, 4)
    return Rectangles(bounds, np.arange(len(bounds) + 1, dtype=np.int64))


def joint_removals(groups: Iterable[Sequence[Sequence[int]] | NDArray[np.int32]]) -> Rectangles:
    """Hide several rectangles at once: one perturbation for each group of bounds (k, 4)."""
    blocks = [np.asarray(group, np.int32).reshape(-1, 4) for group in groups]
    starts = np.cumsum([0, *(len(block) for block in blocks)], dtype=np.int64)
    return Rectangles(np.concatenate([np.empty((0, 4), np.int32), *blocks]), starts)


NO_RECTANGLES = removals([])
"""Nothing to hide, of the kind of rectangles."""
