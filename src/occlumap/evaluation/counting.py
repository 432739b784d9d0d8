"""The classifier as the benchmark hands it out: one class, every image counted, nothing asked twice."""

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from occlumap._arrays import told
from occlumap.classifiers import Classifier, name_of, score
from occlumap.errors import ArgumentError
from occlumap.evaluation.scoring import check_target
from occlumap.fills import Image

Scores = tuple[float, ...]
"""What is kept of an image's scores: the target's, and the highest of the other classes'."""


class Numbered:
    """`classifier`, whose errors tell which of all calls of a run they are about, not which of a curve's."""

    def __init__(self, classifier: Classifier) -> None:
        self.name = name_of(classifier)
        self._classifier, self._calls = classifier, 0

    def __call__(self, batch: Image, /) -> NDArray[np.float64]:
        """Scores of all classes."""
        before = self._calls
        self._calls += len(batch)
        return score(self._classifier, batch, calls_before=before)


class CountedClass:
    """`classifier` narrowed to the class `target`: uint8 (n, *shape) to (n, 2), or (n, 1) if it has no other.

    Column 0 is the target's score, column 1 the highest of the others', so that it can still be seen whether
    the target comes first. `calls` counts the images it has been asked for, whether or not their scores were in
    `known` (by SHA-256 of their pixels); `fresh` those that went to the classifier. Their scores go into
    `found`, which may be `known` itself.
    """

    def __init__(
        self,
        classifier: Classifier,
        target: int,
        shape: tuple[int, ...],
        known: Mapping[bytes, Scores],
        found: dict[bytes, Scores],
    ) -> None:
        self.calls = 0
        self.fresh = 0
        self._classifier, self._target, self._shape = classifier, target, shape
        self._known, self._found = known, found

    def __call__(self, batch: Image, /) -> NDArray[np.float64]:
        """Scores of the target, and of the best other class; ArgumentError for what is no batch: its maker's fault."""
        usable = isinstance(batch, np.ndarray) and batch.dtype == np.uint8 and batch.ndim == 4
        if not usable or batch.shape[1:] != self._shape:
            sides = ", ".join(map(str, self._shape))
            raise ArgumentError(f"expected a batch for the classifier, uint8 (n, {sides}), got {told(batch)}")
        keys = [hashlib.sha256(image.data).digest() for image in np.ascontiguousarray(batch)]
        missing = [index for index, key in enumerate(keys) if key not in self._known]
        fresh: dict[int, Scores] = {}
        if missing:
            fresh = dict(zip(missing, self._ask(batch[missing]), strict=True))
            self._found.update((keys[index], scores) for index, scores in fresh.items())
        self.calls += len(batch)
        self.fresh += len(missing)
        return np.array(
            [fresh[index] if index in fresh else self._known[key] for index, key in enumerate(keys)]
        )

    def _ask(self, images: Image) -> list[Scores]:
        rows = score(self._classifier, images)
        classes = rows.shape[1]
        check_target(self._target, classes)
        columns = [rows[:, self._target]]
        if classes > 1:
            columns.append(np.delete(rows, self._target, axis=1).max(axis=1))
        return list(zip(*(column.tolist() for column in columns), strict=True))
