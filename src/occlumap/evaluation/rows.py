"""The raw numbers of a benchmark: rows.csv, appended as they come, whole groups or nothing."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from occlumap._archive import write_bytes
from occlumap.errors import FileFormatError


class Row(NamedTuple):
    """One number. `reference` is empty where the metric has none; `seconds` where a cache took part."""

    photo: str
    classifier: str
    method: str
    budget: int
    calls: int
    seconds: float | None
    metric: str
    reference: str
    value: float


Group = tuple[str, str, str, int]
"""photo, classifier, method, budget: what is measured together and written together."""


def text(rows: Iterable[Row]) -> str:
    """The rows as lines of CSV, without a header; floats so that they read back equal."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in rows:
        writer.writerow("" if value is None else value for value in row)
    return buffer.getvalue()


def append(path: Path, rows: Iterable[Row]) -> None:
    """Add rows at the end, in one write."""
    with path.open("a", encoding="utf-8", newline="") as file:
        if not file.tell():
            file.write(",".join(Row._fields) + "\n")
        file.write(text(rows))


def recover(
    path: Path, size: Callable[[str], int], again: Callable[[Group], bool] = lambda group: False
) -> set[Group]:
    """The groups that have all `size(method)` rows; what a stopped run left of another is cut off.

    What stands there twice is kept once, and nothing of the groups to make `again`.

    Raises FileFormatError for a file that is not ours.
    """
    if not path.exists():
        return set()
    content = path.read_text(encoding="utf-8", errors="replace")
    header = ",".join(Row._fields) + "\n"
    if not content.startswith(header):
        if header.startswith(content):  # stopped while the header was written
            path.unlink()
            return set()
        raise FileFormatError(
            f"expected the rows of a benchmark in {path}, got another file; choose another folder"
        )
    whole = content[: content.rfind("\n") + 1]
    lines = list(csv.reader(io.StringIO(whole)))[1:]
    found = len(lines)
    if any(len(line) != len(Row._fields) for line in lines):
        raise FileFormatError(f"expected {len(Row._fields)} columns in each line of {path}, got others")
    # two runs in one folder at once leave numbers twice: the first counts
    lines = list({(_group(line), line[6], line[7]): line for line in reversed(lines)}.values())[::-1]
    counts = Counter(_group(line) for line in lines)
    complete = {group for group, count in counts.items() if count == size(group[2]) and not again(group)}
    kept = [line for line in lines if _group(line) in complete]
    if len(kept) < found or whole != content:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(kept)
        write_bytes(path, (header + buffer.getvalue()).encode())
    return complete


def _group(line: list[str]) -> Group:
    try:
        return line[0], line[1], line[2], int(line[3])
    except ValueError:
        raise FileFormatError(f"expected a budget in the fourth column of rows, got {line[3]!r}") from None
