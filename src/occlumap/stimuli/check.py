"""Look at a frozen set as a participant with a browser's tools would, and at its manifest as a careful colleague."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from occlumap import images
from occlumap._checks import reason
from occlumap._fingerprints import of_file
from occlumap.errors import FileFormatError, ImageError
from occlumap.stimuli.colours import Shown, coarse, misfit, unfair
from occlumap.stimuli.files import FAIRNESS, FOLDER, MANIFEST, SUMS
from occlumap.stimuli.hidden import hidden_in, tells
from occlumap.stimuli.likeness import NEAR, Look, likeness, look, near, same
from occlumap.stimuli.schema import OUTCOMES, check_manifest, legible

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
OURS = {MANIFEST, FAIRNESS, SUMS}
STATED = ("conditions", "files", "mix", "example_mix", "repetitions", "provenance")
"""What `build` writes beyond what the schema requires; without it `check` cannot compare."""
BIASES = 0.1
"""Of the logit: where more of it went into biases, LRP's heatmaps leave that much out."""
MISFIT, NO_FIT = 4.0, 12.0
"""Misfits (`colours.misfit`) beyond which a heatmap is another image's if one fits three times as well, and beyond
which it is no heatmap over its image. Heatmaps that `build` made at quality 90 and sides of 64 or more had 3.9 at most,
at quality 20 and a side of 64 up to 10.7; smaller and poorer ones may be warned about for nothing."""
MOST = 3
"""Lines of one kind that are shown before the rest is only counted."""


@dataclass(frozen=True)
class Finding:
    """What is wrong (`error`: the set must not be used) or what to know (`warning`); kind: what like ones share."""

    level: str
    text: str
    kind: str = ""


def check(folder: str | os.PathLike[str], manifest_hash: str | None = None) -> list[Finding]:
    """All that is wrong with the stimulus set in `folder`, errors first.

    manifest_hash: SHA-256 of manifest.json as `build` printed it (its first 8 digits or more); without it, only
    SHA256SUMS beside the manifest tells of a change, which whoever changes one may change, too. Raises FileFormatError
    without a manifest that is JSON.
    """
    root = Path(folder)
    manifest = _read(root / MANIFEST)
    found = list(_sums(root, manifest_hash))
    try:
        check_manifest(manifest)
    except FileFormatError as error:
        found.insert(0, Finding("error", str(error)))
        if not legible(manifest):
            return found
    looks = _looks(root, manifest)
    found += [
        *_statements(manifest),
        *_folders(root, manifest),
        *_files(root, manifest),
        *_tasks(manifest, looks),
        *_others_heatmaps(manifest),
        *_unfitting(root, manifest, looks),
        *_constant_answers(manifest),
        *_fairness(root, manifest),
        *_caveats(manifest),
        *_conservation(manifest),
    ]
    return sorted(found, key=lambda one: one.level)


def grouped(found: Sequence[Finding], most: int = MOST) -> list[Finding]:
    """The same, with no more than `most` of one level and kind, and a line that counts the rest of them."""
    totals = Counter((one.level, one.kind) for one in found)
    seen: Counter[tuple[str, str]] = Counter()
    shown = []
    for one in found:
        key = one.level, one.kind
        seen[key] += 1
        if not one.kind or seen[key] <= most:
            shown.append(one)
        elif seen[key] == totals[key]:
            shown.append(Finding(one.level, f"... and {totals[key] - most} more: {one.kind}", one.kind))
    return shown


def _read(path: Path) -> Any:
    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name}, which is no number of JSON")

    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(
            f"expected a stimulus set in {path.parent}, got {path.name}: {reason(error)}"
        ) from error


