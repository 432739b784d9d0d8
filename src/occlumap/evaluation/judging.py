"""Judging: every metric of every method on one photograph."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from occlumap.classifiers import Classifier, score
from occlumap.evaluation import controls, curves, fidelity, gallery, localisation, references, sanity
from occlumap.evaluation.counting import CountedClass
from occlumap.evaluation.kept import KeptScores
from occlumap.evaluation.maps import Made, Maps, forget
from occlumap.evaluation.methods import METHODS, Method
from occlumap.evaluation.photographs import Entry, Photograph, control_of, others, read
from occlumap.evaluation.protocol import METRICS, REFERENCES, Protocol
from occlumap.evaluation.rows import Row
from occlumap.fills import Image
from occlumap.measuring import image_sha256

SENSITIVITY_SHARE = 0.1
"""The n of sensitivity-n, as a share of the pixels."""

BLURRED = 8
"""How many photographs of each classifier every run looks at blurred, too."""

JUDGING = "judging"
"""Of a photograph's files, the one with the scores that judging asked for."""


@dataclass(frozen=True, eq=False)
class Panel:
    """A classifier and the photographs that it gets right; `scores`: of their classes, by the photographs' names."""

    name: str
    classifier: Classifier
    photographs: list[Photograph]
    wrong: list[str]
    scores: dict[str, float]
    entries: list[Entry]
    photos: Path
    side: int
    out: Path
    protocol: Protocol

    @contextmanager
    def judging(self, number: int) -> "Iterator[Judge]":
        """A judge of one photograph; what it made and asked is saved, however it ends."""
        judge = Judge(self, number)
        try:
            yield judge
        finally:
            judge.save_maps()
            judge.save_scores()

    def others(self, photograph: Photograph, count: int) -> list[Photograph]:
        """The photographs that follow in the table, cut alike and of other classes."""
        return [self._read(entry) for entry in others(self.entries, photograph.entry, count)]

    def beside(self, photograph: Photograph) -> dict[str, str]:
        """What it is judged with, the reference, the others of its mosaic, the control, by name: what each is."""
        count = 3 if "grid-pointing" in self.protocol.metrics else 1
        found = [*others(self.entries, photograph.entry, count), control_of(self.entries, photograph.entry)]
        return {entry.name: self._read(entry).identity for entry in found}

    def blurred_scores(self) -> dict[str, float]:
        """The scores of the first photographs blurred, asked for now: a sure classifier shows there that it changed."""
        found = {}
        for photograph in self.photographs[:BLURRED]:
            shown = references.hider("blur", photograph.pixels)(np.ones(photograph.pixels.shape[:2], bool))
            found[photograph.entry.name] = float(
                score(self.classifier, shown[None])[0, photograph.entry.class_index]
            )
        return found

    def control(self, photograph: Photograph) -> Photograph:
        """The photograph whose heatmap is a control for this one's."""
        return self._read(control_of(self.entries, photograph.entry))

    def _read(self, entry: Entry) -> Photograph:
        if entry not in self._known:
            self._known[entry] = read(self.photos, entry, self.side, self.protocol.seed)
        return self._known[entry]

    @cached_property
    def _known(self) -> dict[Entry, Photograph]:
        return {photograph.entry: photograph for photograph in self.photographs}

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
        return Maps(classifier, image, target, seed, self.kept(photograph.entry, variant))

    def kept(self, entry: Entry, what: str) -> Path:
        """The file with what is kept of a photograph: its heatmaps, or `what` else."""
        return _kept(self.out, self.name, entry.name, what)


class Judge:
    """All metrics of all methods on one photograph."""

    def __init__(self, panel: Panel, number: int) -> None:
        self._panel, self._photograph = panel, panel.photographs[number]
        self._seed = panel.seed(self._photograph)
        self._image, self._target = self._photograph.pixels, self._photograph.entry.class_index
        identity = {"target": self._target, "image_sha256": image_sha256(self._image)}
        self._kept = KeptScores(panel.kept(self._photograph.entry, JUDGING), identity)
        scores = self._kept.scores  # the ends of all curves of one reference are the same images
        self._classifier = CountedClass(panel.classifier, self._target, self._image.shape, scores, scores)
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

    def save_maps(self) -> None:
        """Write the heatmaps that were made."""
        for maps in self._maps.values():
            maps.save()

    def save_scores(self) -> None:
        """Write the scores that judging asked for."""
        self._kept.save()

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
            photograph = panel.control(photograph)
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


def _prepared(hide: Callable[[references.Mask], Image]) -> references.Reference:
    """A reference that is made ready once for all heatmaps of an image."""
    return lambda image, mask: hide(mask)


def forget_maps(out: Path, photographs: Mapping[str, Collection[str]], methods: Collection[str]) -> None:
    """Take the heatmaps of `methods` out of what is kept in `out` of the photographs, named by classifier."""
    for classifier, names in photographs.items():
        for name in names:
            file = _kept(out, classifier, name, "")
            for one in [file, *file.parent.glob(f"{file.stem}-*.npz")]:
                if one.exists() and one != _kept(out, classifier, name, JUDGING):
                    forget(one, methods)


def _kept(out: Path, classifier: str, photograph: str, what: str) -> Path:
    stem = "-".join(filter(None, (slug(photograph), what)))
    return out / "maps" / slug(classifier) / f"{stem}.npz"


def slug(name: str) -> str:
    """A file name for `name`: its letters and digits, and a hash that keeps different names apart."""
    return f"{re.sub('[^A-Za-z0-9._]+', '-', name)[:80].strip('.-')}-{sha256(name.encode()).hexdigest()[:8]}"


def _or_nan(made: Made, value: Callable[[NDArray[np.float32]], float]) -> float:
    return float("nan") if made.heatmap is None else value(made.heatmap)
