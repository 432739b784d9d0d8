"""Evaluation: how faithful is a heatmap, whoever made it; imports nothing heavy."""

from occlumap.evaluation.curves import (
    Curve,
    comprehensiveness,
    deletion,
    insertion,
    lerf,
    morf,
    sufficiency,
    symmetric_relevance_gain,
)
from occlumap.evaluation.fidelity import (
    RegionPrediction,
    infidelity,
    pixel_drops,
    random_pixels,
    random_regions,
    random_squares,
    region_drops,
    region_prediction,
    sensitivity_n,
)
from occlumap.evaluation.localisation import box_mask, energy_inside, grid_pointing, mosaic, pointing_game
from occlumap.evaluation.sanity import (
    Repeatability,
    other_class,
    randomised_outputs,
    repeatability,
    similarity,
)

__all__ = [
    "Curve",
    "RegionPrediction",
    "Repeatability",
    "box_mask",
    "comprehensiveness",
    "deletion",
    "energy_inside",
    "grid_pointing",
    "infidelity",
    "insertion",
    "lerf",
    "morf",
    "mosaic",
    "other_class",
    "pixel_drops",
    "pointing_game",
    "random_pixels",
    "random_regions",
    "random_squares",
    "randomised_outputs",
    "region_drops",
    "region_prediction",
    "repeatability",
    "sensitivity_n",
    "similarity",
    "sufficiency",
    "symmetric_relevance_gain",
]
