"""Write a frozen stimulus set: opaque names, no metadata, sizes for the page, and a manifest with the truth."""

import hashlib
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import occlumap
from occlumap._archive import write_bytes
from occlumap._checks import nearest
from occlumap._fingerprints import of_file
from occlumap._yaml_files import read_yaml
from occlumap.errors import ArgumentError, FileFormatError, OcclumapError, OcclumapWarning, StimuliError
from occlumap.stimuli.check import check, grouped
from occlumap.stimuli.colours import enlarge, fairness, intensity, paint
from occlumap.stimuli.conditions import Request, check_options, check_values, heatmap
from occlumap.stimuli.files import FAIRNESS, FOLDER, MANIFEST, SUMS
from occlumap.stimuli.lrp import RULE_SETS, Conservation, conservation
from occlumap.stimuli.schema import OUTCOMES, check_manifest
from occlumap.stimuli.tasks import EXAMPLES, SCORE_DIGITS, TASKS, Predictions, Task, choose, mix, repetitions
from occlumap.stimuli.train import WEIGHTS, Model, check_seen, load, predict
from occlumap.stimuli.voc import VocSplit, read_split, refuse_inside
from occlumap.stimuli.whole import put, working_folder

FORMATS = {"webp": "WEBP", "jpg": "JPEG"}
WEIGHED = 20
"""Heatmaps of LRP, at most, whose sum is compared with the logit for the report."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Config:
    """What `build` needs, as config.yaml says it. Paths are relative to that file.

    tasks, examples: how many of each outcome for one class, and for one task; each outcome that the default asks for
    must be named, 0 for none. conditions: {name: options}.
    explain_side: heatmaps are made of the image with its longer side brought to this at most. side: the longer side
    on the page, in pixels. format: webp or jpg.
    """

    data: Path
    model: Path
    out: Path
    split: str = "train"
    classes: tuple[str, ...] = ("cat", "horse")
    tasks: Mapping[str, int] = field(default_factory=lambda: dict(TASKS))
    examples: Mapping[str, int] = field(default_factory=lambda: dict(EXAMPLES))
    conditions: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {"occlusion": {}, "lrp": {}, "joint": {}}
    )
    explain_side: int = 224
    side: int = 320
    format: str = "webp"
    quality: int = 90
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.format, str) or self.format not in FORMATS:
            raise StimuliError(f"expected format to be webp or jpg, got {_told(self.format)}")
        for name, low, high in (
            ("explain_side", 16, 4096),
            ("side", 32, 4096),
            ("quality", 1, 100),
            ("seed", 0, 2**32 - 1),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise StimuliError(
                    f"expected {name} to be a whole number from {low} to {high}, got {_told(value)}"
                )
        if not isinstance(self.split, str) or not self.split:
            raise StimuliError(f"expected split to be the name of a list of images, got {_told(self.split)}")
        for name, defaults in (("tasks", TASKS), ("examples", EXAMPLES)):
            _check_counts(name, getattr(self, name), defaults)
        _check_classes(self.classes)
        _check_conditions(self.conditions, self.explain_side)


def _check_counts(name: str, counts: Mapping[str, int], defaults: Mapping[str, int]) -> None:
    """Every outcome of the default must be named, so that nobody gets three examples of FP by asking for TP."""
    if not isinstance(counts, Mapping):
        raise StimuliError(f"expected {name} to be like {_yaml(defaults)}, got {_told(counts)}")
    for outcome, one in counts.items():
        if outcome not in OUTCOMES:
            raise StimuliError(
                f"expected outcomes among {', '.join(OUTCOMES)} in {name}, got {_told(outcome)}"
                f"{nearest(outcome, OUTCOMES)}"
            )
        if not isinstance(one, int) or isinstance(one, bool) or one < 0:
            raise StimuliError(
                f"expected {name} to give a whole number of 0 or more for {outcome}, got {_told(one)}"
            )
    lacking = [one for one, usual in defaults.items() if usual and one not in counts]
    if lacking:
        raise StimuliError(
            f"expected {name} to give a number for each of {', '.join(one for one in defaults if defaults[one])}, got "
            f"none for {', '.join(lacking)}; write 0 for none, or leave {name} out for {_yaml(defaults)}"
        )
    if not sum(counts.values()):
        raise StimuliError(f"expected at least one of {name}, got only zeros")


def _check_classes(classes: object) -> None:
    if not isinstance(classes, list | tuple) or not all(isinstance(one, str) for one in classes):
        raise StimuliError(f"expected classes to be a list of names, like [cat, horse], got {_told(classes)}")
    if not classes:
        raise StimuliError("expected at least one class, got none")
    twice = sorted({one for one in classes if list(classes).count(one) > 1})
    if twice:
        raise StimuliError(f"expected every class once in classes, got {', '.join(twice)} more than once")


def _check_conditions(conditions: object, side: int) -> None:
    if not isinstance(conditions, Mapping) or not all(isinstance(one, str) for one in conditions):
        raise StimuliError(
            f"expected conditions to be names, each with options, like {{occlusion: {{depth: 4}}, none: {{}}}}, got "
            f"{_told(conditions)}"
        )
    if not conditions:
        raise StimuliError("expected at least one condition, got none; write [none] for no heatmaps")
    for name, options in conditions.items():
        if not isinstance(options, Mapping) or not all(isinstance(one, str) for one in options):
            raise StimuliError(
                f"expected the options of condition {name!r} to be names with values, like {{depth: 4}}, got "
                f"{_told(options)}"
            )
        check_options(name, options)
        check_values(name, options, side)


def _told(value: object) -> str:
    """A value as a configuration would write it."""
    return json.dumps(value, default=str)[:80]


def _yaml(counts: Mapping[str, int]) -> str:
    return "{" + ", ".join(f"{one}: {count}" for one, count in counts.items()) + "}"


def read_config(path: str | os.PathLike[str]) -> Config:
    """The configuration in a YAML file.

    Raises StimuliError, which names the file, for an unknown key, a key given twice, or a value of another kind, and
    ArgumentError for a condition or an option that does not exist.
    """
    file = Path(path)
    try:
        read = read_yaml(file, "a configuration", "stimuli")
    except FileFormatError as error:
        raise StimuliError(str(error)) from error
    known = [one.name for one in fields(Config)]
    if not isinstance(read, dict):
        raise StimuliError(f"expected keys and values in {file}, got {_told(read)}")
    for key in read:
        if key not in known:
            raise StimuliError(
                f"expected keys among {', '.join(known)} in {file}, got {_told(key)}{nearest(key, known)}"
            )
    missing = [one for one in ("data", "model", "out") if not isinstance(read.get(one), str) or not read[one]]
    if missing:
        raise StimuliError(f"expected a path for {', '.join(missing)} in {file}")
    conditions = read.get("conditions")
    if isinstance(conditions, list) and all(isinstance(one, str) for one in conditions):
        if len(set(conditions)) < len(conditions):
            raise StimuliError(f"expected every condition once in {file}, got {_told(conditions)}")
        conditions = dict.fromkeys(conditions)
    if isinstance(conditions, dict):
        read["conditions"] = {
            name: {} if options is None else options for name, options in conditions.items()
        }
    read |= {one: file.parent / read[one] for one in ("data", "model", "out")}
    if isinstance(read.get("classes"), list):
        read["classes"] = tuple(read["classes"])
    try:
        return Config(**read)
    except OcclumapError as error:
        raise type(error)(f"{file}: {error}") from error


def build(config: Config, progress: Progress | None = None) -> dict[str, Any]:
    """Make the set in `config.out` and give its manifest; progress(done, total) in images and heatmaps.

    The folder appears when it is whole: manifest.json, fairness.json, SHA256SUMS of both, and images/ with every
    picture. Of images that show the same pixels only the first counts. Raises StimuliError where images are too
    few, where the split is not the data that the model's card records under that name, where `check` finds an error
    in what was made, or the folder exists already: a frozen set is never changed; if another run makes it meanwhile,
    this one's is kept beside it. Warns of a split that the card does not name.
    """
    if config.out.exists():
        raise StimuliError(f"expected no folder {config.out}, as a frozen set is not changed; choose another")
    refuse_inside(config.data, config.out, "the stimulus set")
    if config.out.resolve().is_relative_to(config.model.resolve()):
        raise StimuliError(f"expected a folder outside the model's, {config.model}, got {config.out}")
    with working_folder(config.out.parent, config.out.name) as working:
        model = load(config.model)
        split = read_split(config.data, config.split, model.card["classes"])
        check_seen(model.card, split)
        scores, embeddings = predict(model.classifier, split)
        pictures = tuple(split.pixel_hash(row) for row in range(len(split.ids)))
        predictions = Predictions(
            split.ids, split.classes, scores, split.labels, embeddings, model.thresholds, pictures
        )
        tasks = choose(predictions, config.classes, config.tasks, config.examples, config.seed)
        writer = _Writer(working, config)
        made = _pictures(writer, config, split, model, tasks, progress)
        manifest = _manifest(config, predictions, tasks, made, writer.hashes, model)
        check_manifest(manifest)
        write_bytes(working / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
        report = {name: asdict(one) for name, one in fairness(made.shown).items()}
        write_bytes(working / FAIRNESS, (json.dumps(report, indent=1) + "\n").encode())
        sums = "".join(f"{of_file(working / one)}  {one}\n" for one in (FAIRNESS, MANIFEST))
        write_bytes(working / SUMS, sums.encode())
        wrong = [one.text for one in grouped(check(working)) if one.level == "error"]
        if wrong:
            raise StimuliError("the set must not be used, so it is not frozen:\n  " + "\n  ".join(wrong))
        now = time.time()
        for path in working.rglob("*"):
            os.utime(path, (now, now))  # when each was written tells the order in which they were made
        put(working, config.out)
    for name, one in report.items():
        if one["empty"] == one["heatmaps"]:
            warnings.warn(
                f"all {one['heatmaps']} heatmaps of {name} show nothing: no value in them is above 0",
                OcclumapWarning,
                stacklevel=2,
            )
    return manifest


@dataclass
class _Pictures:
    plain: dict[int, str] = field(default_factory=dict)
    heatmaps: dict[tuple[int, str], dict[str, str]] = field(default_factory=dict)
    shown: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    caveats: dict[str, int] = field(default_factory=dict)
    conservation: Conservation | None = None


class _Writer:
    """Pictures into the folder, named by 32 hexadecimal digits of their content's hash: equal bytes are one file."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder, self.config = folder, config
        self.hashes: dict[str, str] = {}
        (folder / FOLDER).mkdir()

    def size(self, image: NDArray[np.uint8]) -> tuple[int, int]:
        share = self.config.side / max(image.shape[:2])
        height, width = (max(round(one * share), 1) for one in image.shape[:2])
        return height, width

    def write(self, pixels: NDArray[np.uint8]) -> str:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, FORMATS[self.config.format], quality=self.config.quality)
        content = buffer.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        name = f"{FOLDER}/{digest[:32]}.{self.config.format}"
        write_bytes(self.folder / name, content)
        self.hashes[name] = digest
        return name


