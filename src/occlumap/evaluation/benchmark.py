"""The benchmark: photographs x classifiers x methods x budgets to rows, and on from where it was stopped."""

import json
import platform
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap import __version__ as occlumap_version
from occlumap import _archive
from occlumap._checks import one_of, whole_number
from occlumap.classifiers import Classifier
from occlumap.errors import ArgumentError, FileFormatError, MissingDependencyError
from occlumap.evaluation import controls, curves, fidelity, gallery, localisation, references, sanity
from occlumap.evaluation.counting import CountedClass, Scores
from occlumap.evaluation.maps import Made, Maps
from occlumap.evaluation.methods import METHODS, Method, installed
from occlumap.evaluation.photographs import CROPS, Entry, Photograph, others, read, read_table, right_ones
from occlumap.evaluation.rows import Group, Row, append, recover
from occlumap.fills import Image
from occlumap.measuring import image_sha256

REFERENCES = ("blur", "mean", "linear", "photograph", "noise")
"""What metrics hide with; "photograph" is another photograph of the table."""

DIRECTIONS = {
    "insertion": "higher",
    "deletion": "lower",
    "srg": "higher",
    "comprehensiveness": "higher",
    "sufficiency": "lower",
    "region_spearman": "higher",
    "region_r2": "higher",
    "sensitivity_n": "higher",
    "infidelity": "lower",
    "grid_pointing": "higher",
    "randomised_outputs": "lower",
    "other_class": "lower",
    "other_seed": "higher",
}
"""The metrics of rows.csv, and where better lies."""

METRICS = {
    "curves": ("insertion", "deletion", "srg"),
    "areas": ("comprehensiveness", "sufficiency"),
    "regions": ("region_spearman", "region_r2"),
    "sensitivity": ("sensitivity_n",),
    "infidelity": ("infidelity",),
    "grid-pointing": ("grid_pointing",),
    "sanity": ("randomised_outputs", "other_class", "other_seed"),
}
"""The choices of metrics, and what each writes."""

