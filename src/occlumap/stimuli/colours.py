"""One way from a heatmap to what a participant sees, for every condition, and a report of how much each shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import KDTree

from occlumap._extras import from_extra

TOP_PERCENTILE = 99.5
ALPHA = 0.6
COLOURS = "Reds"
COARSE = 16
"""The side to which pictures are brought to tell whether one is the other with a heatmap over it."""
UNFAIR = 3.0
"""A condition that shows this many times the ink of another is pointed out."""


def intensity(
    heatmap: NDArray[np.floating[Any]], top_percentile: float = TOP_PERCENTILE
) -> NDArray[np.float64]:
    """(H, W) in 0..1: what speaks for the class, over the percentile of its positive values; the rest is 0.

    >>> intensity(np.array([[-1.0, 0.0], [2.0, 4.0]]), 100).tolist()
    [[0.0, 0.0], [0.5, 1.0]]
    """
    positive = np.clip(np.asarray(heatmap, dtype=np.float64), 0, None)
    shown = positive[positive > 0]
    top = float(np.percentile(shown, top_percentile)) if shown.size else 0.0
    return np.asarray(np.clip(positive / top, 0, 1)) if top > 0 else np.zeros_like(positive)


def paint(image: NDArray[np.uint8], shown: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image with its heatmap over it, uint8 (*size, 3): Matplotlib's Reds at 60 %, the darker the more."""
    height, width = size
    base = enlarge(image, size).astype(np.float64)
    layer = Image.fromarray((shown * 255).round().astype(np.uint8)).resize(
        (width, height), Image.Resampling.NEAREST
    )
    mixed = base * (1 - ALPHA) + _reds(np.asarray(layer)) * ALPHA
    return np.asarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


def coarse(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A picture at COARSE x COARSE pixels, for `misfit`."""
    small = Image.fromarray(pixels).resize((COARSE, COARSE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64)


def misfit(painted: NDArray[np.float64], image: NDArray[np.float64]) -> float:
    """How far, in levels and in the mean, a picture is from any that `paint` could make of the image; both coarse.

    Less the image at 40 % it must be one of the colours, or a mean of two: a coarse pixel may show several. Pictures
    that `paint` made of photographs and drawn scenes, and `build` wrote at quality 90, have 0.5 to 4; of other images
    most have 8 and more, under much colour 3.4 and more.
    """
    distances, _ = _mixtures().query((painted - (1 - ALPHA) * image).reshape(-1, 3))
    return float(np.mean(distances))


@cache
def _mixtures() -> KDTree:
    colours = _reds(np.linspace(0, 1, 64)) * ALPHA
    shares = (0.0, 0.125, 0.25, 0.375, 0.5)
    return KDTree(
        np.concatenate([one * (1 - share) + colours * share for one in colours[::3] for share in shares])
    )


def _reds(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(
        from_extra("stimuli", "matplotlib", "stimuli").colormaps[COLOURS](values)[..., :3] * 255
    )


def enlarge(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image at (height, width)."""
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class Shown:
    """How much a condition shows, means over its heatmaps.

    ink: mean intensity. coverage: share of pixels of intensity 0.1 or more. range: from the 1st to the 99th percentile
    of intensity. heatmaps: how many; empty: how many show nothing.
    """

    ink: float
    coverage: float
    range: float
    heatmaps: int
    empty: int


def fairness(shown: Mapping[str, Sequence[NDArray[np.float64]]]) -> dict[str, Shown]:
    """For each condition what its heatmaps' intensities show; conditions without heatmaps are left out."""
    report = {}
    for name, maps in shown.items():
        if maps:
            low_high = [np.percentile(one, [1, 99]) for one in maps]
            report[name] = Shown(
                round(float(np.mean([one.mean() for one in maps])), 4),
                round(float(np.mean([(one >= 0.1).mean() for one in maps])), 4),
                round(float(np.mean([high - low for low, high in low_high])), 4),
                len(maps),
                sum(not one.any() for one in maps),
            )
    return report


def unfair(report: Mapping[str, Shown]) -> list[str]:
    """A sentence for every pair of conditions of which one shows UNFAIR times the ink of the other."""
    names = sorted(report, key=lambda one: report[one].ink)
    return [
        f"{more} shows {report[more].ink:.3f} ink, {less} {report[less].ink:.3f}: what they differ in may be how much "
        "red there is, not what it tells"
        for place, less in enumerate(names)
        for more in names[place + 1 :]
        if report[more].ink > UNFAIR * report[less].ink
    ]
