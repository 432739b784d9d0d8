"""The classifiers of ../shared/data/models, for `--classifier benchmarks.models:mobilenet_v1_025_128`.

Each scores uint8 RGB batches (n, H, W, 3) of its own size with ONNX Runtime; columns are ImageNet's 1,000
classes in their usual order. OCCLUMAP_SHARED names the folder if it is not beside the checkout;
OCCLUMAP_THREADS the threads of ONNX Runtime (its own choice when unset).
"""

import csv
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHARED = Path(os.environ.get("OCCLUMAP_SHARED", Path(__file__).parents[2] / "shared"))


class SharedModel:
    """One line of models.csv, opened when it is first called."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._session: Any = None
        with (SHARED / "data/models/models.csv").open(newline="") as file:
            (row,) = [row for row in csv.DictReader(file) if row["file"] == f"{name}.onnx"]
        self.input_size = (int(row["input_size"]), int(row["input_size"]))
        self._mean, self._std = (
            np.array(row[key].split(), np.float32)[:, None, None] for key in ("mean", "std")
        )
        self._offset = int(row["class_offset"])

    def __call__(self, batch: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Scores of the 1,000 classes, (n, 1000)."""
        if self._session is None:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = int(os.environ.get("OCCLUMAP_THREADS", "0"))
            path = SHARED / "data/models" / f"{self.name}.onnx"
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        ready = np.ascontiguousarray(batch.transpose(0, 3, 1, 2), np.float32)
        ready -= self._mean
        ready /= self._std
        scores: NDArray[np.float32] = self._session.run(None, {"image": ready})[0]
        return scores[:, self._offset :]


@cache
def __getattr__(name: str) -> SharedModel:
    if (SHARED / "data/models" / f"{name}.onnx").exists():
        return SharedModel(name)
    raise AttributeError(f"no model {name}.onnx in {SHARED / 'data/models'}")