def _pictures(
    writer: _Writer,
    config: Config,
    split: VocSplit,
    model: Model,
    tasks: list[Task],
    progress: Progress | None,
) -> _Pictures:
    plain = sorted({task.row for task in tasks} | {one.row for task in tasks for one in task.examples})
    explained = sorted({(one.row, task.label) for task in tasks for one in task.examples})
    total = len(plain) + len(explained) * len(config.conditions)
    made = _Pictures(shown={name: [] for name in config.conditions})
    # an image's, and those of its heatmaps, which are made of a smaller one
    sizes: dict[int, tuple[int, int]] = {}
    done = 0
    for row, label in explained:
        split.object_mask(row, label)  # an annotation that does not fit is told before hours of heatmaps
    for row in plain:
        image = split.image(row, max(config.side, config.explain_side))
        sizes[row] = writer.size(image)
        made.plain[row] = writer.write(enlarge(image, sizes[row]))
        done += 1
        if progress is not None:
            progress(done, total)
    rules = config.conditions.get("lrp", {}).get("rules", RULE_SETS[0])
    weighed: list[tuple[NDArray[np.uint8], int]] = []
    for row, label in explained:
        image = split.image(row, config.explain_side)
        where = Image.fromarray(split.object_mask(row, label)).resize((image.shape[1], image.shape[0]))
        request = Request(
            image, split.classes.index(label), model.classifier, np.asarray(where, dtype=bool), config.seed
        )
        if "lrp" in config.conditions and len(weighed) < WEIGHED:
            weighed.append((image, request.target))
        files = made.heatmaps.setdefault((row, label), {})
        for name, options in config.conditions.items():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", OcclumapWarning)
                try:
                    found = heatmap(name, request, dict(options))
                except ArgumentError as error:
                    raise ArgumentError(f"image {split.ids[row]}, class {label}: {error}") from error
            made.caveats[name] = made.caveats.get(name, 0) + any(
                one.category is OcclumapWarning for one in caught
            )
            for one in caught:
                if not issubclass(one.category, OcclumapWarning):
                    warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
            if found is not None:
                shown = intensity(found)
                made.shown[name].append(shown)
                files[name] = writer.write(paint(image, shown, sizes[row]))
            done += 1
            if progress is not None:
                progress(done, total)
    if weighed:
        made.conservation = conservation(model.classifier, weighed, rules)
    return made


