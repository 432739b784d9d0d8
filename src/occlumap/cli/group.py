"""The group of all commands, and what their errors look like: a line on stderr and an exit code."""

import errno
import importlib
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click
from tqdm import tqdm

import occlumap as package
from occlumap._checks import reason
from occlumap.cli.analyse import analyse
from occlumap.cli.benchmark import benchmark
from occlumap.cli.classify import classify
from occlumap.cli.doctor import doctor
from occlumap.cli.explain import explain
from occlumap.cli.show import show
from occlumap.cli.stimuli import stimuli
from occlumap.cli.study import study
from occlumap.cli.text import printable
from occlumap.errors import ClassifierNotFoundError, MeasuringError, OcclumapError, OcclumapWarning


class _Commands(click.Group):
    """Turns errors into `error: ...` and an exit code; another exception is a bug and shows its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _plain_warnings():
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            _complain("stopped", stop)
            raise click.exceptions.Exit(getattr(stop, "exit_code", 130)) from stop
        except OcclumapError as error:
            _complain(f"error: {error}", error)
            raise click.exceptions.Exit(1) from error
        except MemoryError as error:
            _complain("error: out of memory; try a smaller --batch-size or --depth", error)
            raise click.exceptions.Exit(1) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # click ends quietly when the reader of a pipe has gone
                raise
            file = f": {error.filename}" if error.filename is not None else ""
            advice = "; free some, and run the same command again" if error.errno == errno.ENOSPC else ""
            _complain(f"error: {reason(error)}{file}{advice}", error)
            raise click.exceptions.Exit(1) from error


def _complain(message: str, error: BaseException) -> None:
    """The message on stderr, and below it where its cause lies and what has been noted on it (PEP 678)."""
    for text in (message, *_where(error), *getattr(error, "__notes__", ())):
        for line in text.splitlines():
            click.echo(printable(line), err=True)


def _where(error: BaseException) -> Iterator[str]:
    """The line that raised, when it is in code of the user's that was called or imported."""
    cause = error.__cause__
    if not isinstance(error, MeasuringError | ClassifierNotFoundError) or cause is None:
        return
    ours = str(Path(package.__file__).parent)
    frames = [
        one
        for one in traceback.extract_tb(cause.__traceback__)
        if not one.filename.startswith("<") and one.filename != importlib.__file__
    ]
    if frames and not frames[-1].filename.startswith(ours):
        last = frames[-1]
        yield f"  raised in {last.filename}, line {last.lineno}, in {last.name}"
        if last.line:
            yield f"    {last.line}"


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Our own warnings as one line on stderr, `warning: ...`; those of others as Python has them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", OcclumapWarning)
        warnings.filterwarnings("error", "Image size", RuntimeWarning)  # of Pillow; our error says the same
        others = warnings.showwarning

        def show_warning(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, OcclumapWarning):
                tqdm.write(printable(f"warning: {message}"), file=sys.stderr)  # leaves a progress bar whole
            else:
                others(message, category, filename, lineno, file, line)

        warnings.showwarning = show_warning
        yield


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package.__version__, prog_name="occlumap")
def occlumap() -> None:
    """Which parts of this image made that classifier say so?

    Multi-scale occlusion heatmaps: parts of an image are hidden, large and small, and what that costs the
    class's score is what they were worth.

    \b
    Examples:
      occlumap classify photo.jpg
      occlumap explain photo.jpg --target "tabby" --out out/
      occlumap show out/explanation.npz

    \b
    A classifier is a name (efficientnet-lite0), a file m.onnx or m.keras, a folder of
    a transformers model, the address of a service (https://...), or module:callable,
    found in the working folder or on PYTHONPATH: a function from a uint8 batch
    (n, H, W, 3) to scores (n, classes). Importing a module runs its code.

    \b
    Exit codes:
      0    done
      1    something could not be used, read, measured or written; stderr says what to do
      2    the command line itself is wrong
      130  stopped by Ctrl-C (143: by SIGTERM, 129: by SIGHUP); what had been measured is kept
    """  # noqa: D301 - click wants a real \b


for command in (explain, classify, doctor, show, benchmark, stimuli, study, analyse):
    occlumap.add_command(command)
