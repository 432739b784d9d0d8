"""An ONNX graph that takes uint8 images, as a classifier."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.errors import ImageError
from occlumap.images import fit


class OnnxClassifier:
    """Calls ONNX Runtime on uint8 RGB batches (n, H, W, 3); gives float32 scores (n, classes).

    Images of another size than `input_size` (height, width) are cut to its proportions round their centre
    and resized (Pillow, bicubic). Can be pickled: a worker process makes its own session.
    """

    def __init__(
        self, graph: bytes, *, name: str, classes: Sequence[str], input_size: tuple[int, int]
    ) -> None:
        self.name = name
        self.classes = tuple(classes)
        self.input_size = input_size
        self._graph = graph
        self._session = self._open()

    def _open(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(self._graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores of a batch; ImageError for anything but uint8 (n, H, W, 3)."""
        batch = np.asarray(batch)
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] != 3:
            raise ImageError(
                f"expected a uint8 batch of shape (n, H, W, 3), got {batch.dtype} of shape {batch.shape}"
            )
        if not len(batch):
            return np.empty((0, len(self.classes)), np.float32)
        if batch.shape[1:3] != self.input_size:
            batch = np.stack([fit(image, self.input_size)[0] for image in batch])
        (scores,) = self._session.run(None, {"image": batch})
        result: NDArray[np.float32] = scores
        return result

    def __repr__(self) -> str:
        return (
            f"<{self.name}: {self.input_size[0]} x {self.input_size[1]} pixels, {len(self.classes)} classes>"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._session = self._open()