_WITHOUT_REFERENCE = ("grid-pointing", "sanity")
CONTROLS = ("blurred", "other")
DEFAULT_SIZE = 224
GALLERY = 6
"""How many photographs of each classifier are drawn with the heatmaps of all methods."""
SENSITIVITY_SHARE = 0.1
"""The n of sensitivity-n, as a share of the pixels."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Protocol:
    """All that decides a number of the benchmark, apart from the photographs and the classifiers.

    `methods`: names of `methods.METHODS`, all that are installed unless said. `budgets`: calls at most, each
    method at each. `metrics`: names of `METRICS`. `controls`: whether each method's map is judged blurred, and
    its map of another photograph, too. `crops`: "centre", "off-centre" or both. `steps`: of the curves.
    `size`: side of the images, None for the classifier's own `input_size`, or 224.

    Raises ArgumentError for values that do not exist, MissingDependencyError for a method whose packages do not.
    """

    methods: tuple[str, ...] = field(default_factory=installed)
    budgets: tuple[int, ...] = (100, 300)
    metrics: tuple[str, ...] = ("curves", "regions")
    controls: bool = False
    crops: tuple[str, ...] = CROPS[:1]
    steps: int = 16
    size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, values, known in (
            ("a method", self.methods, METHODS),
            ("a metric", self.metrics, METRICS),
            ("a crop", self.crops, CROPS),
        ):
            if not values or len(set(values)) < len(values):
                raise ArgumentError(f"expected {name} or more, none of them twice, got {', '.join(values)!r}")
            for value in values:
                one_of(name, value, known)
        for budget in self.budgets:
            whole_number("a budget", budget, minimum=1)
        if not self.budgets or len(set(self.budgets)) < len(self.budgets):
            raise ArgumentError(f"expected a budget or more, none of them twice, got {self.budgets}")
        whole_number("steps", self.steps, minimum=1)
        whole_number("seed", self.seed, minimum=0)
        if self.size is not None:
            whole_number("size", self.size, minimum=8)
        for method in self.chosen:
            if missing := method.missing():
                raise MissingDependencyError(
                    f"the method {method.name} needs {', '.join(missing)}, not installed; run, in a clone of occlumap: "
                    "pip install '.[benchmark,peers]' (rex-xai: docs/benchmark.md), or leave it out of --methods"
                )

    @property
    def chosen(self) -> list[Method]:
        """The methods themselves."""
        return [METHODS[name] for name in self.methods]

    def groups(self) -> list[tuple[str, int]]:
        """Every (method, budget) that is judged on a photograph, controls last."""
        plain = [
            (method.name, budget)
            for method in self.chosen
            for budget in (self.budgets if method.spends_calls else (0,))
        ]
        if not self.controls:
            return plain
        altered = [(f"{name}~{control}", budget) for name, budget in plain if budget for control in CONTROLS]
        return plain + altered

    def group_size(self, method: str) -> int:
        """How many rows a method has for one photograph, classifier and budget."""
        count = 0
        for metric in self.metrics:
            if metric not in _WITHOUT_REFERENCE:
                count += len(METRICS[metric]) * len(REFERENCES)
            elif "~" not in method:
                count += len(METRICS[metric])
        return count


def run(
    classifiers: Mapping[str, Classifier],
    photos: Path,
    table: Path,
    out: Path,
    protocol: Protocol = Protocol(),
    *,
    limit: int | None = None,
    again: Collection[str] = (),
    command: str = "",
    progress: Progress | None = None,
) -> Path:
    """Judge every method on every photograph, and write rows.csv and benchmark.json into `out`.

    `classifiers`: by the name that rows have. `photos`: the folder of the photographs that `table` (CSV with
    columns file, class_index) names; those that a classifier gets wrong are left out and counted. `limit`:
    the first lines of the table. `again`: methods that have changed, whose heatmaps and rows are made anew from the
    scores that are kept. `progress(done, total)` counts (photograph, method, budget).

    What is in `out` already is not done again; a run with other metrics, steps, size, seed, photographs or
    classes there is refused (ArgumentError). A method that fails on a photograph leaves a warning and a line in
    benchmark.json; a classifier that fails stops the run, and what was done is kept. Gives the path of rows.csv.
    """
    for name in again:
        one_of("a method to make again", name, METHODS)
    entries = read_table(table, protocol.crops)
    wanted_entries = entries[: None if limit is None else limit * len(protocol.crops)]
    panels = []
    for name, classifier in classifiers.items():
        side = protocol.size or _side(name, classifier)
        whole_number(f"steps for {side} x {side} pixels", protocol.steps, minimum=1, maximum=side**2)
        right, wrong = right_ones(classifier, photos, wanted_entries, side, protocol.seed)
        if not right:
            raise ArgumentError(
                f"expected photographs that {name} gets right, got {len(wrong)}, all of them wrong; are the class "
                "indices of the table those of the classifier's columns?"
            )
        others(entries, right[0].entry, 1)
        panels.append(
            _Panel(name, classifier, right, wrong, entries, photos, side, out, protocol, tuple(again))
        )
    out.mkdir(parents=True, exist_ok=True)
    record = _Record(out, protocol, command)
    for panel in panels:
        record.photographs(panel)
    rows_file = out / "rows.csv"
    done = recover(rows_file, protocol.group_size, again)
    groups = protocol.groups()
    total, count = len(groups) * sum(len(panel.photographs) for panel in panels), 0
    for panel in panels:
        for number, photograph in enumerate(panel.photographs):
            wanted = [group for group in groups if (photograph.entry.name, panel.name, *group) not in done]
            count += len(groups) - len(wanted)
            with panel.judging(number) as judge:
                for method, budget in wanted:
                    rows, problem = judge.rows(method, budget)
                    append(rows_file, rows)
                    if problem:
                        record.failure((photograph.entry.name, panel.name, method, budget), problem)
                    count += 1
                    if progress is not None:
                        progress(count, total)
                if number < GALLERY and (wanted or not judge.drawn):
                    judge.draw(groups)
    return rows_file


class _Record:
    """benchmark.json: what was run, for the report and for going on."""

    def __init__(self, out: Path, protocol: Protocol, command: str) -> None:
        self._file = out / "benchmark.json"
        before = self._read()
        settings: dict[str, Any] = {key: getattr(protocol, key) for key in ("steps", "size", "seed")}
        settings["metrics"] = list(protocol.metrics)
        if before:
            for key, value in settings.items():
                if before["settings"].get(key) != value:
                    raise ArgumentError(
                        f"expected {key} as in the run that is in {out} already, {before['settings'].get(key)!r}, got "
                        f"{value!r}; choose another folder"
                    )
        methods = list(dict.fromkeys([*before.get("settings", {}).get("methods", ()), *protocol.methods]))
        budgets = sorted({*before.get("settings", {}).get("budgets", ()), *protocol.budgets})
        self._document: dict[str, Any] = {
            "command": " && ".join(
                dict.fromkeys(filter(None, [*before.get("command", "").split(" && "), command]))
            ),
            "settings": {**settings, "methods": methods, "budgets": budgets},
            "versions": _versions(),
            "headline_references": headline_references(METHODS[name] for name in methods if name in METHODS),
            "fills": {name: METHODS[name].fill for name in methods if name in METHODS},
            "directions": {name: DIRECTIONS[name] for metric in protocol.metrics for name in METRICS[metric]},
            "photographs": before.get("photographs", {}),
            "gallery": before.get("gallery", {}),
            "left_out": {},
            "failures": [],
        }

    def photographs(self, panel: "_Panel") -> None:
        """Write down who was right and who was wrong, and that they are the ones of an earlier run."""
        known = self._document["photographs"].setdefault(panel.name, {})
        fresh = {
            photograph.entry.name: f"{photograph.entry.class_index}:{image_sha256(photograph.pixels)}"
            for photograph in panel.photographs
        } | dict.fromkeys(panel.wrong, "wrong")
        for name, what in fresh.items():
            if known.setdefault(name, what) != what:
                raise ArgumentError(
                    f"expected the photograph {name} as in the run that is in {self._file.parent} already, got another "
                    "image, class or answer of the classifier; choose another folder"
                )
        drawn = [panel.name, *(photograph.entry.name for photograph in panel.photographs[:GALLERY])]
        self._document["gallery"] |= {slug(name): name for name in drawn}
        wrong = [name for name, what in known.items() if what == "wrong"]
        self._document["left_out"] = {
            **self._document["left_out"],
            panel.name: {"wrong": len(wrong), "of": len(known), "files": wrong},
        }
        self._write()

    def failure(self, group: Group, problem: str) -> None:
        line = {
            **dict(zip(("photo", "classifier", "method", "budget"), group, strict=True)),
            "problem": problem,
        }
        if line not in self._document["failures"]:
            self._document["failures"].append(line)
            self._write()

    def _read(self) -> dict[str, Any]:
        if not self._file.exists():
            return {}
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            found["settings"].items()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileFormatError(
                f"expected the settings of a benchmark in {self._file}, got another file; choose another folder"
            ) from error
        return dict(found)

    def _write(self) -> None:
        _archive.write_bytes(self._file, (json.dumps(self._document, indent=1) + "\n").encode())


@dataclass(frozen=True, eq=False)
class _Panel:
    """A classifier and the photographs that it gets right."""

    name: str
    classifier: Classifier
    photographs: list[Photograph]
    wrong: list[str]
    entries: list[Entry]
    photos: Path
    side: int
    out: Path
    protocol: Protocol
    again: tuple[str, ...]

    @contextmanager
    def judging(self, number: int) -> "Iterator[_Judge]":
        """A judge of one photograph; the heatmaps that it made are saved, however it ends."""
        judge = _Judge(self, number)
        try:
            yield judge
        finally:
            judge.save()

    def others(self, photograph: Photograph, count: int) -> list[Photograph]:
        """The photographs that follow in the table, cut alike and of other classes."""
        following = others(self.entries, photograph.entry, count)
        return [read(self.photos, entry, self.side, self.protocol.seed) for entry in following]

    def seed(self, photograph: Photograph) -> int:
        """A seed of its own for each photograph, so that chance is not the same on all of them."""
        digest = sha256(f"{self.protocol.seed}:{photograph.entry.name}".encode()).digest()
        return int.from_bytes(digest[:4], "big")

    def maps(
        self,
        photograph: Photograph,
        variant: str,
        classifier: Classifier,
        image: Image,
        target: int,
        seed: int,
    ) -> Maps:
        """The heatmaps of a photograph, or of a `variant` of the task."""
        stem = "-".join(filter(None, (slug(photograph.entry.name), variant)))
        maps = Maps(classifier, image, target, seed, self.out / "maps" / slug(self.name) / f"{stem}.npz")
        maps.forget(self.again)
        return maps


class _Judge:
    """All metrics of all methods on one photograph."""

    def __init__(self, panel: _Panel, number: int) -> None:
        self._panel, self._photograph = panel, panel.photographs[number]
        self._seed = panel.seed(self._photograph)
        self._image, self._target = self._photograph.pixels, self._photograph.entry.class_index
        scores: dict[bytes, Scores] = {}  # the ends of all curves of one reference are the same images
        self._classifier = CountedClass(panel.classifier, self._target, scores, scores)
        self._maps: dict[str, Maps] = {}

    def rows(self, name: str, budget: int) -> tuple[list[Row], str]:
        """The rows of a method or a control at a budget, or none and why."""
        method, _, control = name.partition("~")
        made = self._variant("other" if control == "other" else "").make(METHODS[method], budget)
        if made.heatmap is None:
            return [], made.problem
        heatmap = controls.blurred(made.heatmap) if control == "blurred" else made.heatmap
        found = list(self._of_map(heatmap))
        if not control:
            found += self._of_method(METHODS[method], budget, made.heatmap)
        entry, classifier = self._photograph.entry.name, self._panel.name
        rows = [
            Row(entry, classifier, name, budget, made.calls, made.seconds, metric, reference, value)
            for metric, reference, value in found
        ]
        return rows, ""

    def draw(self, groups: Iterable[tuple[str, int]]) -> None:
        """Pictures of the photograph and of all methods' heatmaps, for the report."""
        for name, budget in groups:
            heatmap = None if "~" in name else self._variant("").make(METHODS[name], budget).heatmap
            if heatmap is not None:
                gallery.save(gallery.draw(self._image, heatmap), self._gallery / f"{name}@{budget}.png")
        gallery.save(self._image, self._gallery / "photo.png")  # last: it says that all are there

    @property
    def drawn(self) -> bool:
        """Whether the pictures are there."""
        return (self._gallery / "photo.png").exists()

    @property
    def _gallery(self) -> Path:
        return self._panel.out / "gallery" / slug(self._panel.name) / slug(self._photograph.entry.name)

    def save(self) -> None:
        """Write the heatmaps that were made."""
        for maps in self._maps.values():
            maps.save()

    def _of_map(self, heatmap: NDArray[np.float32]) -> Iterator[tuple[str, str, float]]:
        """What can be said of a heatmap, whoever made it: (metric, reference, value)."""
        metrics, image, steps = self._panel.protocol.metrics, self._image, self._panel.protocol.steps
        for name, reference in self._references.items():
            ends = (self._classifier, image, heatmap, 0, reference)
            if "curves" in metrics:
                inserted = curves.insertion(*ends, steps, seed=self._seed).auc
                deleted = curves.deletion(*ends, steps, seed=self._seed).auc
                yield from (
                    ("insertion", name, inserted),
                    ("deletion", name, deleted),
                    ("srg", name, inserted - deleted),
                )
            if "areas" in metrics:
                yield (
                    "comprehensiveness",
                    name,
                    float(curves.comprehensiveness(*ends, seed=self._seed).mean()),
                )
                yield "sufficiency", name, float(curves.sufficiency(*ends, seed=self._seed).mean())
        for number, name in enumerate(self._references):
            if "regions" in metrics:
                predicted = fidelity.region_prediction(heatmap, self._regions, self._region_drops[number])
                yield from (("region_spearman", name, predicted.spearman), ("region_r2", name, predicted.r2))
            if "sensitivity" in metrics:
                yield (
                    "sensitivity_n",
                    name,
                    fidelity.sensitivity_n(heatmap, self._sets, self._set_drops[number]),
                )
            if "infidelity" in metrics:
                drops = self._square_drops[number]
                yield "infidelity", name, fidelity.infidelity(heatmap, self._squares, drops, scaled=True)

    def _of_method(
        self, method: Method, budget: int, heatmap: NDArray[np.float32]
    ) -> Iterator[tuple[str, str, float]]:
        """What takes more heatmaps of the same method: (metric, "", value)."""
        metrics = self._panel.protocol.metrics
        if "grid-pointing" in metrics:
            made = self._variant("mosaic").make(method, budget)
            yield (
                "grid_pointing",
                "",
                _or_nan(made, lambda found: localisation.grid_pointing(found, self._quadrant)),
            )
        if "sanity" in metrics:
            for metric in METRICS["sanity"]:
                made = self._variant(metric).make(method, budget)
                yield metric, "", _or_nan(made, lambda found: sanity.similarity(heatmap, found))

    def _variant(self, variant: str) -> Maps:
        if variant not in self._maps:
            self._maps[variant] = self._opened(variant)
        return self._maps[variant]

    def _opened(self, variant: str) -> Maps:
        panel, photograph, seed = self._panel, self._photograph, self._seed
        classifier, image, target = panel.classifier, self._image, self._target
        if variant == "other":
            (photograph,) = panel.others(photograph, 1)
            image, target, seed = photograph.pixels, photograph.entry.class_index, panel.seed(photograph)
            variant = ""
        elif variant == "mosaic":
            four = [photograph, *panel.others(photograph, 3)]
            four[0], four[self._quadrant] = four[self._quadrant], four[0]
            classes = [one.entry.class_index for one in four]
            image = localisation.mosaic([one.pixels for one in four], classes, image.shape[:2])
        elif variant == "randomised_outputs":
            classifier = sanity.randomised_outputs(classifier, panel.protocol.seed)
        elif variant == "other_class":
            target = sanity.other_class(classifier, image, target)
        elif variant == "other_seed":
            seed += 1
        return panel.maps(photograph, variant, classifier, image, target, seed)

    @cached_property
    def _quadrant(self) -> int:
        return sha256(self._photograph.entry.name.encode()).digest()[0] % 4

    @cached_property
    def _references(self) -> dict[str, references.Reference]:
        (other,) = self._panel.others(self._photograph, 1)
        found: dict[str, references.Reference] = {}
        for name in REFERENCES:
            reference = other.pixels if name == "photograph" else name
            found[name] = _prepared(references.hider(reference, self._image, self._seed))
        return found

    @cached_property
    def _regions(self) -> NDArray[np.int64]:
        return fidelity.random_regions(self._image.shape[:2], seed=self._seed)

    @cached_property
    def _squares(self) -> NDArray[np.int64]:
        return fidelity.random_squares(self._image.shape[:2], seed=self._seed)

    @cached_property
    def _sets(self) -> NDArray[np.bool_]:
        height, width = self._image.shape[:2]
        share = max(1, round(SENSITIVITY_SHARE * height * width))
        return fidelity.random_pixels((height, width), share, seed=self._seed)

    @cached_property
    def _region_drops(self) -> NDArray[np.float64]:
        return fidelity.region_drops(
            self._classifier, self._image, 0, self._regions, [*self._references.values()]
        )

    @cached_property
    def _square_drops(self) -> NDArray[np.float64]:
        return fidelity.region_drops(
            self._classifier, self._image, 0, self._squares, [*self._references.values()]
        )

    @cached_property
    def _set_drops(self) -> NDArray[np.float64]:
        return fidelity.pixel_drops(
            self._classifier, self._image, 0, self._sets, [*self._references.values()]
        )