def _written(score: float, threshold: float) -> float:
    """Rounded for people, unless that would put it on the other side of its threshold."""
    short = round(score, SCORE_DIGITS)
    return short if (short > threshold) == (score > threshold) else score


def _manifest(
    config: Config,
    predictions: Predictions,
    tasks: list[Task],
    pictures: _Pictures,
    hashes: dict[str, str],
    model: Model,
) -> dict[str, Any]:
    def scores(row: int) -> dict[str, float]:
        found = zip(predictions.classes, predictions.scores[row].tolist(), strict=True)
        return {label: _written(score, predictions.thresholds[label]) for label, score in found}

    return {
        "version": 1,
        "thresholds": dict(predictions.thresholds),
        "conditions": list(config.conditions),
        "tasks": [
            {
                "id": task.id,
                "class": task.label,
                "outcome": task.outcome,
                "scores": scores(task.row),
                "image": pictures.plain[task.row],
                "rank": task.rank,
                "source": predictions.ids[task.row],
                "examples": [
                    {
                        "image": pictures.plain[one.row],
                        "outcome": one.outcome,
                        "scores": scores(one.row),
                        "distance": one.distance,
                        "source": predictions.ids[one.row],
                        "heatmaps": pictures.heatmaps[one.row, task.label],
                    }
                    for one in task.examples
                ],
            }
            for task in tasks
        ],
        "files": dict(sorted(hashes.items())),
        "repetitions": {predictions.ids[row]: count for row, count in repetitions(tasks).items()},
        "mix": mix(tasks),
        "example_mix": {one: config.examples.get(one, 0) for one in OUTCOMES},
        "copies": predictions.copies(),
        "provenance": {
            "occlumap": occlumap.__version__,
            "seed": config.seed,
            "split": config.split,
            "conditions": {name: dict(options) for name, options in config.conditions.items()},
            "explain_side": config.explain_side,
            "caveats": {name: count for name, count in pictures.caveats.items() if count},
            "lrp": None if pictures.conservation is None else asdict(pictures.conservation),
            "weights_sha256": of_file(config.model / WEIGHTS),
            "model": {key: model.card[key] for key in ("settings", "data", "splits", "seen", "versions")},
        },
    }
