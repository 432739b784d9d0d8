"""Trials of the joint method on photographs to tune on: how a heatmap is judged, and a page of what each trial gains.

For benchmarks/joint_*.py. A trial is judged by its symmetric relevance gain (one ranking, 16 steps), or by how well its
sums predict what hiding a region costs, mean over the references mean colour, noise and another photograph, which no
trial hides with.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import occlumap
from benchmarks import models
from benchmarks.faithfulness import sections_of
from benchmarks.split import interval, to_tune_on
from occlumap.errors import OcclumapWarning
from occlumap.evaluation import fidelity, photographs
from occlumap.evaluation.references import hider
from occlumap.fills import Image

ROOT = Path(__file__).parents[1]
RESULTS = Path(os.environ.get("OCCLUMAP_RESULTS", ROOT / "benchmarks/results"))
PHOTOS = models.SHARED / "data/photos"
REFERENCES = ("mean", "noise", "photograph")
STEPS = 16
BASE = "as it is"
"""The trial that all others are compared with."""


class Case:
    """A photograph that the classifier gets right, and how a heatmap of it is judged."""

    def __init__(self, classifier: Callable[[Image], NDArray[np.float32]], image: Image, target: int) -> None:
        self.classifier, self.image, self.target = classifier, image, target
        self._other: Image | None = None
        self._hide: dict[str, Callable[[NDArray[np.bool_]], Image]] = {}

    def beside(self, other: "Case") -> None:
        """Another photograph to hide with."""
        self._hide = {
            name: hider(other.image if name == "photograph" else name, self.image) for name in REFERENCES
        }

    def _scores(self, images: list[Image]) -> NDArray[np.float64]:
        blocks = [
            np.asarray(self.classifier(np.stack(images[at : at + 32])), np.float64)[:, self.target]
            for at in range(0, len(images), 32)
        ]
        return np.concatenate(blocks)

    def gain(self, heatmap: NDArray[np.float32]) -> float:
        """Symmetric relevance gain; equal values are ranked by chance, once."""
        from occlumap.evaluation.curves import rankings

        ranks = rankings(heatmap)[0]
        counts = [round(step * ranks.size / STEPS) for step in range(STEPS + 1)]
        gains = []
        for hide in self._hide.values():
            deleted = self._scores([hide(ranks < count) for count in counts])
            inserted = self._scores([hide(ranks >= count) for count in counts])
            gains.append(np.trapezoid(inserted - deleted) / STEPS)
        return float(np.mean(gains))

    @cached_property
    def _regions(self) -> NDArray[np.int64]:
        return fidelity.random_regions((self.image.shape[0], self.image.shape[1]))

    @cached_property
    def _drops(self) -> NDArray[np.float64]:
        return fidelity.region_drops(
            self.classifier,
            self.image,
            self.target,
            self._regions,
            [_hiding(one) for one in self._hide.values()],
        )

    def region_prediction(self, heatmap: NDArray[np.float32]) -> float:
        """Spearman's correlation of sums over random regions with what hiding them costs, mean over the references."""
        found = [fidelity.region_prediction(heatmap, self._regions, drops) for drops in self._drops]
        return float(np.mean([one.spearman for one in found]))


def _hiding(hide: Callable[[NDArray[np.bool_]], Image]) -> Callable[[Image, NDArray[np.bool_]], Image]:
    return lambda image, mask: hide(mask)


def cases(name: str, limit: int | None) -> Iterator[Case]:
    classifier = occlumap.load(name) if name == "efficientnet-lite0" else getattr(models, name)
    found = []
    for entry in photographs.read_table(PHOTOS / "photos.csv"):
        if not to_tune_on(entry.file):
            continue
        pixels = photographs.read(PHOTOS, entry, classifier.input_size[0]).pixels
        if np.asarray(classifier(pixels[None]))[0].argmax() == entry.class_index:
            found.append(Case(classifier, pixels, entry.class_index))
    others = found[1:] + found[:1]  # the same for each, however many are asked for
    for one, other in zip(found[:limit], others[:limit], strict=True):
        one.beside(other)
        yield one


Trial = Callable[[Case, int], NDArray[np.float32]]
"""A heatmap of a photograph from a number of calls."""


def measure(
    kind: str,
    name: str,
    limit: int | None,
    trials: Mapping[str, Trial],
    budgets: Sequence[int],
    judge: Callable[[Case, NDArray[np.float32]], float] = Case.gain,
) -> None:
    """What `judge` says of every trial, budget and photograph, into one JSON file, written after each photograph.

    What an earlier run measured there is kept: only trials and photographs that it lacks are measured.
    """
    warnings.simplefilter("ignore", OcclumapWarning)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{kind}-{name}.json"
    gains: dict[str, dict[str, list[float]]] = json.loads(path.read_text()) if path.exists() else {}
    for label in trials:
        gains.setdefault(label, {str(budget): [] for budget in budgets})
    for number, case in enumerate(cases(name, limit), start=1):
        for label, trial in trials.items():
            for budget in budgets:
                if len(gains[label][str(budget)]) < number:
                    gains[label][str(budget)].append(judge(case, trial(case, budget)))
        path.write_text(json.dumps(gains))
        print(f"{number} photographs", flush=True)


def write(page: Path, kind: str, title: str, about: str, budgets: Sequence[int]) -> None:
    """The page: a table for each classifier that was measured."""
    write_tables(page, kind, title, about, {str(budget): f"{budget:,} calls" for budget in budgets})


def write_tables(page: Path, kind: str, title: str, about: str, columns: Mapping[str, str]) -> None:
    """The page with other numbers than gains, too; `columns`: what was measured, {key in the JSON file: heading}.

    Sections of classifiers that were measured on another machine stay as they are.
    """
    sections = sections_of(page.read_text(encoding="utf-8")) if page.exists() else {}
    for path in sorted(RESULTS.glob(f"{kind}-*.json")):
        found = {
            label: {column: np.array(values[column]) for column in columns}
            for label, values in json.loads(path.read_text()).items()
        }
        base = found.pop(BASE)
        name = path.stem.removeprefix(f"{kind}-")
        for heading in [one for one in sections if one.partition(",")[0] == name]:
            del sections[heading]
        heading = f"{name}, n = {len(next(iter(base.values())))}"
        lines = [
            "",
            f"## {heading}",
            "",
            f"| trial | {' | '.join(columns.values())} |",
            "| --- " * (1 + len(columns)) + "|",
            f"| {BASE} | {' | '.join(f'{values.mean():.3f}' for values in base.values())} |",
        ]
        for label, values in found.items():
            cells = [interval(values[column] - base[column]) for column in columns]
            lines.append(f"| {label} | {' | '.join(cells)} |")
        sections[heading] = lines
    ordered = [line for heading in sorted(sections) for line in sections[heading]]
    page.write_text("\n".join([f"# {title}", "", about, *ordered]) + "\n", encoding="utf-8")
    print(f"wrote {page.relative_to(ROOT)}")


def run(
    arguments: Sequence[str],
    usage: str | None,
    measure: Callable[[str, int | None], None],
    write: Callable[[], None],
) -> None:
    """The command line of both scripts: `measure NAME [PHOTOGRAPHS]` or `write`."""
    if arguments[:1] == ["measure"] and len(arguments) in (2, 3):
        measure(arguments[1], int(arguments[2]) if len(arguments) > 2 else None)
    elif arguments == ["write"]:
        write()
    else:
        sys.exit(usage)