def _side(name: str, classifier: Classifier) -> int:
    """The side of the square images that the classifier takes, as its `input_size` says; 224 if it does not."""
    size = getattr(classifier, "input_size", None)
    if size is None:
        return DEFAULT_SIZE
    try:
        height, width = size
        if height == width:
            return whole_number("input_size", height, minimum=1)
    except (TypeError, ValueError):
        pass
    raise ArgumentError(
        f"expected a square input_size (side, side) of the classifier {name}, got {size!r}; the benchmark's "
        "images are square: say their side with --size (Protocol(size=...))"
    )


def headline_references(methods: Iterable[Method]) -> list[str]:
    """The references that none of the methods hides with: what the headline is the mean of."""
    fills = {method.fill for method in methods}
    return [name for name in REFERENCES if name not in fills]


def _prepared(hide: Callable[[references.Mask], Image]) -> references.Reference:
    """A reference that is made ready once for all heatmaps of an image."""
    return lambda image, mask: hide(mask)


def slug(name: str) -> str:
    """A file name for `name`: its letters and digits, and a hash that keeps different names apart."""
    return f"{re.sub('[^A-Za-z0-9._]+', '-', name)[:80].strip('.-')}-{sha256(name.encode()).hexdigest()[:8]}"


def _or_nan(made: Made, value: Callable[[NDArray[np.float32]], float]) -> float:
    return float("nan") if made.heatmap is None else value(made.heatmap)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "occlumap": occlumap_version}
    for package in (
        "numpy",
        "pillow",
        "scipy",
        "scikit-image",
        "lime",
        "shap",
        "captum",
        "torch",
        "opencv-python-headless",
        "onnxruntime",
    ):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
