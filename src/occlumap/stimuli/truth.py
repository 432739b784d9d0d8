"""Which parts a classifier really uses: what its score loses when a scene is drawn again without them."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from occlumap._checks import one_of, reason
from occlumap.classifiers import Classifier, score
from occlumap.errors import ArgumentError, FileFormatError
from occlumap.stimuli.draw import PARTS, draw_scene
from occlumap.stimuli.network import Studied
from occlumap.stimuli.voc import find_root


@dataclass(frozen=True)
class PartUse:
    """A part's worth to a class: the mean fall of the score over the scenes that show the part, and how many do."""

    part: str
    mean_drop: float
    scenes: int


def parts_used(
    classifier: Classifier,
    target: int,
    name: str,
    seeds: Sequence[int],
    size: int = 64,
    *,
    bias: float | Sequence[float] = 0.0,
) -> list[PartUse]:
    """For each part, what drawing the scenes of `seeds` without it costs class `target`, the dearest first.

    Only scenes that show an animal called `name` count. The part goes from every animal of the scene. A part that
    no scene shows is not listed. bias: of all scenes, or of each. Raises ArgumentError where no scene shows the animal.
    """
    drops: dict[str, list[float]] = {part: [] for part in PARTS}
    seen = 0
    biases = [bias] * len(seeds) if isinstance(bias, int | float) else list(bias)
    for seed, own in zip(seeds, biases, strict=True):
        whole = draw_scene(seed, size, bias=own)
        if name not in [one.name for one in whole.drawn]:
            continue
        seen += 1
        shown = [part for index, part in enumerate(PARTS, start=1) if (whole.parts == index).any()]
        without = [draw_scene(seed, size, bias=own, without=[part]).image for part in shown]
        scores = score(classifier, np.stack([whole.image, *without]))[:, target]
        for part, one in zip(shown, scores[1:], strict=True):
            drops[part].append(float(scores[0] - one))
    if not seen:
        raise ArgumentError(
            f"expected scenes with a {name}, got none among {len(seeds)} seeds; give more of them"
        )
    found = [PartUse(part, float(np.mean(some)), len(some)) for part, some in drops.items() if some]
    return sorted(found, key=lambda one: (-one.mean_drop, one.part))


def parts_used_in(
    data: str | os.PathLike[str], classifier: Studied, label: str, scenes: int | None = None
) -> list[PartUse]:
    """`parts_used` over the first `scenes` of a drawn data set (all when None) that show the animal.

    Raises FileFormatError for a data set that was not drawn, ArgumentError for a class that the classifier lacks.
    """
    path = find_root(data) / "scenes.json"
    one_of("class", label, classifier.classes)
    try:
        record = json.loads(path.read_text())
        rows = [(one["seed"], one["bias"]) for one in record["scenes"]]
        size = record["size"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileFormatError(
            f"expected scenes of `occlumap stimuli draw` in {path}, got: {reason(error)}"
        ) from error
    shown = [
        row for row in rows if label in [one.name for one in draw_scene(row[0], size, bias=row[1]).drawn]
    ][:scenes]
    seeds, biases = [seed for seed, _ in shown], [bias for _, bias in shown]
    return parts_used(classifier, classifier.classes.index(label), label, seeds, size, bias=biases)
