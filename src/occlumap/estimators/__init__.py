"""Estimators: finished measurements in, a heatmap out; none of them calls a classifier."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from occlumap.grid import Offset


@dataclass(frozen=True, eq=False)
class Estimate:
    """What an estimator gives: the heatmap, float32 (H, W), and the offsets it was made of, best first.

    `densities` are the information densities of the chosen offsets' pruned trees.
    """

    heatmap: NDArray[np.float32]
    offsets: tuple[Offset, ...] = ()
    densities: tuple[float, ...] = ()
