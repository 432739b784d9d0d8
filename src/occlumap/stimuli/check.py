"""Look at a frozen set as a participant with a browser's tools would, and at its manifest as a careful colleague."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from occlumap.errors import FileFormatError
from occlumap.stimuli.build import FAIRNESS, FOLDER, MANIFEST
from occlumap.stimuli.colours import Shown, unfair
from occlumap.stimuli.schema import check_manifest

OPAQUE = re.compile(r"[0-9a-f]{32}\.(webp|jpg)")
HARMLESS = {
    "jfif",
    "jfif_version",
    "jfif_unit",
    "jfif_density",
    "dpi",
    "loop",
    "background",
    "timestamp",
    "duration",
}
NEAR = 0.99
"""Pictures whose small versions correlate so much are near-duplicates."""


@dataclass(frozen=True)
class Finding:
    """What is wrong (`error`: the set must not be used) or what to know (`warning`)."""

    level: str
    text: str


def check(folder: str | os.PathLike[str]) -> list[Finding]:
    """All that is wrong with the stimulus set in `folder`, errors first. Raises FileFormatError without a manifest."""
    root = Path(folder)
    try:
        manifest = json.loads((root / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise FileFormatError(f"expected a stimulus set in {root}, got {error}") from error
    try:
        check_manifest(manifest)
    except FileFormatError as error:
        return [Finding("error", str(error))]
    found = [
        *_files(root, manifest),
        *_tasks(root, manifest),
        *_constant_answers(manifest),
        *_fairness(root),
        *_caveats(manifest),
    ]
    return sorted(found, key=lambda one: one.level)


def _named(manifest: dict[str, Any]) -> set[str]:
    named = set()
    for task in manifest["tasks"]:
        named.add(task["image"])
        for one in task["examples"]:
            named |= {one["image"], *one["heatmaps"].values()}
    return named


def _files(root: Path, manifest: dict[str, Any]) -> list[Finding]:
    found = []
    named, hashes = _named(manifest), manifest.get("files", {})
    there = {one.relative_to(root).as_posix() for one in root.rglob("*") if one.is_file()}
    found += [Finding("error", f"{one} is missing") for one in sorted(named - there)]
    for one in sorted(there - named - {MANIFEST, FAIRNESS}):
        found.append(Finding("error", f"{one} is not in the manifest; a browser might get it"))
    for one in sorted(named - set(hashes)):
        found.append(Finding("error", f"{one} has no hash in the manifest"))
    for one in sorted(there - {MANIFEST, FAIRNESS}):
        path = root / one
        if not OPAQUE.fullmatch(path.name) or path.parent.name not in (FOLDER, root.name):
            found.append(
                Finding("error", f"the name {one} may tell something; 32 hexadecimal digits tell nothing")
            )
        content = path.read_bytes()
        if one in hashes and hashlib.sha256(content).hexdigest() != hashes[one]:
            found.append(Finding("error", f"{one} has changed since the set was frozen"))
        try:
            with Image.open(path) as picture:
                told = sorted({str(key) for key in picture.info} - HARMLESS)
                if picture.getexif():
                    told = sorted({*told, "exif"})
        except OSError:
            found.append(Finding("error", f"{one} is no image that can be read"))
            continue
        if told:
            found.append(Finding("error", f"{one} carries metadata: {', '.join(told)}"))
    return found


def _tasks(root: Path, manifest: dict[str, Any]) -> list[Finding]:
    found = []
    examples = {one["image"]: one.get("source") for task in manifest["tasks"] for one in task["examples"]}
    pictures = {
        name: _pixels(root / name) for name in {*examples, *(task["image"] for task in manifest["tasks"])}
    }
    seen: dict[str, str] = {}
    for task in manifest["tasks"]:
        name, source = task["image"], task.get("source")
        if name in seen:
            found.append(Finding("error", f"tasks {seen[name]} and {task['id']} have the same image"))
        seen[name] = task["id"]
        if name in examples or (source is not None and source in examples.values()):
            found.append(
                Finding(
                    "error", f"the image of task {task['id']} is an example, which gives its outcome away"
                )
            )
            continue
        for other in examples:
            mine, theirs = pictures[name], pictures[other]
            if mine is None or theirs is None:
                continue
            if mine.shape == theirs.shape and (mine == theirs).all():
                found.append(Finding("error", f"the image of task {task['id']} equals the example {other}"))
            elif _likeness(mine, theirs) >= NEAR:
                found.append(
                    Finding("warning", f"the image of task {task['id']} nearly equals the example {other}")
                )
        wanted = set(manifest.get("conditions", [])) - {"none"}
        for number, one in enumerate(task["examples"]):
            lacking = sorted(wanted - set(one["heatmaps"]))
            if lacking:
                found.append(
                    Finding(
                        "error",
                        f"example {number} of task {task['id']} has no heatmap for {', '.join(lacking)}",
                    )
                )
    return found


def _constant_answers(manifest: dict[str, Any]) -> list[Finding]:
    """The participant is asked whether the class will be recognised: TP and FP are a yes."""
    tasks = manifest["tasks"]
    yes = sum(task["outcome"] in ("TP", "FP") for task in tasks)
    if 2 * yes == len(tasks):
        return []
    answer, right = ("yes", yes) if 2 * yes > len(tasks) else ("no", len(tasks) - yes)
    return [
        Finding(
            "warning",
            f'whoever always answers "{answer}" is right in {right} of {len(tasks)} tasks ({right / len(tasks):.0%}), '
            "above chance: report signal detection beside accuracy, or change the mix of outcomes",
        )
    ]


def _fairness(root: Path) -> list[Finding]:
    try:
        report = {name: Shown(**one) for name, one in json.loads((root / FAIRNESS).read_text()).items()}
    except (OSError, ValueError, TypeError):
        return [
            Finding(
                "warning",
                f"there is no {FAIRNESS} that can be read: how much red each condition shows is unknown",
            )
        ]
    empty = [
        Finding(
            "warning",
            f"{one.empty} of {one.heatmaps} heatmaps of {name} show nothing: nothing speaks for the class",
        )
        for name, one in report.items()
        if one.empty
    ]
    return [*empty, *(Finding("warning", one) for one in unfair(report))]


def _caveats(manifest: dict[str, Any]) -> list[Finding]:
    """What the methods themselves warned of while the heatmaps were made: little score to lose, a poor fit."""
    return [
        Finding(
            "warning",
            f"the method of {name} had doubts about {count} of its heatmaps (`occlumap explain` says which)",
        )
        for name, count in manifest.get("provenance", {}).get("caveats", {}).items()
    ]


def _pixels(path: Path) -> NDArray[np.uint8] | None:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except OSError:
        return None


def _likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The correlation of both pictures at 16 x 16, whatever their light and contrast; 1 where both are flat."""
    small = [
        np.asarray(Image.fromarray(each).resize((16, 16), Image.Resampling.BOX), dtype=np.float64)
        for each in (one, other)
    ]
    first, second = ((each - each.mean()).ravel() for each in small)
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    if lengths == 0:
        return float(not first.any() and not second.any())
    return float(first @ second) / lengths
