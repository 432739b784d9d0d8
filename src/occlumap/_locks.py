"""One run at a time in a folder."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from occlumap.errors import ArgumentError


@contextmanager
def alone_in(folder: Path, what: str) -> Iterator[None]:
    """Refuse a second `what` ("benchmark") in one folder: it would lose what the first writes down.

    Where locks are POSIX's. Its file, .lock, is gone afterwards.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = folder / ".lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or not os.path.samestat(path.stat(), os.fstat(lock.fileno())):
                raise BlockingIOError  # another's file, which it took away in this moment
        except BlockingIOError:
            raise ArgumentError(
                f"expected no other {what} in {folder}, got one that is under way there; wait for it, or choose "
                "another folder"
            ) from None
        except OSError as error:  # a file system without locks
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
                raise
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
