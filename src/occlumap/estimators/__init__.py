"""Estimators: finished measurements in, a heatmap out; none of them calls a classifier."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from occlumap.grid import Offset
from occlumap.posterior import Fit, SegmentPosterior


@dataclass(frozen=True, eq=False)
class Estimate:
    """What an estimator gives: the heatmap, float32 (H, W), and what it was made of.

    Paper: the chosen `offsets`, best first, and `densities`, the information densities of their pruned trees. Joint:
    the `posterior` of all segments, and how well the model `fit`s.
    """

    heatmap: NDArray[np.float32]
    offsets: tuple[Offset, ...] = ()
    densities: tuple[float, ...] = ()
    posterior: SegmentPosterior | None = None
    fit: Fit | None = None
