"""What moves the joint method, one variant at a time, on photographs to tune on; writes docs/research/joint.md.

    python benchmarks/joint_variants.py measure mobilenet_v1_025_128 [PHOTOGRAPHS]   # goes to benchmarks/results
    python benchmarks/joint_variants.py write

Needs `pip install '.[benchmark]'` and ../shared/data (OCCLUMAP_SHARED names it elsewhere). Photographs are split by
their file's name (benchmarks/split.py); only those to tune on are used here, so that what docs/figures/faithfulness.md
says of the others was not tuned for. A variant is judged by its symmetric relevance gain (one
ranking, 16 steps), mean over the references mean colour, noise and another photograph, which no variant hides with.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import occlumap
from benchmarks import models
from benchmarks.split import interval, to_tune_on
from occlumap import samplers
from occlumap.errors import OcclumapWarning
from occlumap.estimators import joint
from occlumap.evaluation import photographs
from occlumap.evaluation.references import hider
from occlumap.fills import Blur, Image
from occlumap.segments import grid_labels, merged, slic_labels

ROOT = Path(__file__).parents[1]
RESULTS = Path(os.environ.get("OCCLUMAP_RESULTS", ROOT / "benchmarks/results"))
PAGE = ROOT / "docs/research/joint.md"
PHOTOS = models.SHARED / "data/photos"
BUDGETS = (100, 300, 1000)
REFERENCES = ("mean", "noise", "photograph")
STEPS = 16


@dataclass(frozen=True)
class Variant:
    """The constants that are changed for one line of the table."""

    cuts: tuple[int, ...] = samplers.MASK_CUTS
    keep: float = samplers.KEEP
    leaves: int = 200
    regions: str = "slic"
    tree_weight: float = 1.0
    nearness: float = joint.NEARNESS
    reach: float = joint.REACH
    fill: object = "blur"


class WiderBlur(Blur):
    """The blurred image with another width: the shorter side / `divisor`."""

    def __init__(self, divisor: float) -> None:
        object.__setattr__(self, "divisor", divisor)

    def _blurred(self, image: Image) -> Image:
        from occlumap.fills import _gaussian_matrix, _to_uint8

        sigma = min(image.shape[:2]) / self.divisor  # type: ignore[attr-defined]
        rows, cols = (_gaussian_matrix(length, sigma) for length in image.shape[:2])
        return _to_uint8(np.stack([rows @ image[:, :, c].astype(float) @ cols.T for c in range(3)], axis=2))

    def __str__(self) -> str:
        return f"blur, sigma a {self.divisor:g}th"  # type: ignore[attr-defined]


BASE = Variant()
VARIANTS = {
    "as it is": BASE,
    "keep 0.3": replace(BASE, keep=0.3),
    "keep 0.65": replace(BASE, keep=0.65),
    "keep 0.8": replace(BASE, keep=0.8),
    "masks of 12, 25, 50, 100 segments": replace(BASE, cuts=(12, 25, 50, 100)),
    "masks of 6, 12, 25 segments": replace(BASE, cuts=(6, 12, 25)),
    "masks of 50 segments only": replace(BASE, cuts=(50,)),
    "100 leaves": replace(BASE, leaves=100),
    "400 leaves": replace(BASE, leaves=400),
    "a grid in place of segments": replace(BASE, regions="grid"),
    "prior: tree alone": replace(BASE, nearness=0.0),
    "prior: nearness alone": replace(BASE, tree_weight=1e-6),
    "prior: reach 0.15": replace(BASE, reach=0.15),
    "prior: reach 0.4": replace(BASE, reach=0.4),
    "prior: nearness 1": replace(BASE, nearness=1.0),
    "prior: nearness 4": replace(BASE, nearness=4.0),
    "fill: blur, sigma a 20th": replace(BASE, fill=WiderBlur(20)),
    "fill: blur, sigma a 5th": replace(BASE, fill=WiderBlur(5)),
    "fill: black": replace(BASE, fill="constant:0"),
    "fill: grey 128": replace(BASE, fill="constant:128"),
    "fill: neighbours": replace(BASE, fill="neighbours"),
}


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


def cases(name: str, limit: int | None) -> Iterator[Case]:
    classifier = occlumap.load(name) if name == "efficientnet-lite0" else getattr(models, name)
    found = []
    for entry in photographs.read_table(PHOTOS / "photos.csv"):
        if not to_tune_on(entry.file):
            continue
        pixels = photographs.read(PHOTOS, entry, classifier.input_size[0]).pixels
        if np.asarray(classifier(pixels[None]))[0].argmax() == entry.class_index:
            found.append(Case(classifier, pixels, entry.class_index))
    found = found[:limit]
    for one, other in zip(found, found[1:] + found[:1], strict=True):
        one.beside(other)
        yield one


def explained(case: Case, variant: Variant, budget: int) -> occlumap.Explanation:
    """With the constants of the variant in place of the method's own."""
    labels = (
        slic_labels(case.image, variant.leaves)
        if variant.regions == "slic"
        else grid_labels((case.image.shape[0], case.image.shape[1]), variant.leaves)
    )
    before = samplers.MASK_CUTS, samplers.KEEP, joint.TREE_WEIGHTS, joint.NEARNESS, joint.REACH
    samplers.MASK_CUTS, samplers.KEEP = variant.cuts, variant.keep
    joint.TREE_WEIGHTS = {count: weight * variant.tree_weight for count, weight in joint.TREE_WEIGHTS.items()}
    joint.NEARNESS, joint.REACH = variant.nearness, variant.reach
    try:
        found = occlumap.explain(
            case.classifier,
            case.image,
            case.target,
            budget=budget,
            regions=merged(case.image, labels),
            fill=variant.fill,
        )
        assert isinstance(found, occlumap.Explanation)
        return found
    finally:
        samplers.MASK_CUTS, samplers.KEEP, joint.TREE_WEIGHTS, joint.NEARNESS, joint.REACH = before


