"""Networks that OpenCV's DNN module has read."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.adapters.callables import Adapted
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

    Raises ArgumentError for what is no network, and for values that cannot be.
    """
    if not hasattr(net, "setInput") or not hasattr(net, "forward"):
        raise ArgumentError(f"expected a network of cv2.dnn (cv2.dnn.readNet(...)), got {type(net).__name__}")
    given = {"size": size, "layout": layout, "colour": colour, "mean": mean, "std": std, "output": output}
    preprocessing = Preprocessing.of(given, "for a network of OpenCV")
    alone = threading.Lock()  # a network keeps its input: one call at a time

    def scores(batch: NDArray[np.uint8]) -> NDArray[np.float64]:
        inputs = preprocessing.apply(batch)
        with alone:
            net.setInput(inputs)
            outputs = np.array(net.forward() if output_name is None else net.forward(output_name))
        return scores_of(outputs, output, "cv2.dnn.Net")

    return Adapted(scores, "cv2.dnn.Net", classes, preprocessing.size, preprocessing.apply)
