"""Write a frozen stimulus set: opaque names, no metadata, sizes for the page, and a manifest with the truth."""

import hashlib
import io
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import occlumap
from occlumap._checks import nearest
from occlumap.errors import OcclumapWarning, StimuliError
from occlumap.stimuli._optional import optional
from occlumap.stimuli.colours import enlarge, fairness, intensity, paint
from occlumap.stimuli.conditions import Request, condition, heatmap
from occlumap.stimuli.schema import check_manifest
from occlumap.stimuli.tasks import EXAMPLES, TASKS, Predictions, Task, choose, mix, repetitions
from occlumap.stimuli.train import WEIGHTS, Model, load, predict
from occlumap.stimuli.voc import VocSplit, read_split

MANIFEST = "manifest.json"
FAIRNESS = "fairness.json"
FOLDER = "images"
FORMATS = {"webp": "WEBP", "jpg": "JPEG"}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Config:
    """What `build` needs, as config.yaml says it. Paths are relative to that file.

    tasks, examples: how many of each outcome for one class, and for one task. conditions: {name: options}.
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
        if self.format not in FORMATS:
            raise StimuliError(f"expected format to be webp or jpg, got {self.format!r}")
        for name, low, high in (
            ("explain_side", 16, 4096),
            ("side", 32, 4096),
            ("quality", 1, 100),
            ("seed", 0, 2**32),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise StimuliError(
                    f"expected {name} to be a whole number from {low} to {high}, got {value!r}"
                )
        for one in self.conditions:
            condition(one)
        for name in ("tasks", "examples"):
            counts = getattr(self, name)
            if any(not isinstance(one, int) or isinstance(one, bool) or one < 0 for one in counts.values()):
                raise StimuliError(f"expected {name} to give whole numbers of 0 or more, got {dict(counts)}")
        if not self.classes or not sum(self.tasks.values()):
            raise StimuliError("expected at least one class and one task, got none")


def read_config(path: str | os.PathLike[str]) -> Config:
    """The configuration in a YAML file. Raises StimuliError for an unknown key, or a value of another kind."""
    file = Path(path)
    yaml = optional("yaml")
    try:
        read = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise StimuliError(f"expected YAML in {file}, got {error}") from error
    known = [one.name for one in fields(Config)]
    if not isinstance(read, dict):
        raise StimuliError(f"expected keys and values in {file}, got {type(read).__name__}")
    for key in read:
        if key not in known:
            raise StimuliError(
                f"expected keys among {', '.join(known)} in {file}, got {key!r}{nearest(key, known)}"
            )
    missing = [one for one in ("data", "model", "out") if not isinstance(read.get(one), str)]
    if missing:
        raise StimuliError(f"expected a path for {', '.join(missing)} in {file}")
    conditions = read.get("conditions")
    if isinstance(conditions, list):
        conditions = dict.fromkeys(conditions)
    kinds = {"tasks": dict, "examples": dict, "classes": list}
    for key, kind in kinds.items():
        if key in read and not isinstance(read[key], kind):
            raise StimuliError(f"expected {key} in {file} to be a {kind.__name__}, got {read[key]!r}")
    if conditions is not None:
        if not isinstance(conditions, dict):
            raise StimuliError(
                f"expected conditions in {file} to be names, each with options, got {conditions!r}"
            )
        read["conditions"] = {name: dict(options or {}) for name, options in conditions.items()}
    read |= {one: file.parent / read[one] for one in ("data", "model", "out")}
    if "classes" in read:
        read["classes"] = tuple(read["classes"])
    return Config(**read)


def build(config: Config, progress: Progress | None = None) -> dict[str, Any]:
    """Make the set in `config.out` and give its manifest; progress(done, total) in images and heatmaps.

    The folder appears when it is whole: manifest.json, fairness.json, and images/ with every picture. Raises
    StimuliError where images are too few, or the folder exists already: a frozen set is never changed.
    """
    if config.out.exists():
        raise StimuliError(f"expected no folder {config.out}, as a frozen set is not changed; choose another")
    model = load(config.model)
    split = read_split(config.data, config.split, model.card["classes"])
    scores, embeddings = predict(model.classifier, split)
    predictions = Predictions(split.ids, split.classes, scores, split.labels, embeddings, model.thresholds)
    tasks = choose(predictions, config.classes, config.tasks, config.examples, config.seed)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{config.out.name}-", dir=config.out.parent))
    try:
        writer = _Writer(working, config)
        pictures = _pictures(writer, config, split, model, tasks, progress)
        manifest = _manifest(config, predictions, tasks, pictures, writer.hashes, model)
        check_manifest(manifest)
        (working / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        report = {name: asdict(one) for name, one in fairness(pictures.shown).items()}
        (working / FAIRNESS).write_text(json.dumps(report, indent=1) + "\n")
        working.chmod(0o755)
        working.rename(config.out)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise
    return manifest


@dataclass
class _Pictures:
    plain: dict[int, str] = field(default_factory=dict)
    heatmaps: dict[tuple[int, str], dict[str, str]] = field(default_factory=dict)
    shown: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    caveats: dict[str, int] = field(default_factory=dict)


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
        (self.folder / name).write_bytes(content)
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
    done = 0
    for row in plain:
        image = split.image(row, max(config.side, config.explain_side))
        made.plain[row] = writer.write(enlarge(image, writer.size(image)))
        done += 1
        if progress is not None:
            progress(done, total)
    for row, label in explained:
        image = split.image(row, config.explain_side)
        where = Image.fromarray(split.object_mask(row, label)).resize((image.shape[1], image.shape[0]))
        request = Request(
            image, split.classes.index(label), model.classifier, np.asarray(where, dtype=bool), config.seed
        )
        files = made.heatmaps.setdefault((row, label), {})
        for name, options in config.conditions.items():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", OcclumapWarning)
                found = heatmap(name, request, dict(options))
            made.caveats[name] = made.caveats.get(name, 0) + any(
                one.category is OcclumapWarning for one in caught
            )
            for one in caught:
                if not issubclass(one.category, OcclumapWarning):
                    warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
            if found is not None:
                shown = intensity(found)
                made.shown[name].append(shown)
                files[name] = writer.write(paint(image, shown, writer.size(image)))
            done += 1
            if progress is not None:
                progress(done, total)
    return made


def _manifest(
    config: Config,
    predictions: Predictions,
    tasks: list[Task],
    pictures: _Pictures,
    hashes: dict[str, str],
    model: Model,
) -> dict[str, Any]:
    def scores(row: int) -> dict[str, float]:
        return dict(zip(predictions.classes, predictions.scores[row].tolist(), strict=True))

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
        "provenance": {
            "occlumap": occlumap.__version__,
            "seed": config.seed,
            "split": config.split,
            "conditions": {name: dict(options) for name, options in config.conditions.items()},
            "explain_side": config.explain_side,
            "caveats": {name: count for name, count in pictures.caveats.items() if count},
            "weights_sha256": hashlib.sha256((config.model / WEIGHTS).read_bytes()).hexdigest(),
            "model": {key: model.card[key] for key in ("settings", "data", "versions")},
        },
    }
