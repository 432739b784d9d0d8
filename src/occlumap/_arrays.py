"""What is said of arrays that do not fit."""

import numpy as np

from occlumap.errors import ArgumentError


def told(value: object) -> str:
    """What `value` is, for "got ...": type of the numbers and shape of an array, the type of anything else."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return type(value).__name__


def refuse_masked(what: str, value: object, advice: str) -> None:
    """ArgumentError for a NumPy array with some of its values masked: NumPy would take what the mask hides."""
    if np.ma.is_masked(value):
        raise ArgumentError(f"expected {what} with nothing left out, got a masked array; {advice}")
