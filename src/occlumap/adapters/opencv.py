"""Networks that OpenCV's DNN module has read."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.adapters.callables import Adapted, class_tuple
from occlumap.adapters.preprocessing import Preprocessing, scores_of
from occlumap.errors import ArgumentError


def from_opencv(
    net: Any,
    *,
    size: int | tuple[int, int],
    mean: object,
    std: object,
    colour: str,
    output: str,
    layout: str = "NCHW",
    classes: Sequence[str] | None = None,
    output_name: str | None = None,
) -> Adapted:
    """A `cv2.dnn.Net`, as a classifier.

    `size`, `mean`, `std`, `colour` ("RGB", "BGR", "L"), `output` ("probabilities", "logits") as in `from_onnx`:
    input = (pixel 0..255 - mean) / std. `output_name`: the layer that has the scores, the last when None.

    One image of zeros is given to the network at once: what it does not take is refused now.

    Raises ArgumentError for what is no network, for values that cannot be, and for those that the network refuses.
    """
    if not hasattr(net, "setInput") or not hasattr(net, "forward"):
        raise ArgumentError(f"expected a network of cv2.dnn (cv2.dnn.readNet(...)), got {type(net).__name__}")
    given = {"size": size, "layout": layout, "colour": colour, "mean": mean, "std": std, "output": output}
    preprocessing = Preprocessing.of(given, "for a network of OpenCV")
    alone = threading.Lock()  # a network keeps its input: one call at a time

    def outputs_of(inputs: NDArray[np.float32]) -> NDArray[Any]:
        with alone:
            net.setInput(inputs)
            return np.array(net.forward() if output_name is None else net.forward(output_name))

    def scores(batch: NDArray[np.uint8]) -> NDArray[np.float64]:
        return scores_of(outputs_of(preprocessing.apply(batch)), output, "cv2.dnn.Net")

    try:
        tried = outputs_of(np.zeros((1, *preprocessing.shape), np.float32))
    except Exception as error:  # cv2.error
        raise ArgumentError(
            f"expected a network that takes an input {(1, *preprocessing.shape)} (layout {layout}, colour {colour}, "
            f"size {list(preprocessing.size)}) and gives {output_name or 'its last layer'}; mend size, colour, layout "
            f"or output_name. OpenCV says: {error!s:.300}"
        ) from error
    columns = tried.shape[1] if tried.ndim > 1 else None
    if classes is not None and columns is not None and len(class_tuple(classes)) != columns:
        raise ArgumentError(
            f"expected {columns} class names, as many as the network has scores, got {len(classes)}"
        )
    return Adapted(scores, "cv2.dnn.Net", classes, preprocessing.size, preprocessing.apply)
