"""What replaces a hidden pixel (paper sections 4.7, 5.3.1, 8.1).

A fill's `prepare(image)` runs once per image and gives a painter; the painter takes the bounds of many
regions, (n, 4), and gives for each an array that broadcasts to the region's pixels (height, width, 3).
Colours are computed in float64 and rounded to the nearest whole number, halves to even.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import nearest, one_of
from occlumap.errors import ArgumentError, MissingDependencyError

Image = NDArray[np.uint8]
Painter = Callable[[NDArray[np.int32]], Iterable[Image]]


@runtime_checkable
class Fill(Protocol):
    """What a fill must offer; `str(fill)` is its name in results and on the command line."""

    def prepare(self, image: Image) -> Painter:
        """A painter for `image`, uint8 (H, W, 3)."""
        ...


@dataclass(frozen=True)
class Neighbours:
    """Mean colour of the ring one pixel deep outside the region, corners not among it (section 4.7).

    Sides beyond the image are left out; a region that is the whole image takes its own mean.
    """

    def prepare(self, image: Image) -> Painter:
        """See `Fill.prepare`."""
        box_sum = _box_sums(image)
        height, width = image.shape[:2]

        def paint(bounds: NDArray[np.int32]) -> Iterator[Image]:
            row_start, row_stop, col_start, col_stop = bounds.astype(np.int64).T
            above, below = np.maximum(row_start - 1, 0), np.minimum(row_stop + 1, height)
            left, right = np.maximum(col_start - 1, 0), np.minimum(col_stop + 1, width)
            total = (
                box_sum(above, row_start, col_start, col_stop)
                + box_sum(row_stop, below, col_start, col_stop)
                + box_sum(row_start, row_stop, left, col_start)
                + box_sum(row_start, row_stop, col_stop, right)
            )
            count = (row_start - above + below - row_stop) * (col_stop - col_start) + (
                col_start - left + right - col_stop
            ) * (row_stop - row_start)
            if (whole := count == 0).any():
                total[whole] = box_sum(row_start, row_stop, col_start, col_stop)[whole]
                count = np.where(whole, height * width, count)
            return _strips(total / count[:, None], bounds)

        return paint

    def __str__(self) -> str:
        return "neighbours"


@dataclass(frozen=True)
class Constant:
    """One colour (red, green, blue), each 0..255; grey 169 is what the user study used (section 5.3.1)."""

    colour: tuple[int, int, int] = (169, 169, 169)

    def __post_init__(self) -> None:
        values = self.colour
        if len(values) != 3 or any(isinstance(v, bool) or int(v) != v or not 0 <= v <= 255 for v in values):
            raise ArgumentError(
                f"expected a fill colour of three whole numbers from 0 to 255, got {values!r}"
            )
        object.__setattr__(self, "colour", tuple(int(value) for value in values))

    def prepare(self, image: Image) -> Painter:
        """See `Fill.prepare`."""
        strip = np.repeat(np.array([self.colour], np.uint8), image.shape[1], axis=0)

        def paint(bounds: NDArray[np.int32]) -> Iterator[Image]:
            return (strip[: stop - start] for _, _, start, stop in bounds.tolist())

        return paint

    def __str__(self) -> str:
        return "constant:" + ",".join(str(value) for value in self.colour)


@dataclass(frozen=True)
class Mean:
    """Mean colour of the region itself (section 4.7, an early form)."""

    def prepare(self, image: Image) -> Painter:
        """See `Fill.prepare`."""
        box_sum = _box_sums(image)

        def paint(bounds: NDArray[np.int32]) -> Iterator[Image]:
            row_start, row_stop, col_start, col_stop = bounds.astype(np.int64).T
            area = (row_stop - row_start) * (col_stop - col_start)
            return _strips(box_sum(row_start, row_stop, col_start, col_stop) / area[:, None], bounds)

        return paint

    def __str__(self) -> str:
        return "mean"


@dataclass(frozen=True)
class Blur:
    """The blurred image shows through: Gaussian, sigma a tenth of the shorter side, borders reflected."""

    def prepare(self, image: Image) -> Painter:
        """See `Fill.prepare`."""
        sigma = min(image.shape[:2]) / 10
        rows, cols = (_gaussian_matrix(length, sigma) for length in image.shape[:2])
        channels = [rows @ image[:, :, channel].astype(np.float64) @ cols.T for channel in range(3)]
        blurred = _to_uint8(np.stack(channels, axis=2))

        def paint(bounds: NDArray[np.int32]) -> Iterator[Image]:
            return (blurred[a:b, c:d] for a, b, c, d in bounds.tolist())

        return paint

    def __str__(self) -> str:
        return "blur"


@dataclass(frozen=True)
class Inpaint:
    """Classic inpainting of OpenCV with radius 3 (extra `opencv`), `telea` or `ns` (Navier-Stokes).

    A region that is the whole image takes its own mean: nothing is left to paint from.
    """

    algorithm: str = "telea"
    radius: ClassVar[int] = 3

    def __post_init__(self) -> None:
        one_of("the inpainting algorithm", self.algorithm, ("telea", "ns"))

    def prepare(self, image: Image) -> Painter:
        """See `Fill.prepare`."""
        try:
            import cv2
        except ImportError as error:
            raise MissingDependencyError(
                "the fill 'inpaint' needs OpenCV, which is not installed; run: pip install 'occlumap[opencv]'"
            ) from error
        flag = cv2.INPAINT_TELEA if self.algorithm == "telea" else cv2.INPAINT_NS
        height, width = image.shape[:2]
        mean = Mean().prepare(image)

        def paint(bounds: NDArray[np.int32]) -> Iterator[Image]:
            for row in bounds:
                a, b, c, d = row.tolist()
                if (b - a, d - c) == (height, width):
                    yield from mean(row[None])
                    continue
                mask = np.zeros((height, width), np.uint8)
                mask[a:b, c:d] = 255
                yield cv2.inpaint(image, mask, self.radius, flag)[a:b, c:d]

        return paint

    def __str__(self) -> str:
        return f"inpaint:{self.algorithm}"


@dataclass(frozen=True)
class Custom:
    """Any `f(image, mask) -> image`, a generative inpainter for one (section 8.1).

    `f` gets a copy of the image, uint8 (H, W, 3), and a bool mask (H, W), True where pixels are hidden; of
    the uint8 image of the same shape that it returns, only the hidden pixels are used.
    """

    function: Callable[[Image, NDArray[np.bool_]], Image]

    def prepare(self, image: Image) -> Painter:
        """See `Fill.prepare`; the painter raises ArgumentError for a wrong shape or type."""

        def paint(bounds: NDArray[np.int32]) -> Iterator[Image]:
            for a, b, c, d in bounds.tolist():
                mask = np.zeros(image.shape[:2], np.bool_)
                mask[a:b, c:d] = True
                filled = np.asarray(self.function(image.copy(), mask))
                if filled.shape != image.shape or filled.dtype != np.uint8:
                    raise ArgumentError(
                        f"expected the fill function to return a uint8 image of shape {image.shape}, got "
                        f"{filled.dtype} of shape {filled.shape} from {self}"
                    )
                yield filled[a:b, c:d]

        return paint

    def __str__(self) -> str:
        function = self.function
        name = getattr(function, "__qualname__", type(function).__qualname__)
        return f"custom:{getattr(function, '__module__', '?')}.{name}"


NAMES = ("neighbours", "constant", "mean", "blur", "inpaint")


def parse(fill: object) -> Fill:
    """The fill that `fill` stands for: a Fill, its text, a colour, or any `f(image, mask) -> image`.

    Texts: `neighbours`, `constant:169`, `constant:255,0,0`, `mean`, `blur`, `inpaint:telea`,
    `inpaint:ns`. Raises ArgumentError for anything else.

    >>> str(parse("constant:169"))
    'constant:169,169,169'
    """
    if isinstance(fill, type):
        raise ArgumentError(f"expected a fill, got the class {fill.__name__}; write {fill.__name__}()")
    if isinstance(fill, Fill):
        return fill
    if isinstance(fill, str):
        return _parse_text(fill)
    if callable(fill):
        return Custom(fill)
    if isinstance(fill, int) and not isinstance(fill, bool):
        return Constant((fill, fill, fill))
    if isinstance(fill, tuple | list | np.ndarray):
        return Constant(tuple(fill))
    raise ArgumentError(
        f"expected fill to be one of {', '.join(NAMES)}, a colour, or a function f(image, mask) -> image; "
        f"got {fill!r}"
    )


def _parse_text(text: str) -> Fill:
    name, colon, argument = text.strip().lower().partition(":")
    plain: dict[str, Fill] = {"neighbours": Neighbours(), "mean": Mean(), "blur": Blur()}
    if name in plain and not colon:
        return plain[name]
    if name == "constant":
        parts = argument.split(",") if colon else ["169"]
        try:
            values = [int(part) for part in parts]
        except ValueError:
            values = []
        if len(values) in (1, 3):
            return Constant((values[0], values[0], values[0]) if len(values) == 1 else tuple(values))  # type: ignore[arg-type]
        raise ArgumentError(f"expected constant:GREY or constant:RED,GREEN,BLUE, each 0 to 255, got {text!r}")
    if name == "inpaint":
        return Inpaint(argument if colon else "telea")
    raise ArgumentError(
        "expected fill to be neighbours, constant:GREY, constant:RED,GREEN,BLUE, mean, blur, inpaint:telea or "
        f"inpaint:ns; got {text!r}{nearest(name, NAMES)}"
    )


def _box_sums(image: Image) -> Callable[..., NDArray[np.int64]]:
    """A function of (row_start, row_stop, col_start, col_stop), each (n,), giving exact sums (n, 3)."""
    table = np.zeros((image.shape[0] + 1, image.shape[1] + 1, 3), np.int64)
    np.cumsum(image, axis=0, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])

    def box_sum(
        top: NDArray[np.int64], bottom: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        total: NDArray[np.int64] = (
            table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
        )
        return total

    return box_sum


def _strips(colours: NDArray[np.float64], bounds: NDArray[np.int32]) -> Iterator[Image]:
    """One row of pixels of each colour: NumPy copies whole rows far faster than single pixels."""
    widths = (bounds[:, 3] - bounds[:, 2]).tolist()
    strips = np.repeat(_to_uint8(colours)[:, None], max(widths, default=0), axis=1)
    return (strip[:width] for strip, width in zip(strips, widths, strict=True))


def _to_uint8(colours: NDArray[np.float64]) -> Image:
    return np.rint(colours).astype(np.uint8)


def _gaussian_matrix(length: int, sigma: float) -> NDArray[np.float64]:
    """The (length, length) matrix that blurs one axis; its kernel is cut at 4 sigma, borders reflected."""
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    source = np.pad(np.arange(length), radius, mode="symmetric")
    matrix = np.zeros((length, length))
    for row in range(length):
        np.add.at(matrix[row], source[row : row + 2 * radius + 1], kernel)
    return matrix
