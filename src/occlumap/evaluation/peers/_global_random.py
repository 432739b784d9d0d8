"""NumPy's global generator, lent to libraries that draw from it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, the global generator starts from `seed`, and a library's own warnings are kept quiet.

    Outside it is as it was before.
    """
    state = np.random.get_state()  # noqa: NPY002 - the one that the library uses
    try:
        np.random.seed(seed)  # noqa: NPY002
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
