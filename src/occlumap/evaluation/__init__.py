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

__all__ = [
    "Curve",
    "comprehensiveness",
    "deletion",
    "insertion",
    "lerf",
    "morf",
    "sufficiency",
    "symmetric_relevance_gain",
]
