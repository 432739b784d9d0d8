"""What the extras of pyproject.toml bring is imported here, or it is said what to install."""

import importlib
from typing import Any

from occlumap.errors import MissingDependencyError


def from_extra(extra: str, module: str, purpose: str) -> Any:
    """The module by that name; `purpose`, what it is wanted for, stands in the message.

    Raises MissingDependencyError, which says which extra brings the module, where it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"expected the package {module!r} for {purpose}, got {type(error).__name__}: {error}; "
            f"install it, in a clone of occlumap: pip install '.[{extra}]'"
        ) from error
