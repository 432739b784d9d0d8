"""An ONNX graph that takes uint8 images, as a classifier."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._extras import from_extra
from occlumap._fingerprints import Complete
from occlumap.errors import ImageError


class OnnxClassifier:
    """Scores uint8 RGB batches with ONNX Runtime, on the CPU with its default threads.

    `graph`: a serialised ONNX model with one uint8 input (n, height, width, 3) and one output (n, classes).
    `classes`: a name for each column, None for features. `input_size`: (height, width) of the graph's input.

    Pickling carries the graph, and a worker process opens a session of its own.
    """

    def __init__(
        self, graph: bytes, *, name: str, classes: Sequence[str] | None = None, input_size: tuple[int, int]
    ) -> None:
        self.name = name
        self.classes = None if classes is None else tuple(classes)
        self.input_size = input_size
        self._graph = graph
        self.fingerprint = Complete(hashlib.sha256(graph).hexdigest())
        self._session = self._open()

    def prepare(self, batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the graph is given: the pixels, cut to its size."""
        return batch if batch.shape[1:3] == self.input_size else _fitted(batch, self.input_size)

    def __call__(self, batch: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Scores, float32 (n, classes), of `batch`, uint8 RGB (n, H, W, 3); the same for any n.

        Images of another size than `input_size` are cut to its proportions round their centre and brought
        to it (Pillow, bicubic). Raises ImageError for another type or shape.
        """
        if not isinstance(batch, np.ndarray) or batch.dtype != np.uint8:
            got = f"dtype {batch.dtype}" if isinstance(batch, np.ndarray) else type(batch).__name__
            raise ImageError(
                f"expected a NumPy array of dtype uint8 (RGB, 0 to 255) as batch for {self.name}, got "
                f"{got}; for floats from 0 to 1: np.rint(batch * 255).astype(np.uint8)"
            )
        if batch.ndim != 4 or batch.shape[3] != 3 or 0 in batch.shape[1:3]:
            raise ImageError(
                f"expected a batch of shape (n, H, W, 3) for {self.name}, got {batch.shape}; "
                "for a single image (H, W, 3): image[None]"
            )
        scores: NDArray[np.float32] = self._session.run(None, {"image": self.prepare(batch)})[0]
        return scores

    def __repr__(self) -> str:
        height, width = self.input_size
        classes = "" if self.classes is None else f", {len(self.classes)} classes"
        return f"<OnnxClassifier {self.name}: {height} x {width} pixels{classes}>"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._session = self._open()

    def _open(self) -> Any:
        runtime = from_extra("onnx", "onnxruntime", "this classifier")
        return runtime.InferenceSession(self._graph, providers=["CPUExecutionProvider"])


def _fitted(batch: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The centre of each image in the proportions of `size`, at that size: uint8 (n, *size, 3)."""
    from PIL import Image

    height, width = batch.shape[1:3]
    scale = min(height / size[0], width / size[1])
    rows, columns = (max(1, round(length * scale)) for length in size)
    top, left = (height - rows) // 2, (width - columns) // 2
    fitted = np.empty((len(batch), *size, 3), np.uint8)
    for image, target in zip(batch, fitted, strict=True):
        part = Image.fromarray(image[top : top + rows, left : left + columns])
        target[...] = np.asarray(part.resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return fitted
