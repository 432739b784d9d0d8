"""Texts that change when a file, or a classifier's scores, may: of files, and of what else decides them."""

import functools
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


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
    if not isinstance(mark, str) or not mark:
        return None
    whole = hashlib.sha256(repr((mark, about)).encode()).hexdigest()
    return Complete(whole) if isinstance(mark, Complete) else whole


def of_classifier(classifier: object) -> Any:
    """Its `fingerprint`, if there is one; one that is not `Complete` with the files of the caller's own modules.

    Two projects have a my_model.py each, and one changes: "v1" of both is not the same, whatever the classifier is
    made of. In a notebook, whose cells are in no file, it is.
    """
    mark = getattr(classifier, "fingerprint", None)
    if not isinstance(mark, str) or not mark or isinstance(mark, Complete):
        return mark
    files = _own_files({name for one in _parts(classifier) for name in [_package(one)] if name})
    return Complete(f"{mark} {of_files(files, [str(one) for one in files])}")


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