def _sums(root: Path, manifest_hash: str | None) -> Iterator[Finding]:
    """Whether the manifest and the report are those that were frozen."""
    own = of_file(root / MANIFEST)
    told = own if manifest_hash is None else manifest_hash.strip().lower()
    if len(told) < 8 or not own.startswith(told):
        yield Finding("error", f"{MANIFEST} has changed: its hash is {own}, not {manifest_hash}")
    if not (root / SUMS).exists():
        yield Finding(
            "warning", f"there is no {SUMS}, so a change of {MANIFEST} is not found; build the set again"
        )
        return
    try:
        lines = [line.split() for line in (root / SUMS).read_text(encoding="utf-8").splitlines()]
        sums = {name: digest for digest, name in lines}
    except (OSError, ValueError) as error:
        yield Finding(
            "warning", f"there is no {SUMS} that can be read ({reason(error)}): changes are not found"
        )
        return
    for name in (MANIFEST, FAIRNESS):
        if name not in sums:
            yield Finding("warning", f"{SUMS} has no hash of {name}: a change is not found")
        elif (root / name).is_file() and of_file(root / name) != sums[name]:
            yield Finding("error", f"{name} has changed since the set was frozen, by {SUMS}")


def _named(manifest: dict[str, Any]) -> set[str]:
    named = set()
    for task in manifest["tasks"]:
        named.add(task["image"])
        for one in task["examples"]:
            named |= {one["image"], *one["heatmaps"].values()}
    return named


def _statements(manifest: dict[str, Any]) -> Iterator[Finding]:
    """What the manifest states about itself, compared with its tasks and examples."""
    for key in STATED:
        if key not in manifest:
            yield Finding("error", f"the manifest has no {key!r}; build the set again")
    tasks = manifest["tasks"]
    stated = {
        label: {one: counts.get(one, 0) for one in OUTCOMES}
        for label, counts in manifest.get("mix", {}).items()
    }
    counted = {
        label: {one: sum((t["class"], t["outcome"]) == (label, one) for t in tasks) for one in OUTCOMES}
        for label in {task["class"] for task in tasks} | set(stated)
    }
    for label in sorted(counted) if "mix" in manifest else []:
        if stated.get(label) != counted[label]:
            told = _counts(stated[label]) if label in stated else "none"
            yield Finding(
                "error", f"the mix of {label} is stated as {told}, the tasks are {_counts(counted[label])}"
            )
    wanted = manifest.get("example_mix", {})
    for task in tasks if "example_mix" in manifest else []:
        have = Counter(one["outcome"] for one in task["examples"])
        if any(have[one] != wanted.get(one, 0) for one in OUTCOMES):
            yield Finding(
                "error",
                f"task {task['id']} has {_counts(have)} examples, the manifest states {_counts(wanted)} for each",
                "tasks with other examples than stated",
            )
    repeated = Counter(one["source"] for task in tasks for one in task["examples"] if "source" in one)
    if "repetitions" in manifest and {k: n for k, n in repeated.items() if n > 1} != manifest["repetitions"]:
        yield Finding("error", "the repetitions that the manifest states are not those of its examples")
    for one in sorted(set(manifest.get("files", {})) - _named(manifest)):
        yield Finding(
            "error",
            f"{one} is in the manifest's files, but no task or example shows it",
            "files nothing shows",
        )


def _counts(counts: Any) -> str:
    return ", ".join(f"{counts.get(one, 0)} {one}" for one in OUTCOMES)


def _folders(root: Path, manifest: dict[str, Any]) -> Iterator[Finding]:
    wanted = {Path(one).parent for one in _named(manifest)}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            yield Finding("error", f"{name} is a link: what it points to is not frozen", "links")
        elif not path.is_dir() and not path.is_file():
            yield Finding("error", f"{name} is neither a file nor a folder; take it away", "other than files")
        elif path.is_dir() and path.relative_to(root) not in wanted:
            empty = ", and empty" if not any(path.iterdir()) else ""
            yield Finding("error", f"the folder {name} is not of the set{empty}", "folders not of the set")
        elif path.is_dir() and name != FOLDER:
            yield Finding("error", f"the name of the folder {name} may tell something; it is {FOLDER}/")


def _files(root: Path, manifest: dict[str, Any]) -> Iterator[Finding]:
    named, hashes = _named(manifest), manifest.get("files", {})
    there = {
        one.relative_to(root).as_posix() for one in root.rglob("*") if one.is_file() and not one.is_symlink()
    }
    for one in sorted(named - there):
        yield Finding("error", f"{one} is missing", "files missing")
    for one in sorted(named - set(hashes)):
        yield Finding("error", f"{one} has no hash in the manifest", "files without a hash in the manifest")
    for one in sorted(there - OURS):
        if one not in named:
            yield Finding(
                "error", f"{one} is not in the manifest; a browser might get it", "files not in the manifest"
            )
        yield from _name(one, hashes.get(one))
        if one in named or OPAQUE.fullmatch(Path(one).name):
            yield from _content(root / one, one, hashes.get(one))


