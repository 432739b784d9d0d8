"""Photographs of the benchmark: a table of files and classes to images as the classifier gets them."""

import csv
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path

import numpy as np

from occlumap import images
from occlumap.classifiers import Classifier, score
from occlumap.errors import ArgumentError, ImageError, OcclumapWarning, TargetError
from occlumap.fills import Image
from occlumap.measuring import image_sha256

CROPS = ("centre", "off-centre")
OFF_CENTRE_SIDE = 0.7
"""Side of an off-centre window as a share of the photograph's shorter side."""


@dataclass(frozen=True)
class Entry:
    """One line of the table, cut in one way. `name`: the file, with `#off-centre` behind it for that cut."""

    file: str
    class_index: int
    crop: str

    @property
    def name(self) -> str:
        """Names the photograph in rows and files."""
        return self.file if self.crop == "centre" else f"{self.file}#{self.crop}"


@dataclass(frozen=True, eq=False)
class Photograph:
    """An entry and its pixels, uint8 (size, size, 3)."""

    entry: Entry
    pixels: Image

    @property
    def identity(self) -> str:
        """Its class and the hash of its pixels."""
        return f"{self.entry.class_index}:{image_sha256(self.pixels)}"


def read_table(table: Path, crops: Sequence[str] = CROPS[:1]) -> list[Entry]:
    """The entries of a CSV file with columns `file` and `class_index`, each line in every one of `crops`.

    Raises ArgumentError for a table without these columns, without lines, with a file named twice, or with a
    class that is no whole number of 0 or more.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except FileNotFoundError as error:
        raise ArgumentError(
            f"expected a CSV table with columns file and class_index, found no file at {table}; name it with --table"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArgumentError(
            f"expected a CSV table with columns file and class_index at {table}, got: {error}"
        ) from error
    if not lines or not {"file", "class_index"} <= set(lines[0]):
        got = ", ".join(str(name) for name in lines[0]) if lines else "no lines"
        raise ArgumentError(f"expected columns file and class_index in {table}, got {got}")
    entries = []
    for number, line in enumerate(lines, start=2):
        text = line["class_index"] or ""
        if None in line or "\0" in (line["file"] or ""):
            raise ArgumentError(
                f"expected as many fields in line {number} of {table} as in its header, and no NUL in a file's name, "
                f"got {[*line.values()]!r}; a comma within a name takes quotation marks"
            )
        if not line["file"] or not text.strip().isdecimal():
            raise ArgumentError(
                f"expected a file and a class index of 0 or more in line {number} of {table}, got {line['file']!r} "
                f"and {text!r}"
            )
        entries += [Entry(line["file"], int(text), crop) for crop in crops]
    if len({(normpath(entry.file), entry.crop) for entry in entries}) < len(entries):
        raise ArgumentError(f"expected each file once in {table}, got one more than once")
    return entries


def read(folder: Path, entry: Entry, size: int, seed: int = 0) -> Photograph:
    """The entry's photograph, cut and resized (Pillow, bicubic) to `size` x `size`.

    centre: the centre square of the shorter side. off-centre: a square window of 70 % of the shorter side,
    anywhere, from `seed` and the file's name.
    """
    path = folder / entry.file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ImageError(f"expected a file inside {folder}, got {entry.file!r}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OcclumapWarning)
        pixels = images.read(path).pixels
    if entry.crop == "off-centre":
        digest = hashlib.sha256(f"{seed}:{entry.file}".encode()).digest()
        rng = np.random.default_rng(list(digest))
        side = max(1, round(OFF_CENTRE_SIDE * min(pixels.shape[:2])))
        row, col = (int(rng.integers(length - side + 1)) for length in pixels.shape[:2])
        pixels = pixels[row : row + side, col : col + side]
    fitted, _ = images.fit(pixels, (size, size))
    return Photograph(entry, fitted)


def others(entries: Sequence[Entry], entry: Entry, count: int) -> list[Entry]:
    """The next `count` entries after `entry`, round the end, cut alike, of classes all different.

    They depend on the table only, not on what is measured of it: another run has the same.
    Raises ArgumentError when there are not so many classes.
    """
    found: dict[int, Entry] = {}
    for candidate in _following(entries, entry):
        found.setdefault(candidate.class_index, candidate)
    if len(found) < count:
        raise ArgumentError(
            f"expected a table with photographs of at least {count + 1} classes, got {1 + len(found)}; metrics hide "
            "with a photograph of another class, and a mosaic takes four: add photographs"
        )
    return list(found.values())[:count]


def control_of(entries: Sequence[Entry], entry: Entry) -> Entry:
    """The entry whose heatmap is a control for that of `entry`: the second after it of another class, cut alike.

    The first is the reference, with which metrics hide: its own heatmap would know of it. It has to do where the
    table has no second one.
    """
    return list(_following(entries, entry))[:2][-1]


def _following(entries: Sequence[Entry], entry: Entry) -> Iterator[Entry]:
    """The entries after `entry`, round the end, cut alike, of other classes than its own."""
    place = entries.index(entry)
    for candidate in (*entries[place + 1 :], *entries[:place]):
        if candidate.crop == entry.crop and candidate.class_index != entry.class_index:
            yield candidate


def right_ones(
    classifier: Classifier,
    folder: Path,
    entries: Sequence[Entry],
    size: int,
    seed: int = 0,
    enough: int | None = None,
) -> tuple[list[Photograph], list[str], dict[str, float]]:
    """The photographs whose class has the highest score, the names of the others, and that score by name.

    `enough`: how many to look for; entries after them are not looked at.
    """
    right: list[Photograph] = []
    wrong: list[str] = []
    scores: dict[str, float] = {}
    for entry in entries:
        if len(right) == enough:
            break
        photograph = read(folder, entry, size, seed)
        (row,) = score(classifier, photograph.pixels[None].copy())  # it may change its batch
        if entry.class_index >= len(row):
            raise TargetError(
                f"expected class indices up to {len(row) - 1}, which the classifier has, got {entry.class_index} "
                f"for {entry.file}"
            )
        if int(np.argmax(row)) == entry.class_index:
            right.append(photograph)
            scores[entry.name] = float(row[entry.class_index])
        else:
            wrong.append(entry.name)
    return right, wrong, scores