def measure(name: str, limit: int | None) -> None:
    """Gains of every variant, budget and photograph, into one JSON file, written after each photograph."""
    warnings.simplefilter("ignore", OcclumapWarning)
    gains: dict[str, dict[str, list[float]]] = {
        variant: {str(budget): [] for budget in BUDGETS} for variant in VARIANTS
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases(name, limit), start=1):
        for label, variant in VARIANTS.items():
            for budget in BUDGETS:
                gains[label][str(budget)].append(case.gain(explained(case, variant, budget).heatmap))
        (RESULTS / f"joint-variants-{name}.json").write_text(json.dumps(gains))
        print(f"{number} photographs", flush=True)


def write() -> None:
    lines = [
        "# What moves the joint method",
        "",
        "Made by `benchmarks/joint_variants.py`: symmetric relevance gain of the method as it is, and what one change "
        "at a time adds to it (paired over the photographs, 95 % bootstrap interval); higher is better. Photographs to "
        "tune on only, a classifier for each table; references mean colour, noise and another photograph. All with one "
        "fill, the blur, before two took turns (designs.md).",
    ]
    for path in sorted(RESULTS.glob("joint-variants-*.json")):
        gains = {
            variant: {int(budget): np.array(values) for budget, values in found.items()}
            for variant, found in json.loads(path.read_text()).items()
        }
        base = gains["as it is"]
        count = len(base[BUDGETS[0]])
        lines += ["", f"## {path.stem.removeprefix('joint-variants-')}, n = {count}", ""]
        lines += [
            "| variant | " + " | ".join(f"{budget:,} calls" for budget in BUDGETS) + " |",
            "| --- " * (1 + len(BUDGETS)) + "|",
            "| as it is | " + " | ".join(f"{base[budget].mean():.3f}" for budget in BUDGETS) + " |",
        ]
        for variant, found in gains.items():
            if variant != "as it is":
                cells = [interval(found[budget] - base[budget]) for budget in BUDGETS]
                lines.append(f"| {variant} | {' | '.join(cells)} |")
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"] and len(sys.argv) in (3, 4):
        measure(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None)
    elif sys.argv[1:] == ["write"]:
        write()
    else:
        sys.exit(__doc__)
