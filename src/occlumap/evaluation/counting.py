"""The classifier as the benchmark hands it out: one class, every image counted, nothing asked twice."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from occlumap.classifiers import Classifier
from occlumap.evaluation.scoring import target_scores
from occlumap.fills import Image


class CountedClass:
    """A classifier of the one class `target` of `classifier`: uint8 (n, H, W, 3) to (n, 1).

    `calls` counts the images it has been asked for, whether or not their scores were in `known` (SHA-256 of
    the pixels to score); `fresh` those that went to the classifier. Their scores go into `found`, which may be
    `known` itself.
    """

    def __init__(
        self, classifier: Classifier, target: int, known: dict[bytes, float], found: dict[bytes, float]
    ) -> None:
        self.calls = 0
        self.fresh = 0
        self._known, self._found = known, found
        self._classifier, self._target = classifier, target

    def __call__(self, batch: Image, /) -> NDArray[np.float64]:
        """Scores (n, 1) of class `target`."""
        keys = [hashlib.sha256(image.data).digest() for image in np.ascontiguousarray(batch)]
        scores = np.array([self._known.get(key, np.nan) for key in keys])
        missing = np.flatnonzero(np.isnan(scores))
        if len(missing):
            fresh = target_scores(self._classifier, batch[missing], self._target, batch_size=len(missing))
            scores[missing] = fresh
            self._found.update(
                (keys[index], value) for index, value in zip(missing, fresh.tolist(), strict=True)
            )
        self.calls += len(batch)
        self.fresh += len(missing)
        return scores[:, None]
