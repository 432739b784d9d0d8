"""SIGTERM (a scheduler, a shutdown) ends a command as Ctrl-C does: with what was measured kept."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived."""

    exit_code = 128 + signal.SIGTERM


@contextmanager
def sigterm_like_ctrl_c() -> Iterator[None]:
    """While inside, SIGTERM raises Terminated; outside the main thread nothing changes."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # only the main thread may
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
