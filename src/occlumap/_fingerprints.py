"""Texts that change when a file, or a classifier's scores, may: of files, and of what else decides them."""

import contextlib
import functools
import hashlib
import os
import sys
import sysconfig
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from occlumap.errors import OcclumapWarning

_began: dict[str, tuple[Any, float]] = {}
"""Of each module that came with a classifier: its spec, another one after a reload, and when its import began."""


class Complete(str):
    """A fingerprint that leaves out nothing that its classifier's scores hang on, as one that its author chose may."""

    __slots__ = ()


def of_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def of_files(files: Iterable[Path], *about: object) -> Complete:
    """One of the files' contents and of the `repr` of all that is `about` them."""
    return Complete(hashlib.sha256(repr(([of_file(file) for file in files], about)).encode()).hexdigest())


def of_wrapped(classifier: object, *about: object) -> str | None:
    """The fingerprint of what asks `classifier`, and of all that is `about` it; None where that has none."""
    mark = getattr(classifier, "fingerprint", None)
    if not isinstance(mark, str) or not mark or _is_copied(classifier, mark):
        return None
    whole = hashlib.sha256(repr((mark, about)).encode()).hexdigest()
    return Complete(whole) if isinstance(mark, Complete) else whole


def of_classifier(classifier: object) -> Any:
    """Its `fingerprint`, if there is one; one that is not `Complete` with the files of the caller's own modules.

    Two projects have a my_model.py each, and one changes: "v1" of both is not the same, whatever the classifier is
    made of. In a notebook, whose cells are in no file, it is. None, with a warning, where it tells nothing of the
    scores: it is that of a function inside, or a file was written after its import began.
    """
    mark = getattr(classifier, "fingerprint", None)
    if not isinstance(mark, str) or not mark:
        return mark
    if _is_copied(classifier, mark):
        return _no_fingerprint(
            "the classifier's fingerprint is that of the function that it wraps, as functools.wraps copies it",
            "set one of its own",
        )
    if isinstance(mark, Complete):
        return mark
    files = _own_files({name for one in _parts(classifier) for name in [_package(one)] if name})
    whole = Complete(f"{mark} {of_files(files, [str(one) for one in files])}")
    changed = _written_since_import(files)
    if changed is not None:
        return _no_fingerprint(
            f"{changed} was written after its import began, so that other code may run than it has now",
            "run it again, once it is as it shall be",
        )
    return whole


def _no_fingerprint(problem: str, advice: str) -> None:
    warnings.warn(
        f"{problem}: no score is kept, or taken from the cache; {advice}", OcclumapWarning, stacklevel=4
    )


def _is_copied(classifier: object, mark: str) -> bool:
    return getattr(getattr(classifier, "__wrapped__", None), "fingerprint", None) == mark


@contextlib.contextmanager
def imports_timed() -> Iterator[None]:
    """Note when the modules that are imported in here were first asked for: of a file, only the name is known later."""
    before, began = set(sys.modules), time.time()
    yield
    for name in sys.modules.keys() - before:
        _began[name] = (getattr(sys.modules.get(name), "__dict__", {}).get("__spec__"), began)


def _written_since_import(files: list[Path]) -> Path | None:
    """One of `files` that may be another than was imported, if there is one."""
    for name, (spec, began) in list(_began.items()):
        about = getattr(sys.modules.get(name), "__dict__", {})
        file = about.get("__file__")
        if isinstance(file, str) and about.get("__spec__") is spec:
            path = Path(os.path.realpath(file))
            # of a file that was moved here ctime tells
            if path in files and max(path.stat().st_mtime, path.stat().st_ctime) >= began:
                return path
    return None


def _own_files(packages: set[str]) -> list[Path]:
    """Of all modules that are loaded and not installed, and of those of `packages`, installed or not."""
    places = ("stdlib", "platstdlib", "scripts")
    others = [os.path.realpath(sysconfig.get_path(place)) for place in places]
    others.append(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120 - many, and Path is slow
    found = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__dict__", {}).get("__file__")  # nothing that a lazy module loads for it
        if not isinstance(file, str):
            continue
        installed = any(f"{os.sep}{place}-packages{os.sep}" in file for place in ("site", "dist"))
        if installed and name.partition(".")[0] not in packages:
            continue
        path = os.path.realpath(file)
        if installed or not any(path.startswith(other + os.sep) for other in others):
            found.add(path)
    return sorted(Path(path) for path in found if os.path.isfile(path))  # noqa: PTH113


def _parts(classifier: object) -> Iterator[object]:
    """It, and what it asks in turn, as far as it says."""
    yield classifier
    wrapped = getattr(classifier, "wrapped_classifiers", ())
    if isinstance(classifier, functools.partial):
        wrapped = (classifier.func,)
    for one in wrapped if isinstance(wrapped, tuple) else ():
        yield from _parts(one)


def _package(part: object) -> str:
    name = getattr(part, "__module__", None)
    return name.partition(".")[0] if isinstance(name, str) else ""
