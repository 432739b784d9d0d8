"""Occlusion (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014), run by Captum."""

from occlumap.classifiers import Classifier
from occlumap.errors import BudgetError
from occlumap.evaluation.peers import Heatmap
from occlumap.evaluation.peers._captum import BATCH, as_heatmap, as_tensor, as_torch_function, load_captum
from occlumap.fills import Image

FILL = "black"


def captum_occlusion(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """At each pixel the mean, over the windows that cover it, of the score that hiding the window costs.

    f(image) - f(image with the window black), by `captum.attr.Occlusion`; square windows w wide, shifted by
    max(1, w // 2). w is the smallest with which one call for the image and (ceil((height - w) / shift) + 1)
    (ceil((width - w) / shift) + 1) for the windows fit into `calls`, and half the shorter side at most. What a
    window has beyond the right or lower border is cut off.

    Range: signed, in units of the score; higher = hiding it costs more. `seed` is not used: nothing is random.
    Raises BudgetError when even the largest windows need more calls (10 for a square whose side is a multiple of 4);
    MissingDependencyError without torch or Captum.
    """
    window = _smallest_window(image.shape[0], image.shape[1], calls)
    torch, captum = load_captum()
    shift = max(1, window // 2)
    attributions = captum.Occlusion(as_torch_function(torch, classifier, target)).attribute(
        as_tensor(torch, image),
        sliding_window_shapes=(3, window, window),
        strides=(3, shift, shift),
        baselines=0,
        perturbations_per_eval=BATCH,
    )
    return as_heatmap(attributions)


def _smallest_window(height: int, width: int, calls: int) -> int:
    largest = max(1, min(height, width) // 2)
    for window in range(1, largest + 1):
        if _count(height, width, window) <= calls:
            return window
    raise BudgetError(
        f"expected at least {_count(height, width, largest)} calls for captum_occlusion on an image of {height} x "
        f"{width} pixels, one for the image and the rest for windows of half the shorter side, got {calls}; raise "
        "the budget"
    )


def _count(height: int, width: int, window: int) -> int:
    """Images that Captum scores."""
    shift = max(1, window // 2)
    rows, cols = (-(-(length - window) // shift) + 1 for length in (height, width))
    return 1 + rows * cols