def _name(name: str, digest: str | None) -> Iterator[Finding]:
    path = Path(name)
    if not OPAQUE.fullmatch(path.name):
        yield Finding(
            "error",
            f"the name {name} may tell something; 32 hexadecimal digits tell nothing",
            "names that may tell something",
        )
        return
    if digest is not None and digest.startswith(path.stem):
        return  # of its content, so it tells nothing, whatever it looks like
    wrong = tells(path.stem)
    if wrong is not None:
        yield Finding("error", f"the name {name} {wrong}", "names that may tell something")
    elif digest is not None:
        yield Finding(
            "warning",
            f"the name {name} is not the beginning of its content's hash, so it may tell something",
            "names that are not their content's hash",
        )


def _content(path: Path, name: str, digest: str | None) -> Iterator[Finding]:
    content = path.read_bytes()
    if digest is not None and of_file(path) != digest:
        yield Finding("error", f"{name} has changed since the set was frozen", "files that have changed")
    hidden = hidden_in(content, name)
    if hidden:
        yield Finding("error", f"{name} has {'; '.join(hidden)}", "files with more than a picture")
    try:
        with Image.open(path) as picture:
            told = sorted({str(key) for key in picture.info} - HARMLESS)
            if picture.getexif():
                told = sorted({*told, "exif"})
            frames = getattr(picture, "n_frames", 1)
        images.read(path, quiet=True)
    except (OSError, ValueError, SyntaxError, ImageError, Image.DecompressionBombError):
        yield Finding("error", f"{name} is no image that can be read", "files that are no images")
        return
    if told:
        yield Finding("error", f"{name} carries metadata: {', '.join(told)}", "files with metadata")
    if frames > 1:
        yield Finding("error", f"{name} has {frames} pictures in it", "files with several pictures")


def _looks(root: Path, manifest: dict[str, Any]) -> dict[str, Look]:
    """The images of examples and tasks by name, without those that cannot be read."""
    tasks = manifest["tasks"]
    names = {one["image"] for task in tasks for one in (task, *task["examples"])}
    return {name: look(pixels) for name in sorted(names) if (pixels := _pixels(root / name)) is not None}


def _tasks(manifest: dict[str, Any], looks: dict[str, Look]) -> Iterator[Finding]:
    tasks = manifest["tasks"]
    examples = {one["image"]: one.get("source") for task in tasks for one in task["examples"]}
    seen: dict[str, str] = {}
    earlier: dict[str, str] = {}
    for task in tasks:
        name, source = task["image"], task.get("source")
        twin = seen.get(name) or (source is not None and seen.get(f"source {source}"))
        if twin:
            yield Finding("error", f"tasks {twin} and {task['id']} have the same image", "tasks of one image")
        seen |= {name: task["id"], f"source {source}": task["id"]}
        if name in examples or (source is not None and source in examples.values()):
            yield Finding(
                "error",
                f"the image of task {task['id']} is an example, which gives its outcome away",
                "tasks that are examples",
            )
        others = {one: f"the example {one}" for one in examples if one != name}
        others |= {one: f"that of task {other}" for one, other in earlier.items() if one != name}
        if name in looks:
            yield from _twins(task["id"], looks[name], others, looks)
        earlier[name] = task["id"]
        if "conditions" in manifest:
            yield from _heatmaps(task, set(manifest["conditions"]) - {"none"})


def _pixels(path: Path) -> NDArray[np.uint8] | None:
    if path.is_symlink() or not path.is_file():  # a pipe would never end
        return None
    try:
        return images.read(path, quiet=True).pixels
    except ImageError:
        return None


