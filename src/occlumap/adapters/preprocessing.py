"""Preprocessing: what a network wants of uint8 images, said once and checked; and scores from its output."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import nearest, one_of, whole_number
from occlumap.errors import ArgumentError, ImageError, OcclumapWarning, ScoreError

REQUIRED = ("size", "layout", "colour", "mean", "std", "output")
LAYOUTS = ("NCHW", "NHWC")
COLOURS = ("RGB", "BGR", "L")
OUTPUTS = ("probabilities", "logits", "numbers")
ABOUT = {
    "size": "[height, width] in pixels, or one number for a square",
    "layout": '"NCHW" or "NHWC"',
    "colour": '"RGB", "BGR" or "L" (grey)',
    "mean": "one number or one a channel, in the units of pixels 0..255",
    "std": "one number or one a channel; input = (pixel - mean) / std",
    "output": '"probabilities", "logits", of which softmax makes probabilities, or "numbers", as they come',
}

MOST = 1e38
"""In size, of an input: float32 has no larger ones."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's mode "L"


@dataclass(frozen=True)
class Preprocessing:
    """input = (pixel - mean) / std in the layout and colour that a network wants.

    `size`: (height, width). `layout`: NCHW or NHWC. `colour`: RGB, BGR or L. `mean`, `std`: one number, or one a
    channel in the order of `colour`, in the units of pixels 0..255. `output`: probabilities, logits or numbers.
    """

    size: tuple[int, int]
    layout: str
    colour: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    output: str

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str) -> "Preprocessing":
        """What `given` says under the names of the fields; `where` tells where, in messages.

        Raises ArgumentError for a key that is missing, as none is guessed, and for a value that cannot be. Warns of
        mean and std that look like those of pixels 0..1.
        """
        missing = [key for key in REQUIRED if given.get(key) is None]
        if missing:
            listed = "; ".join(f"{key}: {ABOUT[key]}" for key in missing)
            raise ArgumentError(f"expected {', '.join(missing)} {where}, which nobody can guess. {listed}")
        colour = one_of("colour", given["colour"], COLOURS)
        channels = 1 if colour == "L" else 3
        std = _numbers("std", given["std"], channels)
        if min(std) <= 0:
            raise ArgumentError(f"expected std above 0 {where}, got {given['std']}")
        mean = _numbers("mean", given["mean"], channels)
        _check_units(mean, std, where)
        return cls(
            _size(given["size"]),
            one_of("layout", given["layout"], LAYOUTS),
            colour,
            mean,
            std,
            one_of("output", given["output"], OUTPUTS),
        )

    @property
    def channels(self) -> int:
        """1 for grey, else 3."""
        return 1 if self.colour == "L" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one input, in `layout`."""
        height, width = self.size
        return (self.channels, height, width) if self.layout == "NCHW" else (height, width, self.channels)

    def apply(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Inputs (n, *shape), float32, of images of any size; each is brought to `size` round its centre."""
        images: NDArray[Any] = fitted(batch, self.size).astype(np.float32)
        if self.colour == "L":
            images = np.rint(images @ _LUMA)[..., None]
        elif self.colour == "BGR":
            images = images[..., ::-1]
        images = (images - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2) if self.layout == "NCHW" else images)


def _check_units(mean: tuple[float, ...], std: tuple[float, ...], where: str) -> None:
    given = (
        f"mean {', '.join(f'{one:g}' for one in mean)} and std {', '.join(f'{one:g}' for one in std)} {where}"
    )
    with np.errstate(over="ignore"):
        black, white = ((pixel - np.array(mean)) / np.array(std) for pixel in (0.0, 255.0))
    if not (np.abs([*black, *white, *mean, *std]) <= MOST).all():
        raise ArgumentError(
            f"expected mean and std of which (pixel - mean) / std makes numbers of {MOST:g} or less, got {given}"
        )
    if any(0 < abs(one) < 1 for one in (*mean, *std)):
        warnings.warn(
            f"{given} look like those of pixels 0..1; here pixels are 0..255, and input = (pixel - mean) / std: are "
            "both to be multiplied by 255?",
            OcclumapWarning,
            stacklevel=4,  # whoever called the adapter
        )


def fitted(batch: object, size: tuple[int, int]) -> NDArray[np.uint8]:
    """`batch`, checked, with each image brought to `size` (Pillow, bicubic, round its centre).

    Raises ImageError for anything but uint8 (n, H, W, 3), n of 1 or more.
    """
    from occlumap.images import fit

    pixels = checked(batch)
    if pixels.shape[1:3] == size:
        return pixels
    return np.stack([fit(image, size)[0] for image in pixels])


def checked(batch: object) -> NDArray[np.uint8]:
    """`batch` if it is uint8 (n, H, W, 3), n of 1 or more; ImageError, which says what to do, for anything else."""
    if not isinstance(batch, np.ndarray) or batch.dtype != np.uint8:
        got = f"dtype {batch.dtype}" if isinstance(batch, np.ndarray) else type(batch).__name__
        raise ImageError(
            f"expected a NumPy array of dtype uint8 (RGB, 0 to 255) as batch, got {got}; for floats from 0 to 1: "
            "np.rint(batch * 255).astype(np.uint8)"
        )
    if batch.ndim != 4 or batch.shape[3] != 3 or 0 in batch.shape[1:3]:
        raise ImageError(
            f"expected a batch of shape (n, H, W, 3), got {batch.shape}; for a single image (H, W, 3): image[None]"
        )
    if not len(batch):
        raise ImageError("expected a batch of one image or more, got none")
    return batch


