"""The user's cache folder: files that our code makes, verified by hash each time they are read."""

import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from occlumap.errors import OcclumapWarning


def folder() -> Path:
    """Where files are kept: OCCLUMAP_CACHE if it is set, else the user's cache folder (platformdirs)."""
    chosen = os.environ.get("OCCLUMAP_CACHE")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return Path(user_cache_path("occlumap", appauthor=False))


def fetch(name: str, sha256: str, build: Callable[[], bytes]) -> bytes:
    """The bytes of file `name`, from the cache if they have the hash, else built and kept.

    A file that was changed is built anew. Where what is built has another hash (another version of the
    packages that write it), it is used but not kept: only what has the pinned hash is ever read back. A
    folder that cannot be written to is an OcclumapWarning, not an error.
    """
    path = folder() / name
    try:
        kept = path.read_bytes()
        if hashlib.sha256(kept).hexdigest() == sha256:
            return kept
    except OSError:
        pass
    data = build()
    if hashlib.sha256(data).hexdigest() != sha256:
        return data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{name}.{os.getpid()}.part")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(
            f"could not keep {name} in the cache folder ({error.strerror}): it is made anew each time; set "
            "OCCLUMAP_CACHE to a folder that can be written to",
            OcclumapWarning,
            stacklevel=2,
        )
    return data
