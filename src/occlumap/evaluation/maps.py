"""Heatmaps of a benchmark: every method at every budget on one image, kept on disk with the scores it cost."""

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap import _archive
from occlumap.classifiers import Classifier
from occlumap.errors import ArgumentError, FileFormatError, MeasuringError, OcclumapWarning
from occlumap.evaluation.counting import CountedClass, Scores
from occlumap.evaluation.localisation import checked_heatmap
from occlumap.evaluation.methods import Method
from occlumap.evaluation.peers import Heatmap
from occlumap.fills import Image

KIND = "occlumap-benchmark-maps"


@dataclass(frozen=True, eq=False)
class Made:
    """A heatmap, what it cost, and how long it took (None where scores came from the cache).

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
        counted = CountedClass(self._classifier, self._target, self._kept, self._scores)
        started = time.perf_counter()
        try:
            found = method.run(self._image, counted, 0, budget, self._seed)
            heatmap = checked_heatmap(found, self._image.shape[:2]).astype(np.float32)
        except MeasuringError:
            raise
        except Exception as error:  # noqa: BLE001 - a peer's fault must not cost the others' results
            problem = f"{type(error).__name__}: {error}"
            warnings.warn(
                f"{method.name} made no heatmap with {budget} calls: {problem}", OcclumapWarning, stacklevel=2
            )
            return Made(None, counted.calls, None, problem)
        seconds = time.perf_counter() - started
        if counted.calls > budget:
            raise ArgumentError(
                f"expected {method.name} to spend at most {budget} calls, got {counted.calls}"
            )
        return Made(heatmap, counted.calls, seconds if counted.fresh == counted.calls else None)

    def save(self) -> None:
        """Write what is not written yet."""
        if not self._changed:
            return
        made = {
            key: {"calls": made.calls, "seconds": made.seconds, "problem": made.problem}
            for key, made in self._made.items()
        }
        arrays: dict[str, NDArray[Any]] = {
            f"map-{number}": made.heatmap
            for number, made in enumerate(self._made.values())
            if made.heatmap is not None
        }
        scores = {**self._kept, **self._scores}
        arrays["score-keys"] = np.frombuffer(b"".join(scores), np.uint8).reshape(-1, 32)
        arrays["score-values"] = np.array(list(scores.values()), np.float64)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        _archive.write(self._file, KIND, {"made": made, **self._identity()}, arrays)
        self._changed = False

    def _identity(self) -> dict[str, Any]:
        return {"target": self._target, "seed": self._seed}

    def _load(self) -> None:
        document, arrays = _archive.read(self._file, KIND)
        if any(document.get(key) != value for key, value in self._identity().items()):
            raise FileFormatError(
                f"expected heatmaps of class {self._target} and seed {self._seed} in {self._file}, got others; "
                "choose another folder"
            )
        try:
            for number, (key, made) in enumerate(document["made"].items()):
                self._made[key] = Made(
                    arrays.get(f"map-{number}"), made["calls"], made["seconds"], made["problem"]
                )
            keys = arrays["score-keys"]
            self._kept = dict(
                zip((row.tobytes() for row in keys), map(tuple, arrays["score-values"].tolist()), strict=True)
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise FileFormatError(
                f"expected saved heatmaps in {self._file}, got a damaged file ({error!r})"
            ) from error
