"""The group of all commands, and what their errors look like: a line on stderr and an exit code."""

import errno
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click
from tqdm import tqdm

import occlumap as package
from occlumap.cli.benchmark import benchmark
from occlumap.cli.classify import classify
from occlumap.cli.explain import explain
from occlumap.cli.show import show
from occlumap.errors import OcclumapError, OcclumapWarning


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
            _complain(f"error: {error}", error)
            raise click.exceptions.Exit(1) from error


def _complain(message: str, error: BaseException) -> None:
    """The message on stderr, and below it what has been noted on the error (PEP 678)."""
    for line in (message, *getattr(error, "__notes__", ())):
        click.echo(line, err=True)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Our own warnings as one line on stderr, `warning: ...`; those of others as Python has them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", OcclumapWarning)
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
                tqdm.write(f"warning: {message}", file=sys.stderr)  # leaves a progress bar whole
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
    A classifier is a name (efficientnet-lite0) or module:callable, found in the
    working folder or on PYTHONPATH: a function from a uint8 batch (n, H, W, 3)
    to scores (n, classes). Importing a module runs its code.

    \b
    Exit codes:
      0    done
      1    something could not be used, read, measured or written; stderr says what to do
      2    the command line itself is wrong
      130  stopped by Ctrl-C (143: by SIGTERM); what had been measured is kept
    """  # noqa: D301 - click wants a real \b


for command in (explain, classify, show, benchmark):
    occlumap.add_command(command)
