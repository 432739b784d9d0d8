"""The entry point of `occlumap`; imports nothing but the standard library until it runs."""

import sys
from collections.abc import Sequence
from typing import NoReturn


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line on `arguments` (those of the process when None) and exit with its code."""
    try:
        from occlumap.cli.group import occlumap
    except ModuleNotFoundError as error:
        if error.name not in ("click", "tqdm"):
            raise
        sys.stderr.write(
            f"error: the command line needs {error.name}, which is not installed; "
            "run, in a clone of occlumap: pip install '.[cli]'\n"
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)
    try:
        occlumap.main(arguments, prog_name="occlumap")
    except SystemExit as end:
        if end.code in (130, 143, 129):  # Ctrl-C, SIGTERM, SIGHUP
            _leave_calls_behind(end.code)
        raise
    raise AssertionError("click exits by itself")  # pragma: no cover


def _leave_calls_behind(code: int) -> None:
    """End now if calls of a classifier are under way in threads or processes: Python would wait for them."""
    import multiprocessing
    import os
    import threading

    children = multiprocessing.active_children()
    if not children and not any(one.name.startswith("occlumap") for one in threading.enumerate()):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    for child in children:
        child.kill()
    os._exit(code)  # at once: a thread whose process has gone would start another
