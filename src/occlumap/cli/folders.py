"""Folders as commands take them; the one that a command writes into is checked before anything costs time."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from occlumap.errors import ArgumentError


class _Folder(click.Path):
    """A folder's path; an empty one, as of a variable that is not set, is not taken for the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("expected a folder, got an empty name; write . for the current folder", param, ctx)
        return super().convert(value, param, ctx)


FOLDER = _Folder(path_type=Path)


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Make `path` a folder that files can be written into; if nothing comes of it, it goes again.

    Raises ArgumentError, at once, when it is a file or cannot be made or written.
    """
    if path.exists() and not path.is_dir():
        raise ArgumentError(
            f"expected a folder to write into, got the file {str(path)!r}; name another with --out"
        )
    made = not path.exists()
    try:
        _make_and_try(path)
        yield path
    finally:
        if made and path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _make_and_try(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ArgumentError(
            f"expected a folder to write into, got {str(path)!r}: {error.strerror}; name another with --out"
        ) from error
