"""Progress on a terminal: what is done, rate and time left; in a pipe silent, or a line now and then."""

import shutil
import sys
from types import TracebackType
from typing import Self

from tqdm import tqdm


class ProgressBar:
    """`progress(done, total)` as `occlumap.explain` calls it, drawn on stderr if that is a terminal.

    `unit`: what is counted. `step`: of a longer work, in words. `lines`: where stderr is a file or a pipe, a line for
    every tenth, for what takes minutes.
    """

    def __init__(self, unit: str = "call", step: str = "", *, lines: bool = False) -> None:
        self._unit, self._step = unit, step
        self._lines = lines and not sys.stderr.isatty()
        self._told = -1
        self._bar: tqdm[None] | None = None

    def __call__(self, done: int, total: int | None) -> None:
        """Show that `done` of `total` are done."""
        if self._lines and total and 10 * done // total > self._told:
            self._told = 10 * done // total
            step = f"{self._step}: " if self._step else ""
            print(f"{step}{self._unit} {done} of {total}", file=sys.stderr, flush=True)
        if self._bar is None:
            # begins with the first batch: what a resumed run had before must not count towards the rate
            self._bar = tqdm(
                initial=done,
                total=total,
                desc=self._step or None,
                unit=self._unit,
                disable=None,  # unless it is a terminal
                file=sys.stderr,
                ncols=shutil.get_terminal_size().columns - 1,  # tqdm draws nothing on a terminal that
                nrows=20,  # does not know its size
                smoothing=0.1,
            )
            return
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    @property
    def begun(self) -> bool:
        """Whether anything has been counted yet."""
        return self._bar is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
