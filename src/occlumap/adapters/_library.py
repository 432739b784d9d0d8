"""Import an adapter's library, or say which extra brings it."""

import importlib
from typing import Any

from occlumap.errors import MissingDependencyError


def library(module: str, extra: str) -> Any:
    """The module by that name. Raises MissingDependencyError, which says what to install, without it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"expected the package {module!r} for this classifier, got {type(error).__name__}: {error}; "
            f"install it, in a clone of occlumap: pip install '.[{extra}]'"
        ) from error
