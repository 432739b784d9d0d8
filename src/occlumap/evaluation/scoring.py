"""Scores of one class for many images: the one place where metrics and peers call a classifier."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import whole_number
from occlumap.classifiers import Classifier, score
from occlumap.errors import TargetError
from occlumap.fills import Image


def target_scores(
    classifier: Classifier, images: Iterable[Image], target: int, batch_size: int = 32
) -> NDArray[np.float64]:
    """The score of class `target` for each of `images`, uint8 (H, W, 3) all of one shape: float64 (n,).

    Images are taken from the iterable as they are needed, `batch_size` at a time, so a generator of many
    images takes little memory. Raises TargetError for a class that the classifier does not have, and what
    `occlumap.classifiers.score` raises.

    >>> def brightness(batch):
    ...     return batch.mean(axis=(1, 2, 3))[:, None] / 255
    >>> target_scores(brightness, np.zeros((3, 4, 4, 3), np.uint8), target=0)
    array([0., 0., 0.])
    """
    whole_number("batch_size", batch_size, minimum=1)
    if isinstance(target, bool) or not isinstance(target, int | np.integer):
        raise TargetError(f"expected target to be a class index, got {target!r}")
    found: list[NDArray[np.float64]] = [np.empty(0)]
    calls = 0
    for batch in _batches(images, batch_size):
        rows = score(classifier, batch, calls_before=calls)
        check_target(target, rows.shape[1])
        calls += len(batch)
        found.append(rows[:, target])
    return np.concatenate(found)


def check_target(target: int, classes: int) -> None:
    """TargetError for a class that a classifier of `classes` does not have."""
    if not 0 <= target < classes:
        raise TargetError(f"expected a class index from 0 to {classes - 1}, got {target}")


def _batches(images: Iterable[Image], batch_size: int) -> Iterator[Image]:
    iterator = iter(images)
    while chunk := list(islice(iterator, batch_size)):
        yield np.stack(chunk)
