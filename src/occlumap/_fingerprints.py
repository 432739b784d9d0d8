"""Texts that change when a file, or a classifier's scores, may: of files, and of what else decides them."""

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def of_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def of_files(files: Iterable[Path], *about: object) -> str:
    """One of the files' contents and of the `repr` of all that is `about` them."""
    return hashlib.sha256(repr(([of_file(file) for file in files], about)).encode()).hexdigest()


def of_classifier(classifier: object) -> Any:
    """Its `fingerprint`, if there is one, with the file of the caller's own module that it is from.

    Two projects have a my_model.py each, and one changes: "v1" of both is not the same.
    """
    mark = getattr(classifier, "fingerprint", None)
    name = getattr(classifier, "__module__", None)
    file = getattr(sys.modules.get(name), "__file__", None) if isinstance(name, str) else None
    if not isinstance(mark, str) or not mark or not file or str(name).partition(".")[0] == "occlumap":
        return mark
    path = Path(file).resolve()
    return f"{mark} {of_files([path] if path.is_file() else [], str(path))}"
