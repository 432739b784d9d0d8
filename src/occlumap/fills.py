"""What replaces a hidden pixel (paper sections 4.7, 5.3.1, 8.1).

A fill's `prepare(image)` runs once per image and gives a painter; the painter takes the bounds of many
regions, (n, 4), and gives for each an array that broadcasts to the region's pixels (height, width, 3). Its
`prepare_mask(image)` is the same for hidden parts of any shape: a function of a bool mask (H, W), True where
hidden, to an array that broadcasts to the image, of which only the hidden pixels are used.
Colours are computed in float64 and rounded to the nearest whole number, halves to even.
"""

import reprlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import nearest, one_of, whole_number
from occlumap._extras import from_extra
from occlumap.errors import ArgumentError, FillError, OcclumapError

Image = NDArray[np.uint8]
Painter = Callable[[NDArray[np.int32]], Iterable[Image]]
MaskPainter = Callable[[NDArray[np.bool_]], Image]


@runtime_checkable
class Fill(Protocol):
    """What a fill must offer; `str(fill)` is its name in results and on the command line.

    `prepare_mask`, for method "joint", may be left out.
    """

    def prepare(self, image: Image) -> Painter:
        """A painter for `image`, uint8 (H, W, 3)."""
        ...


def painter(fill: Fill, image: Image) -> Painter:
    """`fill.prepare(image)`; the patches of a fill that is not ours are checked one by one.

    FillError when such a fill raises (in preparing, too), or gives anything but one uint8 patch for each region that
    broadcasts to its pixels.
    """
    if type(fill) in BUILT_IN:  # checking takes longer than painting
        return fill.prepare(image)
    with _as_fill_error(fill):
        paint = fill.prepare(image.copy())  # it may write into what it gets

    def checked(bounds: NDArray[np.int32]) -> Iterator[Image]:
        with _as_fill_error(fill):
            patches = iter(paint(bounds))
        for number, (a, b, c, d) in enumerate(bounds.tolist(), start=1):
            with _as_fill_error(fill):
                patch = next(patches, None)
                more = number == len(bounds) and next(patches, None) is not None
            pixels = (b - a, d - c, 3)
            expected = (
                f"expected {name_of(fill)} to paint a uint8 patch for each region, here {pixels} pixels"
            )
            if patch is None:
                raise FillError(f"{expected}, got fewer patches than the {len(bounds)} regions")
            if more:
                raise FillError(f"{expected}, got more patches than the {len(bounds)} regions")
            if not isinstance(patch, np.ndarray) or patch.dtype != np.uint8:
                raise FillError(f"{expected}, got {getattr(patch, 'dtype', type(patch).__name__)}")
            sides = (1,) * (3 - patch.ndim) + patch.shape
            if len(sides) != 3 or any(
                side not in (1, most) for side, most in zip(sides, pixels, strict=True)
            ):
                raise FillError(f"{expected}, got an array of shape {patch.shape}")
            yield patch

    return checked


def mask_painter(fill: Fill, image: Image) -> MaskPainter:
    """`fill.prepare_mask(image)`; what a fill that is not ours gives is checked each time.

    ArgumentError for a fill that paints rectangles only; FillError as `painter` has it.
    """
    prepare = getattr(fill, "prepare_mask", None)
    if prepare is None:
        raise ArgumentError(
            f"expected a fill that paints parts of any shape, got {name_of(fill)}, which has no prepare_mask(image); "
            "give it one (a function of a bool mask (H, W) to an image), or use method='paper'"
        )
    if type(fill) in BUILT_IN:
        built_in: MaskPainter = prepare(image)
        return built_in
    with _as_fill_error(fill):
        paint = prepare(image.copy())  # it may write into what it gets

    def checked(mask: NDArray[np.bool_]) -> Image:
        with _as_fill_error(fill):
            filled = paint(mask)
        if not isinstance(filled, np.ndarray) or filled.dtype != np.uint8:
            got = getattr(filled, "dtype", type(filled).__name__)
        elif (1,) * (3 - filled.ndim) + filled.shape not in {(1, 1, 1), (1, 1, 3), image.shape}:
            got = f"an array of shape {filled.shape}"
        else:
            return filled
        raise FillError(
            f"expected {name_of(fill)} to paint a uint8 image of shape {image.shape}, or one colour (1, 1, 3), "
            f"got {got}"
        )

    return checked


