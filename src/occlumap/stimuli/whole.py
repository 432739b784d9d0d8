"""A folder that appears when it is whole, and never in another's place."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from occlumap._checks import reason
from occlumap.errors import StimuliError


@contextmanager
def working_folder(parent: Path, name: str) -> Iterator[Path]:
    """A hidden folder in `parent`, .NAME-XXXXXXXX, to make something in; whatever is left of it at the end goes.

    So do the folders that were made for it and in which nothing else is by then. Raises StimuliError, at once, where no
    folder can be made.
    """
    new = [one for one in (parent, *parent.parents) if not one.exists()]
    try:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            working = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
            working.chmod(0o755)
        except OSError as error:
            raise StimuliError(
                f"expected a folder {parent} to write into, got {_in_the_way(parent) or reason(error)}; choose another "
                "place"
            ) from error
        try:
            yield working
        finally:
            shutil.rmtree(working, ignore_errors=True)
    finally:
        for one in new:
            with suppress(OSError):  # not empty, or never made
                one.rmdir()


def _in_the_way(folder: Path) -> str:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    return "" if there.is_dir() else f"the file {there}"


def put(working: Path, final: Path) -> None:
    """Give a working folder its name. Raises the StimuliError of `made_meanwhile` where that is there by now."""
    try:
        working.rename(final)
    except OSError as error:
        if not final.exists():
            raise
        raise made_meanwhile(working, final) from error


def made_meanwhile(working: Path, final: Path) -> StimuliError:
    """The error for `final` having been made meanwhile; what is in the working folder stays, not hidden any more."""
    own = working.rename(working.with_name(working.name.removeprefix(".")))
    return StimuliError(
        f"expected nothing in {final}, as at the start, but another run has made it meanwhile: that is left as it is, "
        f"and what this run made is kept in {own}"
    )
