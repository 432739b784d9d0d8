"""Which parts a classifier really uses: what its score loses when a scene is drawn again without them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from occlumap.classifiers import Classifier, score
from occlumap.errors import ArgumentError
from occlumap.stimuli.draw import PARTS, draw_scene


@dataclass(frozen=True)
class PartUse:
    """A part's worth to a class: the mean fall of the score over the scenes that show the part, and how many do."""

    part: str
    mean_drop: float
    scenes: int


def parts_used(
    classifier: Classifier, target: int, name: str, seeds: Sequence[int], size: int = 64, *, bias: float = 0.0
) -> list[PartUse]:
    """For each part, what drawing the scenes of `seeds` without it costs class `target`, the dearest first.

    Only scenes that show an animal called `name` count. The part goes from every animal of the scene. A part that
    no scene shows is not listed. Raises ArgumentError where no scene shows the animal.
    """
    drops: dict[str, list[float]] = {part: [] for part in PARTS}
    seen = 0
    for seed in seeds:
        whole = draw_scene(seed, size, bias=bias)
        if name not in [one.name for one in whole.drawn]:
            continue
        seen += 1
        shown = [part for index, part in enumerate(PARTS, start=1) if (whole.parts == index).any()]
        without = [draw_scene(seed, size, bias=bias, without=[part]).image for part in shown]
        scores = score(classifier, np.stack([whole.image, *without]))[:, target]
        for part, one in zip(shown, scores[1:], strict=True):
            drops[part].append(float(scores[0] - one))
    if not seen:
        raise ArgumentError(
            f"expected scenes with a {name}, got none among {len(seeds)} seeds; give more of them"
        )
    found = [PartUse(part, float(np.mean(some)), len(some)) for part, some in drops.items() if some]
    return sorted(found, key=lambda one: (-one.mean_drop, one.part))
