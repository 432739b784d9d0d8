"""Whether the joint method's intervals hold on masks that it has not seen; writes docs/research/calibration.md.

    python -m benchmarks.calibration mobilenet_v1_025_128 mobilenet_v1_050_160:20 efficientnet-lite0:8

A classifier's name, and how many photographs at most. Needs `pip install '.[benchmark]'` and ../shared/data
(OCCLUMAP_SHARED names it elsewhere). Photographs are those that the method was not tuned on (benchmarks/split.py)
and that the classifier gets right. Each is explained with 100 and with 300 calls; then 200 further masks are scored
and predicted.
"""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import occlumap
from benchmarks import models
from benchmarks.split import to_tune_on
from occlumap.errors import OcclumapWarning
from occlumap.evaluation import photographs
from occlumap.fills import parse
from occlumap.samplers import TreeMasks

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/research/calibration.md"
PHOTOS = models.SHARED / "data/photos"
BUDGETS = (100, 300)
FRESH = 200
LEVELS = {"50 %": 0.6745, "80 %": 1.2816, "95 %": 1.9600}
"""Standard deviations of a Gaussian that hold so much."""


def right_photographs(classifier: Any, limit: int | None) -> Iterator[tuple[NDArray[np.uint8], int]]:
    found = 0
    for entry in photographs.read_table(PHOTOS / "photos.csv"):
        if to_tune_on(entry.file) or found == limit:
            continue
        pixels = photographs.read(PHOTOS, entry, classifier.input_size[0]).pixels
        if np.asarray(classifier(pixels[None]))[0].argmax() == entry.class_index:
            found += 1
            yield pixels, entry.class_index


def on_fresh_masks(
    classifier: Any, image: NDArray[np.uint8], target: int, budget: int
) -> tuple[list[float], float, float]:
    """Share of fresh masks inside each interval, share of their variance explained, and what the fit said of it."""
    found = occlumap.explain(classifier, image, target, budget=budget)
    assert isinstance(found, occlumap.Explanation)
    assert found.posterior is not None
    assert found.fit is not None
    tree, used, scored = found.posterior.tree, found.measurements.masks, found.measurements.scores[:, 0]
    fresh = TreeMasks(tree, 0).first(budget + FRESH - 1)[budget - 1 :]
    paint = fresh.painter(parse(found.settings["fill"]), image)
    scores = np.concatenate(
        [np.asarray(classifier(part.apply(image, paint)))[:, target] for part, _ in fresh.batches(32, paint)]
    )
    of_used, of_fresh = used.turns(len(paint)), fresh.turns(len(paint))  # each fill has a level of its own
    of_each = [of_used == turn for turn in range(len(paint))]
    part = fresh.kept - np.array([used.kept[one].mean(axis=0) for one in of_each])[of_fresh]
    predicted = np.array([scored[one].mean() for one in of_each])[of_fresh] + part @ found.posterior.mean
    variance = np.einsum("ni,ij,nj->n", part, found.posterior.covariance, part)
    count = np.array([one.sum() for one in of_each])[of_fresh]
    spread = np.sqrt(variance + found.fit.noise**2 * (1 + 1 / count))
    errors = scores - predicted
    inside = [float((np.abs(errors) <= times * spread).mean()) for times in LEVELS.values()]
    return (
        inside,
        1 - float(errors @ errors) / float(((scores - scores.mean()) ** 2).sum()),
        found.fit.explained,
    )


def main(wanted: list[str]) -> None:
    warnings.simplefilter("ignore", OcclumapWarning)
    lines = [
        "# Are the joint method's intervals right?",
        "",
        f"Made by `benchmarks/calibration.py`: {FRESH} masks that the model has not seen, on photographs that it was "
        "not tuned on. Inside: share of them whose score lies in the predicted interval of that name, mean over the "
        "photographs. Explained: share of the variance of their scores, median over the photographs; beside it what "
        "the result itself says (`fit.explained`, from leaving out one mask at a time).",
        "",
        f"| classifier | photographs | calls | {' | '.join(f'inside {at}' for at in LEVELS)} | explained | said |",
        "| --- " * (5 + len(LEVELS)) + "|",
    ]
    for one in wanted:
        name, _, limit = one.partition(":")
        classifier = occlumap.load(name) if name == "efficientnet-lite0" else getattr(models, name)
        cases = list(right_photographs(classifier, int(limit) if limit else None))
        for budget in BUDGETS:
            found = [on_fresh_masks(classifier, *case, budget) for case in cases]
            inside = np.mean([shares for shares, _, _ in found], axis=0)
            cells = [f"{share:.1%}" for share in inside]
            explained, said = np.median([one_case[1:] for one_case in found], axis=0)
            lines.append(
                f"| {name} | {len(cases)} | {budget} | {' | '.join(cells)} | {explained:.0%} | {said:.0%} |"
            )
            print(lines[-1], flush=True)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
