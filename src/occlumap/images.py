"""Files and arrays to images: uint8 RGB (H, W, 3); and their centre at a classifier's input size."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import whole_number
from occlumap.errors import ArgumentError, ImageError, OcclumapWarning
from occlumap.regions import Frame, Region

_EXPECTED = "expected an image of shape (H, W), (H, W, 3) or (H, W, 4)"
_TRANSPARENT = "transparent pixels were composited over white"
_UPRIGHT = "turned upright as its EXIF orientation says"
_SIXTEEN = "16-bit values were reduced to 8 bits"
_DARK = (
    "16-bit values that all lie below 256 became nearly black; if they were meant as 8-bit values, hand in "
    "array.astype(np.uint8), or save the picture with 8 bits"
)
_GREY = "greyscale was repeated on three channels"
_FLOAT = "float values 0..1 were scaled to 0..255"
_FIRST = "only the first frame of several was taken"
_CURRENT = "only the current frame of several was taken"
_LARGEST_SIDE = 2**14  # of what a classifier takes; larger ones only fill the memory
_BOOLEAN = "false and true became black and white"


class Photograph(NamedTuple):
    """An image as uint8 RGB (H, W, 3), and notes in plain words on what was changed in reading it."""

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...]


def read(source: Any, *, stacklevel: int = 2, quiet: bool = False) -> Photograph:
    """An image from a path, a binary file, a PIL image or an array.

    `stacklevel` is that of its warnings; `quiet`: without them. No filter of warnings is touched, so threads may read.

    Files: EXIF orientation is applied, transparency composited over white (with a warning), 16 bit reduced
    to 8 (with a warning where all values lie below 256), only the first frame taken. Arrays: (H, W), (H, W, 1),
    (H, W, 3) or (H, W, 4), uint8, uint16, other integers 0..255, booleans, or floats 0..1. The caller's array or
    PIL image is never changed.

    Raises ImageError for anything else: broken or hostile files (Pillow's limit on pixels is kept), wrong
    shapes, values out of range.
    """
    from PIL import Image

    if isinstance(source, str | os.PathLike):
        photograph = _read_file(Path(source), str(source))
    elif isinstance(source, Image.Image):
        with _helpful_errors("the PIL image"):
            photograph = _from_pil(source, "the PIL image")
    elif hasattr(source, "read"):
        photograph = _read_file(source, str(getattr(source, "name", "the file")))
    else:
        photograph = _from_array(source)
    if _TRANSPARENT in photograph.notes and not quiet:
        warnings.warn(f"the image has transparency: {_TRANSPARENT}", OcclumapWarning, stacklevel=stacklevel)
    if _DARK in photograph.notes and not quiet:
        warnings.warn(_DARK, OcclumapWarning, stacklevel=stacklevel)
    return photograph


def fit(pixels: NDArray[np.uint8], size: tuple[int, int]) -> tuple[NDArray[np.uint8], Frame]:
    """The centre of an image in the proportions of `size` (height, width), brought to it (bicubic).

    Returns uint8 (height, width, 3), and the Frame that says which part of the image it shows. Raises
    ArgumentError for a size that is not two whole numbers from 1 to 16384.
    """
    from PIL import Image

    size = _checked_size(size)
    height, width = pixels.shape[:2]
    scale = min(height / size[0], width / size[1])
    crop = min(height, max(1, round(size[0] * scale))), min(width, max(1, round(size[1] * scale)))
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    region = Region(top, top + crop[0], left, left + crop[1])
    frame = Frame(height, width, region)
    part = pixels[region.slices]
    if part.shape[:2] == size:
        return np.ascontiguousarray(part), frame
    resized = Image.fromarray(part).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.array(resized, np.uint8), frame


def _checked_size(size: object) -> tuple[int, int]:
    try:
        height, width = (whole_number("a side", side, minimum=1, maximum=_LARGEST_SIDE) for side in size)  # type: ignore[attr-defined]
    except (TypeError, ValueError):  # one number, three, fractions, 0
        raise ArgumentError(
            "expected the size of a classifier's images (its input_size) to be (height, width), whole numbers from "
            f"1 to {_LARGEST_SIDE}, got {size!r}"
        ) from None
    return height, width


def _read_file(file: Path | IO[bytes], name: str) -> Photograph:
    from PIL import Image

    with _helpful_errors(name), Image.open(file) as picture:
        pixels, most = picture.width * picture.height, Image.MAX_IMAGE_PIXELS
        if most is not None and pixels > most:  # Pillow itself only warns, up to twice as many
            raise Image.DecompressionBombError(f"it has {pixels} pixels, the limit is {most}")
        return _from_pil(picture, name)


@contextmanager
def _helpful_errors(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises while it reads `name` into an ImageError that says what to do."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"expected an image file, found no file at {name!r}; check the path") from None
    except IsADirectoryError:
        raise ImageError(f"expected an image file, got the folder {name!r}; name one file in it") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"expected an image file (JPEG, PNG, ...), got {name!r}, which is none; if a viewer opens it, save it "
            "from there as PNG"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"expected an image of a sane size, got {name!r}: {error}; make it smaller if it is yours, or raise "
            "PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except Exception as error:
        # Not a list of types: a hostile file makes Pillow raise nearly anything, IndexError and TypeError too.
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageError(
                f"expected an image file, could not open {name!r}: {error.strerror}; check the path and its permissions"
            ) from error
        raise ImageError(
            f"expected a whole image file, could not read {name!r}: {error}; it may be damaged or cut off"
        ) from error


def _from_pil(picture: Any, name: str) -> Photograph:
    from PIL import ImageOps

    if 0 in picture.size:
        raise ImageError(f"expected an image with pixels, got {name!r} of {picture.size} (width, height)")
    notes = []
    if getattr(picture, "n_frames", 1) > 1:
        notes.append(_CURRENT if picture.tell() else _FIRST)  # a file just opened stands at its first
    # Pillow itself brings 16-bit colour to 8 bits; what it starts from is only seen before it loads.
    reduced = any(_raw_mode(tile).endswith((";16B", ";16L", ";16N")) for tile in getattr(picture, "tile", ()))
    turned = picture.getexif().get(0x0112) in range(2, 9)  # before it loads: Pillow turns a TIFF by itself
    picture.load()
    if turned:
        notes.append(_UPRIGHT)
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture)
        if picture.mode == "F":
            raise ImageError(
                f"expected 8 or 16 bits per channel, got {name!r} with floats; hand in an array 0..1"
            )
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(
                f"expected values from 0 to 65535 in {name!r}, got {values.min()} to {values.max()}"
            )
        read_values = _from_array(values.astype(np.uint16))
        return Photograph(read_values.pixels, (*notes, *read_values.notes))
    if reduced:
        notes.append(_SIXTEEN)
    if picture.mode in ("L", "1", "LA", "La"):
        notes.append(_GREY)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        composited = _from_array(np.asarray(picture.convert("RGBA")))
        return Photograph(composited.pixels, (*notes, *composited.notes))
    return Photograph(np.array(picture.convert("RGB"), np.uint8), tuple(notes))


def _raw_mode(tile: Any) -> str:
    """The pixels' layout as Pillow's decoders name it, "RGB;16B" for one; a tile is (codec, box, offset, args)."""
    return str(tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3])


def _from_array(source: object) -> Photograph:
    if isinstance(source, bytes | bytearray):
        raise ImageError(f"{_EXPECTED}, a path or a PIL image, got bytes; wrap a file's in io.BytesIO")
    if isinstance(source, dict | set) or source is None:
        raise ImageError(f"{_EXPECTED}, a path or a PIL image, got {type(source).__name__}")
    try:
        array = np.asarray(source)
    except Exception as error:
        raise ImageError(
            f"{_EXPECTED}, a path or a PIL image, got {type(source).__name__}: {error}"
        ) from error
    _check_shape(array)
    if np.ma.is_masked(source):
        raise ImageError(
            "expected an image whose pixels all count, got a masked array with masked values; fill them: "
            "image.filled(0)"
        )
    array, notes = _to_uint8(array)
    if array.ndim == 2 or array.shape[2] == 1:
        notes.append(_GREY)
        return Photograph(np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2), tuple(notes))
    if array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.float64) / 255
        if (alpha < 1).any():
            notes.append(_TRANSPARENT)
        over_white = array[..., :3] * alpha + 255 * (1 - alpha)
        return Photograph(np.rint(over_white).astype(np.uint8), tuple(notes))
    return Photograph(np.array(array, np.uint8, order="C"), tuple(notes))


def _check_shape(array: NDArray[Any]) -> None:
    if array.size == 0:
        raise ImageError(f"{_EXPECTED}, got an empty array of shape {array.shape}")
    if array.ndim == 4:
        raise ImageError(
            f"{_EXPECTED}, got shape {array.shape}, which looks like a batch; explain one image at a time"
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        raise ImageError(f"{_EXPECTED}, got channels first, {array.shape}; hand in image.transpose(1, 2, 0)")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(f"{_EXPECTED}, got shape {array.shape}")


def _to_uint8(array: NDArray[Any]) -> tuple[NDArray[np.uint8], list[str]]:
    if array.dtype == np.uint8:
        return array, []
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # in either byte order
        dark = 0 < array.max() < 256
        return np.rint(array / 257).astype(np.uint8), [_SIXTEEN, *([_DARK] if dark else [])]
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255), [_BOOLEAN]
    if array.dtype.kind in "iu":
        if array.min() < 0 or array.max() > 255:
            raise ImageError(
                f"expected {array.dtype} values from 0 to 255, got {array.min()} to {array.max()}; "
                "for 16-bit values hand in uint16"
            )
        return array.astype(np.uint8), []
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise ImageError("expected float values from 0 to 1, got some that are not finite; replace them")
        least, most = float(array.min()), float(array.max())
        slack = max(
            1e-6, float(np.finfo(array.dtype).eps)
        )  # what rounding, resizing for one, may overshoot by
        if least < -slack or most > 1 + slack:
            raise ImageError(
                f"expected float values from 0 to 1, got {least:.9g} to {most:.9g}; divide by 255, or hand "
                "in uint8, and undo any normalisation: that is the classifier's business"
            )
        return np.rint(np.clip(array.astype(np.float64), 0, 1) * 255).astype(np.uint8), [_FLOAT]
    raise ImageError(f"{_EXPECTED} of uint8, uint16 or floats 0..1, got values of type {array.dtype}")