def _twins(task: str, mine: Look, others: dict[str, str], looks: dict[str, Look]) -> Iterator[Finding]:
    """Other pictures that equal a task's, or nearly do: mirrored, turned, in grey, a little cropped."""
    there = [(words, looks[name]) for name, words in others.items() if name in looks]
    for words, other in there:
        if same(mine, other):
            yield Finding("error", f"the image of task {task} equals {words}", "tasks that equal another")
    for place in near(mine, [other for _, other in there]):
        words, other = there[place]
        value, how = likeness(mine, other)
        if value >= NEAR and not same(mine, other):
            yield Finding(
                "warning",
                f"the image of task {task} nearly equals {words}{f', {how}' if how else ''}",
                "tasks that nearly equal another",
            )


def _heatmaps(task: dict[str, Any], wanted: set[str]) -> Iterator[Finding]:
    for number, one in enumerate(task["examples"]):
        lacking = sorted(wanted - set(one["heatmaps"]))
        other = sorted(set(one["heatmaps"]) - wanted)
        if lacking:
            yield Finding(
                "error",
                f"example {number} of task {task['id']} has no heatmap for {', '.join(lacking)}",
                "examples without a heatmap",
            )
        if other:
            yield Finding(
                "error",
                f"example {number} of task {task['id']} has a heatmap of {', '.join(other)}, which is no condition of "
                "the set",
                "heatmaps of no condition",
            )


def _others_heatmaps(manifest: dict[str, Any]) -> Iterator[Finding]:
    """Files that stand for a heatmap and are something else: a plain image, or another's heatmap."""
    plain = {
        one["image"]: f"the image of an example of task {task['id']}"
        for task in manifest["tasks"]
        for one in task["examples"]
    }
    plain |= {task["image"]: f"the image of task {task['id']}" for task in manifest["tasks"]}
    owners: dict[str, set[tuple[str, str]]] = {}
    for task in manifest["tasks"]:
        for number, one in enumerate(task["examples"]):
            for condition, file in one["heatmaps"].items():
                owners.setdefault(file, set()).add((one["image"], condition))
                if file in plain:
                    yield Finding(
                        "error",
                        f"the heatmap of {condition} of example {number} of task {task['id']} is "
                        f"{plain[file]}",
                        "heatmaps that are plain images",
                    )
    for file, found in owners.items():
        if len({image for image, _ in found}) > 1:
            yield Finding("error", f"{file} is the heatmap of several images", "heatmaps of several images")
        elif len(found) > 1:
            told = " and ".join(condition for _, condition in sorted(found))
            yield Finding(
                "warning",
                f"{file} is the heatmap of {told} for one image: they are equal (both may show nothing), or one stands "
                "in the other's place",
                "heatmaps of several conditions",
            )


def _unfitting(root: Path, manifest: dict[str, Any], looks: dict[str, Look]) -> Iterator[Finding]:
    """Heatmaps through which another image shows than their own, or none."""
    examples = {one["image"] for task in manifest["tasks"] for one in task["examples"]}
    plain = {name: coarse(looks[name].pixels) for name in sorted(examples) if name in looks}
    shown = {
        (file, one["image"]): f"the heatmap of {condition} of example {number} of task {task['id']}"
        for task in reversed(manifest["tasks"])
        for number, one in enumerate(task["examples"])
        for condition, file in one["heatmaps"].items()
        if one["image"] in plain and file not in plain
    }
    for (file, image), words in reversed(shown.items()):
        pixels = _pixels(root / file)
        if pixels is None:
            continue
        (height, width), (own_height, own_width) = pixels.shape[:2], looks[image].pixels.shape[:2]
        if (height, width) != (own_height, own_width):
            yield Finding(
                "error",
                f"{words} has {width} x {height} pixels, its image {own_width} x {own_height}: they are one size",
                "heatmaps of another size",
            )
            continue
        painted = coarse(pixels)
        away = misfit(painted, plain[image])
        if away <= MISFIT:
            continue
        misfits = {name: misfit(painted, one) for name, one in plain.items()}
        best = min(misfits, key=lambda name: misfits[name])
        if misfits[best] < away / 3:
            yield Finding("error", f"{words} is over another image, {best}", "heatmaps over another image")
        elif away > NO_FIT:
            yield Finding(
                "warning",
                f"{words} does not show its image under the colours: it may be something else",
                "heatmaps that do not show their image",
            )


