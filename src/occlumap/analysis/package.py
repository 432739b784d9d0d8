"""A replication package: tables, results and versions in one zip, which another machine verifies with one command."""

import csv
import hashlib
import io
import json
import math
import os
import platform
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from occlumap.analysis import plan as plans
from occlumap.analysis.mixed_model_results import TESTS_USABLE
from occlumap.analysis.results import Results
from occlumap.analysis.results_by_id import every_result
from occlumap.analysis.tables import COLUMNS, TableError, read
from occlumap.errors import ArgumentError, FileFormatError

TOLERANCE = 1e-6
"""Relative: results of another machine's libraries may differ by so much; those of iterations by ITERATED."""

ITERATED = 1e-3
_ITERATED = ("glmm", "confidence.clmm", "ratio.betabinomial")
_MANIFEST = "manifest.json"
_TABLE = rf"data/[0-9]{{1,9}}-[^/\0]*/({'|'.join(COLUMNS)})\.csv"
"""A table's name in a package: the folder's number in the order of merging, and its own name."""


README = """The tables of a study and the results of their analysis by occlumap {occlumap}.

Install, in a clone of occlumap at version {occlumap}: pip install '.[analysis]'
Verify: occlumap analyse verify PACKAGE.zip

It was made on Python {python} with {libraries}.
"""


def write(
    folders: Sequence[Path], values: Mapping[str, Any], path: Path, plan: Path | None = None
) -> dict[str, Any]:
    """A zip at `path` of the tables of `folders` that the analysis reads, its results' `values`, the frozen `plan` if
    there is one, and a manifest of hashes, which is given back.

    No other file of the folders is packed, nor another column of the tables (`left_alone` names them): they may tell
    who took part. Raises ArgumentError as `check_path` does.
    """
    check_path(path)
    files: dict[str, bytes] = {}
    for number, folder in enumerate(folders):
        for table in _tables(folder):
            files[f"data/{number}-{_name(folder)}/{table.name}"] = _packed(table)[0]
    if plan is not None:
        files["plan.json"] = plan.read_bytes()
    files["results.json"] = (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()
    versions = _versions()
    libraries = ", ".join(
        f"{name} {versions[name]}" for name in versions if name not in ("occlumap", "python")
    )
    files["README.txt"] = README.format(libraries=libraries, **versions).encode()
    manifest = {
        "kind": "occlumap-replication-package",
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "versions": versions,
    }
    files[_MANIFEST] = (json.dumps(manifest, indent=1) + "\n").encode()
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=path.parent) as temporary:
        whole = Path(temporary, "package.zip")
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
        whole.replace(path)
    return manifest


def _versions() -> dict[str, str]:
    versions = {name: version(name) for name in ("occlumap", "numpy", "scipy", "statsmodels", "pandas")}
    return {**versions, "python": platform.python_version()}


def check_path(path: Path) -> None:
    """ArgumentError unless `path` is a new file in a folder that is there and can be written into."""
    if path.exists():
        raise ArgumentError(
            f"expected a new file for the package, but {path} is there; nothing is overwritten, name another"
        )
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ArgumentError(
            f"expected a folder that can be written into for the package, got {path.parent}; make it first"
        )


def left_alone(folders: Sequence[Path]) -> Iterator[str]:
    """In words: the files of `folders`, and the columns of their tables, that are not packed."""
    for folder in folders:
        packed = _tables(folder)
        others = sorted(file.name for file in folder.iterdir() if file.is_file() and file not in packed)
        if others:
            yield f"not packed of {folder}, as the analysis does not read them: {', '.join(others)}"
        for table in packed:
            further = _packed(table)[1]
            if further:
                yield f"not packed of {table}, as the analysis does not read them: columns {', '.join(further)}"


def _packed(table: Path) -> tuple[bytes, list[str]]:
    """The table with the columns that the analysis reads, and the names of the others."""
    content = table.read_bytes()
    header, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    kept = [at for at, name in enumerate(header) if name.strip() in COLUMNS[table.stem]]
    further = [name.strip() for at, name in enumerate(header) if at not in kept]
    if not further:
        return content, []
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerows(
        [row[at] for at in kept] for row in (header, *rows) if row
    )
    return written.getvalue().encode(), further


def _name(folder: Path) -> str:
    """The folder's name, bytes that are no UTF-8 as question marks."""
    return folder.resolve().name.encode(errors="replace").decode()


def _tables(folder: Path) -> list[Path]:
    return [path for name in sorted(COLUMNS) if (path := folder / f"{name}.csv").exists()]


