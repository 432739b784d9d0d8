"""SIGTERM (a scheduler, a shutdown) and SIGHUP (a closed terminal) end a command as Ctrl-C does: work is kept."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = [signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])


class Terminated(KeyboardInterrupt):
    """One of `SIGNALS` arrived; `exit_code` as a shell gives it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextmanager
def signals_like_ctrl_c() -> Iterator[None]:
    """While inside, each of `SIGNALS` raises Terminated; outside the main thread nothing changes.

    One that the caller ignores (nohup) stays ignored.
    """
    with ExitStack() as stack:
        for one in SIGNALS:
            if signal.getsignal(one) == signal.SIG_IGN:
                continue
            try:
                before = signal.signal(one, _terminate)
            except ValueError:  # only the main thread may
                break
            stack.callback(signal.signal, one, before)
        yield


@contextmanager
def swallowed_ctrl_c_counts() -> Iterator[None]:
    """Ctrl-C that Python swallows inside (in a callback of a weak reference, as Matplotlib has) is raised at the end.

    It is raised where it falls, too; outside the main thread nothing changes.
    """
    fell = False

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal fell
        fell = True
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # only the main thread may
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if fell:
        raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated(number)
