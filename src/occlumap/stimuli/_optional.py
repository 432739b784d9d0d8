"""Import what the extra `stimuli` brings, or say so."""

import importlib
from typing import Any

from occlumap.errors import MissingDependencyError


def optional(module: str) -> Any:
    """The module by that name. Raises MissingDependencyError, which says what to install, without it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"expected the package {module!r} to make stimuli, got {type(error).__name__}: {error}; install it, in a "
            "clone of occlumap: pip install '.[stimuli]'"
        ) from error
