"""Single-scale occlusion (Zeiler and Fergus 2014), ours: the smallest window that the budget affords."""

import warnings

from occlumap.classifiers import Classifier
from occlumap.errors import BudgetError, OcclumapWarning
from occlumap.evaluation.peers import Heatmap
from occlumap.explain import explain
from occlumap.fills import Image

FILL = "neighbours"


def single_scale(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """Mean importance of the square windows that cover a pixel, signed; stride half the window.

    Raises BudgetError below 2 calls.
    """
    window = smallest_window((image.shape[0], image.shape[1]), calls)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OcclumapWarning)
        found = explain(
            classifier, image, int(target), method="single-scale", window=window, fill=FILL, seed=seed
        )
    return found.heatmap  # type: ignore[union-attr]


def smallest_window(shape: tuple[int, int], calls: int) -> int:
    """Side of the smallest square window, at a stride of half of it, whose count + 1 is within `calls`."""
    for window in range(1, min(shape) + 1):
        stride = max(1, window // 2)
        rows, cols = (-(-(length - window) // stride) + 1 for length in shape)
        if 1 + rows * cols <= calls:
            return window
    raise BudgetError(
        f"expected enough calls for windows of {min(shape)} pixels on {shape}, got {calls}; raise the budget"
    )
