"""References: what stands in for pixels that a metric hides; not to be mixed up with a method's own fill."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from occlumap._arrays import told
from occlumap._checks import one_of
from occlumap.errors import ImageError
from occlumap.evaluation.imputation import impute
from occlumap.fills import Blur, Image, Mean

Mask = NDArray[np.bool_]
Reference = str | Image | Callable[[Image, Mask], Image]
"""The name of a reference, an image to show instead, or any f(image, mask) -> image."""

NAMES = ("blur", "mean", "linear", "noise")
NOISE = 0.01
"""Standard deviation of the noise on linearly imputed pixels, of a range of 1 (Rong et al. 2022)."""


def hider(reference: Reference, image: Image, seed: int = 0) -> Callable[[Mask], Image]:
    """A function that hides the pixels of a mask (H, W), True = hidden, of `image`, uint8 (H, W, 3).

    `reference`: "blur" (Gaussian, sigma a tenth of the shorter side), "mean" (the image's mean colour),
    "linear" (noisy linear imputation from the pixels that are left, Rong et al. 2022, ROAD), "noise"
    (uniform noise), an image of the same shape (another photograph), or f(image, mask) -> image, of which
    only the hidden pixels are used. `seed`: of the noise, the same for every mask.

    Raises ImageError for an image or a reference that is not uint8 (H, W, 3); ArgumentError for an unknown name.

    >>> hide = hider("mean", np.array([[[0, 0, 0], [200, 200, 200]]], np.uint8))
    >>> hide(np.array([[False, True]]))[0, :, 0]
    array([  0, 100], dtype=uint8)
    """
    check_image(image)
    if isinstance(reference, str):
        if one_of("reference", reference, NAMES) == "linear":
            return _linear_hider(image, seed)
        shown = _picture(reference, image, seed)
    elif callable(reference):
        return _custom_hider(reference, image)
    else:
        shown = reference
        check_image(shown, "the reference")
        if shown.shape != image.shape:
            raise ImageError(f"expected a reference of the image's shape {image.shape}, got {shown.shape}")

    def hide(mask: Mask) -> Image:
        return np.where(mask[:, :, None], shown, image)

    return hide


def check_image(image: object, what: str = "image") -> None:
    """ImageError for anything but uint8 (H, W, 3)."""
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or not image.size
    ):
        raise ImageError(
            f"expected {what} as uint8 (H, W, 3), as the classifier gets it, got {told(image)}; an Explanation has it "
            "as .image"
        )


def _picture(name: str, image: Image, seed: int) -> Image:
    if name == "noise":
        return np.random.default_rng(seed).integers(0, 256, image.shape, np.uint8)
    fill = Blur() if name == "blur" else Mean()
    (shown,) = fill.prepare(image)(np.array([[0, image.shape[0], 0, image.shape[1]]], np.int32))
    return np.broadcast_to(shown, image.shape)


def _custom_hider(function: Callable[[Image, Mask], Image], image: Image) -> Callable[[Mask], Image]:
    def hide(mask: Mask) -> Image:
        filled = function(image.copy(), mask.copy())
        check_image(filled, "what the reference function returns")
        if filled.shape != image.shape:
            raise ImageError(
                f"expected the reference function to return shape {image.shape}, got {filled.shape}"
            )
        return np.where(mask[:, :, None], filled, image)

    return hide


def _linear_hider(image: Image, seed: int) -> Callable[[Mask], Image]:
    noise = np.random.default_rng(seed).normal(0, NOISE * 255, image.shape).astype(np.float32)

    def hide(mask: Mask) -> Image:
        if not mask.any():
            return image.copy()
        imputed = impute(image.astype(np.float32), mask) + noise
        return np.where(mask[:, :, None], np.rint(np.clip(imputed, 0, 255)).astype(np.uint8), image)

    return hide