@contextmanager
def _as_fill_error(fill: Fill) -> Iterator[None]:
    try:
        yield
    except OcclumapError:
        raise
    except Exception as error:
        raise FillError(f"the fill {name_of(fill)} raised {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Neighbours:
    """Mean colour of the ring one pixel deep outside the region, corners not among it (section 4.7).

    Sides beyond the image are left out; a region that is the whole image takes its own mean.
    """

    def prepare(self, image: Image) -> Painter:
        """See `Fill.prepare`."""
        corner_sums = _corner_sums(image)
        height, width = image.shape[:2]

        def paint(bounds: NDArray[np.int32]) -> Iterator[Image]:
            rows, cols = np.empty((2, 4, len(bounds)), np.int64)
            rows[1:3], cols[1:3] = bounds.T[:2], bounds.T[2:]
            rows[0], rows[3] = np.maximum(rows[1] - 1, 0), np.minimum(rows[2] + 1, height)
            cols[0], cols[3] = np.maximum(cols[1] - 1, 0), np.minimum(cols[2] + 1, width)
            total = corner_sums(_RING, rows, cols)
            above_and_below = rows[1] - rows[0] + rows[3] - rows[2]
            beside = cols[1] - cols[0] + cols[3] - cols[2]
            count = above_and_below * (cols[2] - cols[1]) + beside * (rows[2] - rows[1])
            if not count.all():
                whole = count == 0
                total[whole] = corner_sums(_BOX, rows[1:3], cols[1:3])[whole]
                count[whole] = height * width
            return _strips(total / count[:, None], bounds)

        return paint

    def prepare_mask(self, image: Image) -> MaskPainter:
        """Mean colour of the visible pixels beside the hidden ones."""
        mean_colour = _mean_colour(image)

        def paint(hidden: NDArray[np.bool_]) -> Image:
            beside = np.zeros_like(hidden)
            beside[1:] |= hidden[:-1]
            beside[:-1] |= hidden[1:]
            beside[:, 1:] |= hidden[:, :-1]
            beside[:, :-1] |= hidden[:, 1:]
            beside &= ~hidden
            return mean_colour(beside if beside.any() else hidden)

        return paint

    def __str__(self) -> str:
        return "neighbours"


@dataclass(frozen=True)
class Constant:
    """One colour (red, green, blue), each 0..255; grey 169 is what the user study used (section 5.3.1)."""

    colour: tuple[int, int, int] = (169, 169, 169)

    def __post_init__(self) -> None:
        try:
            red, green, blue = (
                whole_number("a colour", value, minimum=0, maximum=255) for value in self.colour
            )
        except (TypeError, ValueError):  # no sequence, not three, no number, out of range
            raise ArgumentError(
                f"expected a fill colour of three whole numbers from 0 to 255, got {reprlib.repr(self.colour)}"
            ) from None
        object.__setattr__(self, "colour", (red, green, blue))

    def prepare(self, image: Image) -> Painter:
        """See `Fill.prepare`."""
        strip = np.repeat(np.array([self.colour], np.uint8), image.shape[1], axis=0)

        def paint(bounds: NDArray[np.int32]) -> Iterator[Image]:
            return (strip[: stop - start] for _, _, start, stop in bounds.tolist())

        return paint

    def prepare_mask(self, image: Image) -> MaskPainter:
        """The one colour."""
        colour = np.array([[self.colour]], np.uint8)
        return lambda hidden: colour

    def __str__(self) -> str:
        return "constant:" + ",".join(str(value) for value in self.colour)


@dataclass(frozen=True)
class Mean:
    """Mean colour of the region itself (section 4.7, an early form)."""

    def prepare(self, image: Image) -> Painter:
        """See `Fill.prepare`."""
        corner_sums = _corner_sums(image)

        def paint(bounds: NDArray[np.int32]) -> Iterator[Image]:
            edges = bounds.T.astype(np.int64)
            area = (edges[1] - edges[0]) * (edges[3] - edges[2])
            return _strips(corner_sums(_BOX, edges[:2], edges[2:]) / area[:, None], bounds)

        return paint

    def prepare_mask(self, image: Image) -> MaskPainter:
        """Mean colour of all that is hidden."""
        return _mean_colour(image)

    def __str__(self) -> str:
        return "mean"


@dataclass(frozen=True)
class Blur:
    """The blurred image shows through: Gaussian, sigma a tenth of the shorter side, borders reflected."""

    def prepare(self, image: Image) -> Painter:
        """See `Fill.prepare`."""
        blurred = self._blurred(image)

        def paint(bounds: NDArray[np.int32]) -> Iterator[Image]:
            return (blurred[a:b, c:d] for a, b, c, d in bounds.tolist())

        return paint

    def prepare_mask(self, image: Image) -> MaskPainter:
        """The blurred image."""
        blurred = self._blurred(image)
        return lambda hidden: blurred

    def _blurred(self, image: Image) -> Image:
        sigma = min(image.shape[:2]) / 10
        rows, cols = (_gaussian_matrix(length, sigma) for length in image.shape[:2])
        channels = [rows @ image[:, :, channel].astype(np.float64) @ cols.T for channel in range(3)]
        return np.ascontiguousarray(_to_uint8(np.stack(channels, axis=2)))  # stack leaves channels first

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
        paint_mask = self.prepare_mask(image)

        def paint(bounds: NDArray[np.int32]) -> Iterator[Image]:
            for a, b, c, d in bounds.tolist():
                hidden = np.zeros(image.shape[:2], np.bool_)
                hidden[a:b, c:d] = True
                painted = paint_mask(hidden)
                yield painted[a:b, c:d] if painted.shape == image.shape else painted

        return paint

    def prepare_mask(self, image: Image) -> MaskPainter:
        """OpenCV's inpainting of all that is hidden."""
        cv2 = from_extra("opencv", "cv2", "the fill 'inpaint'")
        mean_colour = _mean_colour(image)
        flag = cv2.INPAINT_TELEA if self.algorithm == "telea" else cv2.INPAINT_NS

        def paint(hidden: NDArray[np.bool_]) -> Image:
            if hidden.all():
                return mean_colour(hidden)
            painted: Image = cv2.inpaint(image, hidden.astype(np.uint8) * 255, self.radius, flag)
            return painted

        return paint

    def __str__(self) -> str:
        return f"inpaint:{self.algorithm}"


@dataclass(frozen=True)
class Turns:
    """Several fills, of which each mask of segments gets one by its hash (`SegmentMasks.turns`); for method "joint".

    What a fill does by itself (its own edges and colours) is told from what hiding does. Raises ArgumentError for
    fewer than two fills, for the same one twice, and for fills in turn within each other.
    """

    fills: tuple[Fill, ...]

    def __post_init__(self) -> None:
        names = [name_of(fill) for fill in self.fills]
        if (
            len(names) < 2
            or len(set(names)) < len(names)
            or any(isinstance(one, Turns) for one in self.fills)
        ):
            raise ArgumentError(
                f"expected two different fills or more with + between, such as blur+neighbours, got {self}"
            )

    def prepare(self, image: Image) -> Painter:
        """ArgumentError: what rectangles cost one by one is compared, and must be hidden alike."""
        raise ArgumentError(
            f"expected one fill for rectangles, got {self}, which takes turns; use one of them, or method='joint'"
        )

    def __str__(self) -> str:
        return "+".join(name_of(fill) for fill in self.fills)


def in_turn(fill: Fill) -> tuple[Fill, ...]:
    """The fills that take turns from mask to mask; most often `fill` alone."""
    return fill.fills if isinstance(fill, Turns) else (fill,)


def is_ours(fill: Fill) -> bool:
    """Whether painting with `fill` runs no code of the user's."""
    return all(type(one) in BUILT_IN for one in in_turn(fill))


@dataclass(frozen=True)
class Custom:
    """Any `f(image, mask) -> image`, a generative inpainter for one (section 8.1).

    `f` gets a copy of the image, uint8 (H, W, 3), and a bool mask (H, W), True where pixels are hidden; of
    the uint8 image of the same shape that it returns, only the hidden pixels are used.
    """

    function: Callable[[Image, NDArray[np.bool_]], Image]

    def prepare(self, image: Image) -> Painter:
        """See `Fill.prepare`; the painter raises FillError for a wrong shape or type."""
        paint_mask = self.prepare_mask(image)

        def paint(bounds: NDArray[np.int32]) -> Iterator[Image]:
            for a, b, c, d in bounds.tolist():
                hidden = np.zeros(image.shape[:2], np.bool_)
                hidden[a:b, c:d] = True
                yield paint_mask(hidden)[a:b, c:d]

        return paint

    def prepare_mask(self, image: Image) -> MaskPainter:
        """The function itself."""

        def paint(hidden: NDArray[np.bool_]) -> Image:
            filled = np.asarray(self.function(image.copy(), hidden.copy()))
            if filled.shape != image.shape or filled.dtype != np.uint8:
                raise FillError(
                    f"expected the fill function to return a uint8 image of shape {image.shape}, got "
                    f"{filled.dtype} of shape {filled.shape} from {self}"
                )
            return filled

        return paint

    def __str__(self) -> str:
        function = self.function
        name = getattr(function, "__qualname__", type(function).__qualname__)
        return f"custom:{getattr(function, '__module__', '?')}.{name}"


BUILT_IN = (Neighbours, Constant, Mean, Blur, Inpaint, Turns)
"""Fills that need no checking."""


def name_of(fill: Fill) -> str:
    """The fill's `str`; its type's name where that would be an address, which no resumed run has again."""
    if type(fill).__str__ is object.__str__ and type(fill).__repr__ is object.__repr__:
        return f"custom:{type(fill).__module__}.{type(fill).__qualname__}"
    return str(fill)


NAMES = ("neighbours", "constant", "mean", "blur", "inpaint")


def parse(fill: object) -> Fill:
    """The fill that `fill` stands for: a Fill, its text, a colour, or any `f(image, mask) -> image`.

    Texts: `neighbours`, `constant:169`, `constant:255,0,0`, `mean`, `blur`, `inpaint:telea`,
    `inpaint:ns`; several with `+` between take turns. Raises ArgumentError for anything else.

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
    if isinstance(fill, int | np.integer) and not isinstance(fill, bool):
        return Constant((int(fill),) * 3)
    if isinstance(fill, tuple | list) or (isinstance(fill, np.ndarray) and fill.ndim):
        return Constant(tuple(fill))
    raise ArgumentError(
        f"expected fill to be one of {', '.join(NAMES)}, a colour, or a function f(image, mask) -> image; "
        f"got {fill!r}"
    )


def _parse_text(text: str) -> Fill:
    if "+" in text:
        return Turns(tuple(_parse_text(part) for part in text.split("+")))
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


# weights of the corners of a summed-area table, edges of rows x edges of columns
_BOX = np.array([[1.0, -1.0], [-1.0, 1.0]])
_RING = np.array(
    [[0.0, 1.0, -1.0, 0.0], [1.0, -2.0, 2.0, -1.0], [-1.0, 2.0, -2.0, 1.0], [0.0, -1.0, 1.0, 0.0]]
)


def _corner_sums(
    image: Image,
) -> Callable[[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]:
    """A function of (weights (k, k), rows (k, n), cols (k, n)) giving exact sums of pixels, (n, 3).

    All values are whole numbers far below 2^53, so float64 holds them exactly, in any order of adding.
    """
    height, width = image.shape[:2]
    table = np.zeros((height + 1, width + 1, 3))
    table[1:, 1:] = image.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    flat = table.reshape(-1, 3)

    def corner_sums(
        weights: NDArray[np.float64], rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        places = (rows * (width + 1))[:, None] + cols[None]
        corners = flat.take(places.reshape(weights.size, -1), axis=0)
        sums: NDArray[np.float64] = weights.reshape(-1) @ corners.reshape(weights.size, -1)
        return sums.reshape(-1, 3)

    return corner_sums


def _strips(colours: NDArray[np.float64], bounds: NDArray[np.int32]) -> Iterator[Image]:
    """One row of pixels of each colour: NumPy copies whole rows far faster than single pixels."""
    widths = (bounds[:, 3] - bounds[:, 2]).tolist()
    strips = np.repeat(_to_uint8(colours)[:, None], max(widths, default=0), axis=1)
    return (strip[:width] for strip, width in zip(strips, widths, strict=True))


def _mean_colour(image: Image) -> MaskPainter:
    """A function of a mask with a pixel that gives the mean colour of its pixels, (1, 1, 3).

    By a product with the pixels, much faster than picking them; float64 holds its sums exactly, in any order.
    """
    pixels = image.reshape(-1, 3).astype(np.float64)

    def mean_colour(mask: NDArray[np.bool_]) -> Image:
        inside = mask.ravel().astype(np.float64)
        return _to_uint8(inside @ pixels / np.count_nonzero(mask))[None, None]

    return mean_colour


def _to_uint8(colours: NDArray[np.float64]) -> Image:
    return np.rint(colours).astype(np.uint8)


def _gaussian_matrix(length: int, sigma: float) -> NDArray[np.float64]:
    """The (length, length) matrix that blurs one axis; its kernel is cut at 4 sigma, borders reflected."""
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    source = np.pad(np.arange(length), radius, mode="symmetric")
    places = source[np.arange(length)[:, None] + np.arange(len(kernel))] + length * np.arange(length)[:, None]
    weights = np.broadcast_to(kernel, places.shape)
    matrix: NDArray[np.float64] = np.bincount(places.ravel(), weights.ravel(), length * length).astype(
        np.float64
    )
    return matrix.reshape(length, length)
