"""Single-scale occlusion (paper section 4.2): the classic method, and the baseline to beat."""

import numpy as np
from numpy.typing import NDArray

from occlumap.estimators import Estimate
from occlumap.measurements import Measurements


def single_scale(measurements: Measurements, target: int) -> Estimate:
    """At each pixel the mean importance of the windows that cover it; 0 where none does. Signed."""
    total: NDArray[np.float64] = np.zeros(measurements.shape)
    count = np.zeros(measurements.shape, np.int64)
    rectangles = measurements.rectangles
    singles = rectangles.singles()  # several regions hidden together are no window
    windows = rectangles.bounds[rectangles.starts[singles]].tolist()
    importances = measurements.effect(target)[singles].tolist()
    for (a, b, c, d), importance in zip(windows, importances, strict=True):
        total[a:b, c:d] += importance
        count[a:b, c:d] += 1
    return Estimate((total / np.maximum(count, 1)).astype(np.float32))