def real_numbers(values: object, name: str) -> NDArray[np.float64]:
    """`values` as float64; ScoreError, which names the classifier, for complex numbers and what is no number."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "cUS":
            return array.astype(np.float64)
        got = f"complex numbers ({array.dtype})" if array.dtype.kind == "c" else "texts"
    except (TypeError, ValueError) as error:
        got = f"{type(values).__name__}, which does not turn into an array of numbers ({error})"
    raise ScoreError(f"expected real numbers as scores from {name!r}, got {got}")


def scores_of(outputs: object, output: str, name: str) -> NDArray[np.float64]:
    """Scores (n, classes), float64, of what a network gave: as they are, or softmax of `output` "logits".

    Raises ScoreError for probabilities that are none: below 0 or above 1, as logits are.
    """
    values = real_numbers(outputs, name)
    if values.ndim > 2 and values.ndim == 2 + sum(side == 1 for side in values.shape[2:]):
        values = values.reshape(values.shape[:2])  # (n, classes, 1, 1) of networks that end in a convolution
    if output == "logits" and values.ndim == 2:
        if values.shape[1] == 1:
            raise ScoreError(
                f"expected logits of two classes or more, got one column from classifier {name!r}, of which softmax "
                "makes 1 for every image; let the model give the sigmoid and say output='probabilities', wrap a "
                "function that gives it in adapters.binary, or say output='numbers' for an age, a price and the like"
            )
        return softmax(values)
    if output == "probabilities" and values.size and not in_unit_range(values):
        raise ScoreError(
            f"expected probabilities from 0 to 1, got values from {values.min():.4g} to {values.max():.4g} from "
            f"classifier {name!r}; they look like logits: say output='logits', or, for an embedding or another number, "
            "output='numbers'"
        )
    return values


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities (n, classes) of logits (n, classes)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def check_number(classes: Sequence[str] | None, scores: int | None, name: str) -> None:
    """ArgumentError for names of other than the classifier's number of scores, where that is known (not None)."""
    if classes is not None and scores is not None and len(classes) != scores:
        raise ArgumentError(
            f"expected {scores} class names, as many as {name} has scores, got {len(classes)}"
        )


def names_of(classes: object, folder: Path) -> tuple[str, ...] | None:
    """Names of classes: a list, or a text file of them, one a line, looked for in `folder`; None for none."""
    if classes is None:
        return None
    if isinstance(classes, str | Path):
        path = folder / classes
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a name with a zero byte
            raise ArgumentError(
                f"expected a text file of class names, one a line, at {path}: {error}"
            ) from error
        return tuple(line.strip() for line in lines if line.strip())
    if not isinstance(classes, Sequence) or not all(isinstance(name, str) for name in classes):
        raise ArgumentError(
            f"expected classes to be a list of names or the name of a file, got {classes!r:.80}"
        )
    return tuple(classes)


def known_keys(given: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """ArgumentError for a key that nobody knows, with the nearest that there is."""
    for key in given:
        if key not in known:
            raise ArgumentError(
                f"expected only the keys {', '.join(known)} {where}, got {key!r}{nearest(key, known)}"
            )


def in_unit_range(values: NDArray[np.float64]) -> bool:
    """Whether all lie from 0 to 1, as probabilities do, but for what float32 rounds."""
    finite = values[np.isfinite(values)]  # what is not finite is told elsewhere
    return bool((finite >= -1e-5).all() and (finite <= 1 + 1e-5).all())


def warn_of_probabilities(found: NDArray[np.float64], name: str, stacklevel: int = 2) -> bool:
    """Whether what should be features, (n, d), are probabilities: that is warned about."""
    shares = found.ndim == 2 and found.shape[1] > 1 and bool((found >= 0).all())
    if not shares or (np.abs(found.sum(axis=1) - 1) >= 1e-4).any():
        return False
    warnings.warn(
        f"what {name!r} gives adds up to 1, as probabilities do, of which nearly all images have much the same; if it "
        "is a network whose embedding is meant, say output='numbers' (output='features' for efficientnet-lite0)",
        OcclumapWarning,
        stacklevel=stacklevel + 1,
    )
    return True


def _size(value: Any) -> tuple[int, int]:
    sides = [value, value] if isinstance(value, int | np.integer) else value
    if not isinstance(sides, list | tuple) or len(sides) != 2:
        raise ArgumentError(f"expected size to be {ABOUT['size']}, got {value!r}")
    height, width = (whole_number(f"size ({ABOUT['size']})", side, minimum=1) for side in sides)
    return height, width


def _numbers(name: str, value: Any, channels: int) -> tuple[float, ...]:
    expected = f"expected {name} to be {ABOUT[name]} ({channels} for this colour), got {value!r}"
    try:
        values = np.asarray(value)
        finite = values.dtype.kind in "iuf" and bool(np.isfinite(values).all())
    except (TypeError, ValueError):
        raise ArgumentError(expected) from None
    if not finite or values.ndim > 1 or values.size not in (1, channels):
        raise ArgumentError(expected)
    return tuple(values.reshape(-1).astype(np.float64).tolist())
