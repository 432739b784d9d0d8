"""Linear algebra on one thread, so that the number of threads changes no bit of a result."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.RLock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it BLAS runs on one thread; one caller at a time, so that the limit is put back as it was."""
    from threadpoolctl import threadpool_limits

    with _LOCK, threadpool_limits(limits=1, user_api="blas"):
        yield
