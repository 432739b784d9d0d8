"""Heatmaps of a benchmark: every method at every budget on one image, kept on disk with the scores it cost."""

import time
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap import _archive
from occlumap.classifiers import Classifier
from occlumap.errors import ArgumentError, BudgetError, MeasuringError, OcclumapWarning
from occlumap.evaluation import kept
from occlumap.evaluation.counting import CountedClass, Scores
from occlumap.evaluation.localisation import checked_heatmap
from occlumap.evaluation.methods import Method
from occlumap.evaluation.peers import Heatmap
from occlumap.fills import Image
from occlumap.measuring import image_sha256

KIND = "occlumap-benchmark-maps"


@dataclass(frozen=True, eq=False)
class Made:
    """A heatmap, what it cost, and how long it took (None where more than one score came from the cache).

    `heatmap` is None where the method could not make one; `problem` then says why.
    """

    heatmap: Heatmap | None
    calls: int
    seconds: float | None
    problem: str = ""


class Maps:
    """The heatmaps of one image for one class of one classifier, made when first asked for.

    `file`: where they are kept, together with the score of every image that went to the classifier, so that
    a method that has changed is judged again without new calls where it asks the same; `save` writes it.
    """

    def __init__(self, classifier: Classifier, image: Image, target: int, seed: int, file: Path) -> None:
        self._classifier, self._image, self._target, self._seed = classifier, image, target, seed
        self._file = file
        self._made: dict[str, Made] = {}
        self._kept: dict[bytes, Scores] = {}  # of an earlier run: one method must not save another's time
        self._scores: dict[bytes, Scores] = {}
        self._changed = False
        if file.exists():
            self._load()

    def make(self, method: Method, budget: int) -> Made:
        """The heatmap of `method` with `budget` calls; 0 for a method that spends none."""
        key = f"{method.name}@{budget}"
        if key not in self._made:
            self._made[key] = self._run(method, budget)
            self._changed = True
        return self._made[key]

    def _run(self, method: Method, budget: int) -> Made:
        counted = CountedClass(self._classifier, self._target, self._image.shape, self._kept, self._scores)
        started = time.perf_counter()
        try:
            found = method.run(self._image.copy(), counted, 0, budget, self._seed)
            seconds = time.perf_counter() - started
            if counted.calls > budget:
                raise BudgetError(f"expected at most {budget} calls to be spent, got {counted.calls}")
            heatmap = _as_float32(checked_heatmap(found, self._image.shape[:2]))
        except MeasuringError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a peer's fault must not cost the others' results
            problem = f"{type(error).__name__}: {error}"
            warnings.warn(
                f"{method.name} made no heatmap with {budget} calls: {problem}", OcclumapWarning, stacklevel=2
            )
            return Made(None, counted.calls, None, problem)
        # the photograph itself is known to every method that joins an earlier run's; one call tells no lie about time
        return Made(heatmap, counted.calls, seconds if counted.calls - counted.fresh <= 1 else None)

    def save(self) -> None:
        """Write what is not written yet; a failure is not kept, but tried again by the next run."""
        if not self._changed:
            return
        good = {key: made for key, made in self._made.items() if made.heatmap is not None}
        costs = {key: {"calls": made.calls, "seconds": made.seconds} for key, made in good.items()}
        arrays: dict[str, NDArray[Any]] = {
            f"map-{number}": np.asarray(made.heatmap) for number, made in enumerate(good.values())
        }
        arrays |= kept.packed({**self._kept, **self._scores})
        self._file.parent.mkdir(parents=True, exist_ok=True)
        _archive.write(self._file, KIND, {"made": costs, **self._identity()}, arrays)
        self._changed = False

    def _identity(self) -> dict[str, Any]:
        return {"target": self._target, "seed": self._seed, "image_sha256": image_sha256(self._image)}

    def _load(self) -> None:
        document, arrays, self._kept = kept.read(self._file, KIND, self._identity())
        try:
            for number, (key, costs) in enumerate(document["made"].items()):
                self._made[key] = Made(arrays[f"map-{number}"], costs["calls"], costs["seconds"])
        except (KeyError, TypeError, AttributeError) as error:
            raise kept.damaged(self._file, error) from error


def _as_float32(values: NDArray[np.float64]) -> Heatmap:
    """`values` as they are kept; ArgumentError where they do not fit, or half of the different ones become equal."""
    with np.errstate(over="ignore", under="ignore"):
        heatmap = values.astype(np.float32)
    left, before = len(np.unique(heatmap)), len(np.unique(values))
    if not np.isfinite(heatmap).all() or 2 * left < before or left < min(2, before):
        raise ArgumentError(
            f"expected values that float32 tells apart, got {values.min():.6g} to {values.max():.6g}; subtract what "
            "all have in common, or divide by the largest"
        )
    return heatmap


def forget(file: Path, methods: Collection[str]) -> None:
    """Take the heatmaps of `methods` out of what is kept, so that they are made anew; their scores stay."""
    document, arrays, _ = kept.read(file, KIND, {})
    try:
        made = list(enumerate(document["made"].items()))
        left = [
            (number, key, costs) for number, (key, costs) in made if key.rpartition("@")[0] not in methods
        ]
        if len(left) == len(made):
            return
        maps = {f"map-{at}": arrays[f"map-{number}"] for at, (number, _, _) in enumerate(left)}
    except (KeyError, TypeError, AttributeError) as error:
        raise kept.damaged(file, error) from error
    rest = {name: array for name, array in arrays.items() if not name.startswith("map-")}
    costs_left = {key: costs for _, key, costs in left}
    _archive.write(file, KIND, {**document, "made": costs_left}, {**maps, **rest})