def _content(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def plan_hash(path: Path) -> str | None:
    """The SHA-256 that the frozen plan of a verified package tells of itself; None without a plan."""
    content = _content(path)
    return json.loads(content["plan.json"])["sha256"] if "plan.json" in content else None


def other_versions(path: Path) -> Iterator[str]:
    """In words: the versions of a verified package that are not those here."""
    here, there = _versions(), json.loads(_content(path)[_MANIFEST]).get("versions")
    for name, packed in there.items() if isinstance(there, dict) else ():
        if here.get(name) != packed:
            yield f"packed with {name} {packed}, here is {here.get(name, 'none')}"


def verify(path: Path, progress: Callable[[str], None] = lambda section: None) -> list[str]:
    """Analyse the package's tables again; what differs from its results, from its hashes, or in its frozen plan from
    that plan's own hash: an empty list is well. What the analysis calls not usable (a model without a maximum) is not
    compared: its numbers are where the iterations stopped, which another machine's arithmetic moves.

    `progress(section)` is called before each section of the analysis.
    Raises FileFormatError for a file that is no such package.
    """
    try:
        content = _content(path)
        manifest = json.loads(content[_MANIFEST])
        expected = json.loads(content["results.json"])
        hashes = dict(manifest["sha256"])
        if not isinstance(expected, dict):
            raise TypeError("results.json holds no results by id")
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError, RecursionError) as error:
        raise FileFormatError(
            f"expected a replication package at {path} ({type(error).__name__}: {error})"
        ) from error
    wrong = [
        f"{name}: not as it was packed"
        for name, digest in hashes.items()
        if hashlib.sha256(content.get(name, b"")).hexdigest() != digest
    ]
    wrong += [f"{name}: not in the manifest" for name in content if name != _MANIFEST and name not in hashes]
    tables = [name for name in hashes if name.startswith("data/")]
    odd = [name for name in tables if not re.fullmatch(_TABLE, name) or len(Path(name).parts) != 3]
    if odd or not tables:
        raise FileFormatError(
            f"expected tables as data/0-name/participants.csv in {path}, got {', '.join(odd) or 'none'}"
        )
    with tempfile.TemporaryDirectory() as temporary:
        if "plan.json" in content:
            frozen = Path(temporary, "plan.json")
            frozen.write_bytes(content["plan.json"])
            try:
                plans.read(frozen)
            except (ArgumentError, FileFormatError) as error:
                wrong.append(str(error).replace(str(frozen), "plan.json"))
        for name in tables:
            file = Path(temporary) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.get(name, b""))
        folders = sorted(
            Path(temporary, "data").glob("*"), key=lambda folder: int(folder.name.partition("-")[0])
        )
        try:
            study = read(folders)
        except TableError as error:
            told = str(error).replace(temporary, "")
            what = (
                f"files as they were packed in {path}, got {'; '.join(wrong)}"
                if wrong
                else f"a study in {path}"
            )
            raise FileFormatError(f"expected {what}; it cannot be analysed: {told}") from error
        results = every_result(study, progress)
    found = results.values
    for key in sorted({*expected, *found}):
        if _unusable(key, results):
            continue
        tolerance = ITERATED if key.startswith(_ITERATED) else TOLERANCE
        if key not in found or key not in expected or not _same(expected[key], found[key], tolerance, key):
            wrong.append(f"{key}: another result")
    return wrong


def _unusable(key: str, results: Results) -> bool:
    """Whether a caution says that this result is not usable."""
    return any(
        plans.within(key, name) and not (key == f"{name}.lrt" and caution.endswith(TESTS_USABLE))
        for name, caution in results.cautions.items()
    )


_P = re.compile(r"(^|_)p(_|$)")
_RANGE = ("tukey", "games_howell", "betabinomial_pairs")
"""Ids of p values of the studentised range, which are 1 less an integral: below SMALLEST_RANGE they are rounding."""

SMALLEST_RANGE = 1e-12
SMALLEST = 1e-300


def _same(one: Any, other: Any, tolerance: float, of: str) -> bool:
    """`of`: the id, and the keys that lead to the value."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            _same(one[key], other[key], tolerance, f"{of}.{key}") for key in one if key != "error"
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            _same(a, b, tolerance, of) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, int | float) and isinstance(other, int | float):
        if _P.search(of.rpartition(".")[2]) or of.startswith("multiplicity"):
            floor = SMALLEST_RANGE if any(name in of for name in _RANGE) else SMALLEST
            logs = [math.log(max(value, floor)) for value in (one, other)]
            # a small p moves by far more than its statistic does: by twice its logarithm
            return min(one, other) >= 0 and abs(logs[0] - logs[1]) <= tolerance * (1 - 2 * logs[0])
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=1e-9)
    return bool(one == other)