def _constant_answers(manifest: dict[str, Any]) -> Iterator[Finding]:
    """The participant is asked whether the class will be recognised: TP and FP are a yes.

    Over all tasks, class by class, and for the answer that takes the better one for each class.
    """
    tasks = manifest["tasks"]
    advice = "above chance: report signal detection beside accuracy, or change the mix of outcomes"
    classes = sorted({task["class"] for task in tasks})
    best = {}
    for label in [None, *classes] if len(classes) > 1 else [None]:
        of = [task for task in tasks if label in (None, task["class"])]
        yes = sum(task["outcome"] in ("TP", "FP") for task in of)
        answer, right = ("yes", yes) if 2 * yes >= len(of) else ("no", len(of) - yes)
        best[label] = answer, right
        if 2 * right > len(of):
            where = "tasks" if label is None else f"tasks of {label}"
            yield Finding(
                "warning",
                f'whoever always answers "{answer}" is right in {right} of {len(of)} {where} ({right / len(of):.0%}), '
                + advice,
            )
    by_class = sum(best[label][1] for label in classes) if len(classes) > 1 else 0
    if by_class > best[None][1]:
        answers = ", ".join(f'"{best[label][0]}" for {label}' for label in classes)
        yield Finding(
            "warning",
            f"whoever answers {answers} is right in {by_class} of {len(tasks)} tasks ({by_class / len(tasks):.0%}), "
            + advice,
        )


def _fairness(root: Path, manifest: dict[str, Any]) -> list[Finding]:
    unknown = "how much red each condition shows is unknown"
    try:
        report = {name: _shown(one) for name, one in _read(root / FAIRNESS).items()}
    except (FileFormatError, AttributeError, TypeError, ValueError):
        return [Finding("warning", f"there is no {FAIRNESS} that can be read: {unknown}")]
    empty = [
        Finding(
            "warning",
            f"{one.empty} of {one.heatmaps} heatmaps of {name} show nothing: no value in them is above 0, "
            + (
                "as no object of the class is in the image"
                if name == "mask"
                else "so by it nothing in the image speaks for the class"
            ),
        )
        for name, one in report.items()
        if one.empty
    ]
    wanted = {name for task in manifest["tasks"] for one in task["examples"] for name in one["heatmaps"]}
    lacking = [
        Finding("warning", f"{FAIRNESS} has nothing of {name}: how much red it shows is unknown")
        for name in sorted(wanted - set(report))
    ]
    kind = "pairs of conditions of unequal ink"
    return [*lacking, *empty, *(Finding("warning", one, kind) for one in unfair(report))]


def _shown(told: Any) -> Shown:
    """Raises TypeError or ValueError for what is no entry of the report."""
    shown = Shown(**told)
    for value in (shown.ink, shown.coverage, shown.range, shown.heatmaps, shown.empty):
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ValueError(f"{value!r} is no amount")
    return shown


def _caveats(manifest: dict[str, Any]) -> list[Finding]:
    """What the methods themselves warned of while the heatmaps were made: little score to lose, a poor fit."""
    told = manifest.get("provenance", {}).get("caveats", {})
    if not isinstance(told, dict) or not all(type(count) is int for count in told.values()):
        return [Finding("error", "the caveats in the manifest's provenance are not numbers by condition")]
    return [Finding("warning", caveat(name, count)) for name, count in told.items()]


def caveat(name: str, count: int) -> str:
    """What the manifest's provenance says of a condition whose method warned."""
    return f"the method of {name} had doubts about {count} of its heatmaps; see conditions in docs/stimuli.md"


def _conservation(manifest: dict[str, Any]) -> list[Finding]:
    told = manifest.get("provenance", {}).get("lrp")
    if told is None:
        return []
    gap = told.get("median_gap") if isinstance(told, dict) else None
    if not isinstance(gap, int | float) or isinstance(gap, bool):
        return [Finding("error", "the figure of lrp in the manifest's provenance is none")]
    if gap <= BIASES:
        return []
    return [
        Finding(
            "warning",
            f"what a heatmap of lrp gives to all pixels together is off the score (its logit) by {gap:.0%} of that "
            "(median): the rest went to the network's biases, so the heatmaps tell of less, or of more, than the score",
        )
    ]
