"""The user's cache folder: files that our code makes, checked by hash each time they are read."""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from occlumap._extras import from_extra
from occlumap.errors import OcclumapWarning


def folder() -> Path:
    """Where files are kept: the environment's OCCLUMAP_CACHE if set, else the user's cache folder."""
    chosen = os.environ.get("OCCLUMAP_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(
        from_extra("onnx", "platformdirs", "this classifier").user_cache_dir("occlumap", appauthor=False)
    )


def fetch(name: str, sha256: str, build: Callable[[], bytes]) -> bytes:
    """The bytes of file `name` from the cache if they have the hash, else from `build`, and then kept.

    A file with another hash (damaged, altered) is replaced, with an OcclumapWarning. When what `build`
    makes has another hash it is given back but never kept, so nothing unchecked is ever read from the
    folder. When the folder cannot be written to, that is an OcclumapWarning and the bytes are given back.
    Processes may fetch at once: a file appears whole or not at all.
    """
    path = folder() / name
    kept = _read(path)
    if kept is not None and _has_hash(kept, sha256):
        return kept
    if kept is not None:
        warnings.warn(
            f"expected SHA-256 {sha256} of the cached file {path}, got another: it is damaged or was "
            "altered, and is made anew",
            OcclumapWarning,
            stacklevel=2,
        )
    data = build()
    if not _has_hash(data, sha256):
        return data
    try:
        _write(path, data)
    except OSError as error:
        # On Windows a file that another process reads cannot be replaced; fine if it is the one we want.
        if _read(path) != data:
            warnings.warn(
                f"expected to keep {path}, got {type(error).__name__}: {error}; {name} is made anew each "
                "time until OCCLUMAP_CACHE names a folder that can be written to",
                OcclumapWarning,
                stacklevel=2,
            )
    return data


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _has_hash(data: bytes, sha256: str) -> bool:
    return hashlib.sha256(data).hexdigest() == sha256


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        try:
            file.write(data)
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            file.close()
            Path(file.name).unlink(missing_ok=True)
            raise
