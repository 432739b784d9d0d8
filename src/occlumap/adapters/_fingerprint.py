"""A text that changes when a classifier's scores may: of the files that it is made of, and what else decides them."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def versions_of(*packages: str) -> dict[str, str | None]:
    """The installed version of each package, None for one that is not there."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def of_files(files: Iterable[Path], *about: object) -> str:
    """SHA-256 of the files' contents and of the `repr` of all that is `about` them."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    digest.update(repr(about).encode())
    return digest.hexdigest()
