"""Which parts a classifier really uses: what its score loses when a scene is drawn again without them."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType

import numpy as np
from scipy.special import stdtrit

from occlumap._checks import one_of, reason
from occlumap.classifiers import Classifier, score
from occlumap.errors import ArgumentError, FileFormatError
from occlumap.stimuli.draw import PARTS, draw_scene
from occlumap.stimuli.network import Studied
from occlumap.stimuli.voc import find_root

BACKGROUND = "background"
GREY = 128


@dataclass(frozen=True)
class PartUse:
    """A part's worth, or the background's, to a class: the mean fall of the score over the scenes that show it.

    scenes: how many do.

    low, high: its 95 % interval by Student's t over scenes; None of one scene, which tells nothing of others.
    """

    part: str
    mean_drop: float
    scenes: int
    low: float | None = None
    high: float | None = None


def parts_used(
    classifier: Classifier,
    target: int,
    name: str,
    seeds: Sequence[int],
    size: int = 64,
    *,
    bias: float | Sequence[float] = 0.0,
) -> list[PartUse]:
    """For each part, what drawing the scenes of `seeds` without it costs class `target`.

    The largest mean first; one of few scenes may lead by luck, as its interval shows. Only scenes that show an animal
    called `name` count, and only its own parts: those of another animal beside it stay. A part that no scene shows is
    not listed. The background is: all that is no animal, made grey. bias: of all scenes, or of each. Raises
    ArgumentError where no scene shows the animal.
    """
    drops: dict[str, list[float]] = {part: [] for part in (*PARTS, BACKGROUND)}
    seen = 0
    biases = [bias] * len(seeds) if isinstance(bias, int | float) else list(bias)
    for seed, own in zip(seeds, biases, strict=True):
        whole = draw_scene(seed, size, bias=own)
        names = [one.name for one in whole.drawn]
        if name not in names:
            continue
        seen += 1
        own_parts = whole.parts[whole.objects == 1 + names.index(name)]
        shown = [part for index, part in enumerate(PARTS, start=1) if (own_parts == index).any()]
        without = [draw_scene(seed, size, bias=own, without=[part], of=name).image for part in shown]
        before_grey = np.where((whole.objects > 0)[..., None], whole.image, np.uint8(GREY))
        scores = score(classifier, np.stack([whole.image, *without, before_grey]))[:, target]
        for part, one in zip([*shown, BACKGROUND], scores[1:], strict=True):
            drops[part].append(float(scores[0] - one))
    if not seen:
        raise ArgumentError(
            f"expected scenes with a {name}, got none among {len(seeds)} seeds; give more of them"
        )
    found = [_use(part, some) for part, some in drops.items() if some]
    return sorted(found, key=lambda one: one.mean_drop, reverse=True)


def _use(part: str, drops: Sequence[float]) -> PartUse:
    mean, n = float(np.mean(drops)), len(drops)
    if n == 1:
        return PartUse(part, mean, n)
    half = float(stdtrit(n - 1, 0.975) * np.std(drops, ddof=1) / np.sqrt(n))
    return PartUse(part, mean, n, mean - half, mean + half)


def parts_used_in(
    data: str | os.PathLike[str], classifier: Studied, label: str, scenes: int | None = None
) -> list[PartUse]:
    """`parts_used` over the first `scenes` of a drawn data set (all when None) that show the animal.

    Raises FileFormatError for a data set that was not drawn, ArgumentError for a class that the classifier lacks.
    """
    one_of("class", label, classifier.classes)
    size, rows = drawn_scenes(find_root(data))
    shown = [
        row for row in rows if label in [one.name for one in draw_scene(row[0], size, bias=row[1]).drawn]
    ][:scenes]
    seeds, biases = [seed for seed, _ in shown], [bias for _, bias in shown]
    return parts_used(classifier, classifier.classes.index(label), label, seeds, size, bias=biases)


def drawn_scenes(root: Path) -> tuple[int, list[tuple[int, float]]]:
    """The side of a drawn data set's scenes, and seed and bias of each; `root` is the folder of its scenes.json.

    Raises FileFormatError, which says what is not there.
    """
    path = root / "scenes.json"
    expected = f"expected scenes of `occlumap stimuli draw` in {path}, got"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{expected}: {reason(error)}") from error
    _has(record, {"size": int, "scenes": list}, expected)
    for number, one in enumerate(record["scenes"], start=1):
        _has(one, {"seed": int, "bias": int | float}, f"{expected}, for scene {number},")
    return record["size"], [(one["seed"], one["bias"]) for one in record["scenes"]]


def _has(record: object, wanted: dict[str, type | UnionType], expected: str) -> None:
    if not isinstance(record, dict):
        raise FileFormatError(f"{expected} no names with values")
    for key, kind in wanted.items():
        if not isinstance(record.get(key), kind):
            raise FileFormatError(f"{expected} {'another kind of' if key in record else 'no'} {key!r}")
