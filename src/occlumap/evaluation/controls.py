"""Controls: maps that know nothing of the classifier, and what is done to a map to see if it matters.

Each of the first three is a function like a peer's and spends no call.
"""

import numpy as np

from occlumap.classifiers import Classifier
from occlumap.evaluation.peers import Heatmap
from occlumap.fills import Image

BLUR = 0.05
"""Sigma of the blurred control, as a share of the shorter side."""


def random(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """Uniform noise."""
    return np.random.default_rng(seed).random(image.shape[:2], np.float32)


def centre(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """1 in the centre, less with the distance from it: what photographers do."""
    rows, cols = (np.linspace(-1, 1, length) for length in image.shape[:2])
    return np.asarray(1 - np.hypot(rows[:, None], cols[None, :]) / np.sqrt(2), np.float32)


def constant(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """1 everywhere: what a region's size alone foretells."""
    return np.ones(image.shape[:2], np.float32)


def edges(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """Size of the gradient of the grey image (Adebayo et al. 2018: some heatmaps are no more than that)."""
    grey = image.astype(np.float64).mean(axis=2)
    slopes = [
        np.gradient(grey, axis=axis) if grey.shape[axis] > 1 else np.zeros_like(grey) for axis in (0, 1)
    ]
    return np.asarray(np.hypot(*slopes), np.float32)


def blurred(heatmap: Heatmap) -> Heatmap:
    """The map blurred by a Gaussian, sigma 5 % of the shorter side."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(heatmap, BLUR * min(heatmap.shape), mode="nearest"), np.float32)
