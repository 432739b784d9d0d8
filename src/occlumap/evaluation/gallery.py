"""Pictures of heatmaps over their photograph, for the report: the same photographs for every method."""

from pathlib import Path

import numpy as np

from occlumap.evaluation.peers import Heatmap
from occlumap.fills import Image

PHOTOGRAPHS = 6
"""How many photographs of each classifier are drawn with the heatmaps of all methods."""

_RED = np.array([215.0, 25.0, 28.0])
_MOST = 0.8


def draw(image: Image, heatmap: Heatmap) -> Image:
    """The upper half of the heatmap's values in red over the image in grey, uint8 (H, W, 3).

    Colourless at the median, full at the 99th percentile: methods have different units, and a metric that
    ranks pixels sees no unit either.
    """
    low, high = np.percentile(heatmap, [50, 99])
    if high <= low:
        high = float(heatmap.max())
    strength = np.clip((heatmap - low) / (high - low), 0, 1) if high > low else np.zeros_like(heatmap)
    alpha = _MOST * strength[:, :, None]
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    return np.asarray(np.rint((1 - alpha) * grey + alpha * _RED), np.uint8)


def save(image: Image, path: Path) -> None:
    """Write a PNG; folders are made."""
    from PIL import Image as PillowImage

    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(image).save(path)
