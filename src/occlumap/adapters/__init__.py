"""Adapters: models of other libraries as classifiers, from uint8 batches (n, H, W, 3) to scores (n, classes).

Each function gives a plain classifier; none imports its library before it is called.

>>> import numpy as np
>>> from occlumap.adapters import binary
>>> binary(lambda batch: batch.mean(axis=(1, 2, 3)) / 255)(np.full((1, 2, 2, 3), 255, np.uint8))
array([[0., 1.]])
"""

from occlumap.adapters.callables import binary, box_score, one_at_a_time, regression, similarity
from occlumap.adapters.huggingface import from_huggingface
from occlumap.adapters.keras import from_keras
from occlumap.adapters.onnx import from_onnx
from occlumap.adapters.opencv import from_opencv
from occlumap.adapters.pytorch import from_torch
from occlumap.adapters.remote import from_url
from occlumap.adapters.replicas import in_processes, replicas
from occlumap.adapters.sklearn import from_sklearn

__all__ = [
    "binary",
    "box_score",
    "from_huggingface",
    "from_keras",
    "from_onnx",
    "from_opencv",
    "from_sklearn",
    "from_torch",
    "from_url",
    "in_processes",
    "one_at_a_time",
    "regression",
    "replicas",
    "similarity",
]
