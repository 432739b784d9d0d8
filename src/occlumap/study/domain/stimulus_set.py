"""The manifest of a stimulus set, as far as the study shows it: read and checked, and what gives its tasks away."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from occlumap._fingerprints import of_file
from occlumap.errors import FileFormatError
from occlumap.study.domain import reward

MOST_TOLD = 3


def read(path: Path) -> dict[str, Any]:
    """The manifest at `path`; FileFormatError, which names the places, for one that pages cannot be made of."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    misfits = list(_misfits(document))
    if misfits:
        more = f"; and {len(misfits) - MOST_TOLD} more" if len(misfits) > MOST_TOLD else ""
        raise _unreadable(path, "; ".join(misfits[:MOST_TOLD]) + more)
    return dict(document)


def _unreadable(path: Path, why: str) -> FileFormatError:
    return FileFormatError(
        f"expected the manifest of a stimulus set at {path} ({why}); make one with occlumap stimuli build, or name it "
        "under `stimuli` in the configuration"
    )


def _misfits(document: Any) -> Iterator[str]:
    if not isinstance(document, dict) or not isinstance(document.get("thresholds"), dict):
        yield "lacks thresholds"
        return
    tasks = document.get("tasks")
    if not isinstance(tasks, list) or not tasks:
        yield "lacks tasks"
        return
    seen = set()
    for place, task in enumerate(tasks, start=1):
        where = f"task {place}"
        if not isinstance(task, dict):
            yield f"{where} is no mapping"
            continue
        name, of = str(task.get("id", "")), task.get("class")
        if not re.fullmatch(r"[\w.-]{1,80}", name):
            yield f"the id of {where} is {name!r}, not 1 to 80 letters, digits, dots, dashes or underscores"
        if name in seen:
            yield f"the id {name!r} is there twice"
        seen.add(name)
        if not isinstance(of, str) or not 1 <= len(of) <= 80:
            yield f"the class of {where} is {of!r}, not a name"
            continue
        if not _is_share(document["thresholds"].get(of)):
            yield f"the threshold of {of} is {document['thresholds'].get(of)!r}, not a number from 0 to 1"
        yield from _picture(task, of, where)
        examples = task.get("examples")
        if not isinstance(examples, list) or not examples:
            yield f"{where} lacks examples"
            continue
        for at, example in enumerate(examples, start=1):
            if not isinstance(example, dict):
                yield f"example {at} of {where} is no mapping"
            else:
                yield from _picture(example, of, f"example {at} of {where}")


def _picture(one: Mapping[str, Any], of: str, where: str) -> Iterator[str]:
    if one.get("outcome") not in reward.RIGHT:
        yield f"the outcome of {where} is {one.get('outcome')!r}, not one of {', '.join(reward.RIGHT)}"
    scores, heatmaps = one.get("scores"), one.get("heatmaps") or {}
    if not isinstance(scores, dict) or not _is_share(scores.get(of)):
        yield f"{where} has no score of {of} from 0 to 1"
    files = [one.get("image"), *(heatmaps.values() if isinstance(heatmaps, dict) else [heatmaps])]
    for name in files:
        if not isinstance(name, str) or not _is_inside(name):
            yield f"{where} names {name!r}, not a file in the set's folder"


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def faults(manifest: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """What must be mended before people take part: scores that belie an outcome, images that give a task away.

    `folder`: of the manifest, to which images are relative. An image is known by its bytes, under whatever name.
    """
    known: dict[str, str] = {}

    def same(name: str) -> str:
        if name not in known:
            path = folder / name
            known[name] = of_file(path) if path.is_file() else name
        return known[name]

    tasks = manifest["tasks"]
    shown = {same(example["image"]) for task in tasks for example in task["examples"]}
    before: dict[str, object] = {}
    for task in tasks:
        limit = manifest["thresholds"][task["class"]]
        for one in (task, *task["examples"]):
            assigned = one["scores"][task["class"]] > limit
            if assigned != (reward.RIGHT[one["outcome"]] == "yes"):
                what = "the image" if one is task else "an example"
                yield (
                    f"{what} of task {task['id']} is {one['outcome']}, but its score "
                    f"{one['scores'][task['class']]} is {'above' if assigned else 'not above'} the threshold {limit}"
                )
                break
        image = same(task["image"])
        if image in shown:
            yield f"the image of task {task['id']} is an example too, which gives its outcome away"
        if image in before:
            yield f"tasks {before[image]} and {task['id']} have the same image"
        before[image] = task["id"]
