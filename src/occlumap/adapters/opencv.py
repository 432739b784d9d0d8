"""Networks that OpenCV's DNN module has read."""

import re
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.adapters.callables import Adapted, class_tuple
from occlumap.adapters.preprocessing import Preprocessing, check_number, scores_of
from occlumap.errors import ArgumentError, OcclumapWarning


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

    `size`, `mean`, `std`, `colour` ("RGB", "BGR", "L"), `output` ("probabilities", "logits", "numbers") as in
    `from_onnx`: input = (pixel 0..255 - mean) / std. `output_name`: the layer that has the scores, the last when None.

    What contradicts the input that the network says it takes is refused (OpenCV 5, of ONNX files; sides that are open
    there are not checked), and so is what it does not take when it is given one image of zeros, now. OpenCV takes
    many another size or number of channels without a word, and then its scores are wrong.

    Raises ArgumentError for what is no network, for values that cannot be, and for those that are refused.
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

    taken = _input_shape(net)
    if any(
        theirs is not None and theirs != ours for theirs, ours in zip(taken, preprocessing.shape, strict=True)
    ):
        told = ", ".join("any" if side is None else str(side) for side in taken)
        raise ArgumentError(
            f"expected an input {preprocessing.shape} without the batch (layout {layout}, colour {colour}, size "
            f"{list(preprocessing.size)}), but the network takes ({told}); mend size, layout or colour"
        )
    try:
        tried = outputs_of(np.zeros((1, *preprocessing.shape), np.float32))
    except Exception as error:  # cv2.error
        raise ArgumentError(
            f"expected a network that takes an input {(1, *preprocessing.shape)} (layout {layout}, colour {colour}, "
            f"size {list(preprocessing.size)}) and gives {output_name or 'its last layer'}; mend size, colour, layout "
            f"or output_name. OpenCV says: {error!s:.300}"
        ) from error
    _check_batches(outputs_of, preprocessing.shape)
    columns = tried.shape[1] if tried.ndim > 1 else None
    names = None if classes is None else class_tuple(classes)
    check_number(names, columns, "the network")
    return Adapted(scores, "cv2.dnn.Net", names, preprocessing.size, preprocessing.apply)


def _check_batches(outputs_of: Callable[[NDArray[np.float32]], NDArray[Any]], shape: tuple[int, ...]) -> None:
    """Warn of a network whose scores depend on what else is in the batch: OpenCV computes some wrongly."""
    two = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    try:
        together, alone = outputs_of(two), np.concatenate([outputs_of(one[None]) for one in two])
    except Exception:  # noqa: BLE001 - cv2.error: it takes one image only
        return
    if together.shape == alone.shape and not np.allclose(
        together, alone, rtol=1e-3, atol=1e-4 * float(np.abs(alone).max())
    ):
        warnings.warn(
            "OpenCV gives other scores for two images together than for each alone, so it computes this network "
            "wrongly, perhaps for single images too. Read it with another engine (cv2.dnn.readNet(..., "
            "engine=cv2.dnn.ENGINE_CLASSIC)), and compare with what it was trained with, or use adapters.from_onnx",
            OcclumapWarning,
            stacklevel=3,
        )


def _input_shape(net: Any) -> tuple[int | None, ...]:
    """The three sides of an image that the network takes; None for one that it does not tell.

    OpenCV 5 tells them in its dump of a network from an ONNX file, and nowhere else.
    """
    unknown = (None, None, None)
    try:
        dump = str(net.dump())
    except Exception:  # noqa: BLE001 - cv2.error: the classic engine has none before the first call
        return unknown
    only = re.match(r'\s*".*" // <Input> \S+ \[(.+)\]\s*\]', dump.partition("inputs: [")[2])
    sides = only[1].split(" x ") if only and 'model_format: "ONNX"' in dump else []
    return (
        tuple(int(side) if side.isdecimal() else None for side in sides[1:]) if len(sides) == 4 else unknown
    )
