"""Which photographs the joint method was tuned on, and how differences over photographs are told."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def to_tune_on(file: str) -> bool:
    """Whether a photograph is one to tune on: SHA-1 of its file's name even; the others are to test on."""
    return int(hashlib.sha1(file.encode(), usedforsecurity=False).hexdigest(), 16) % 2 == 0


def bounds(differences: NDArray[np.float64]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean difference over the photographs."""
    draws = np.random.default_rng(0).integers(0, len(differences), (4000, len(differences)))
    low, high = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def interval(differences: NDArray[np.float64]) -> str:
    """Mean difference and its 95 % bootstrap interval over the photographs."""
    low, high = bounds(differences)
    return f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
