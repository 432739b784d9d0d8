"""Doctor: looks at a classifier with one photograph, and says what it saw; `occlumap doctor`."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import seconds
from occlumap.classifiers import Classifier, name_of, prepared, requests_of, score
from occlumap.errors import ClassifierError
from occlumap.fills import Image
from occlumap.targets import class_names

BATCH = 8
"""Images of the batch that is scored: the photograph, and copies of it turned, mirrored and darkened."""

QUICK = 1.0
"""Seconds; a batch that takes less is timed twice."""

SAME = 1e-4
"""Scores in a batch and alone that differ by no more than this share of the largest agree."""


@dataclass(frozen=True)
class Report:
    """What a classifier did with one photograph.

    `given`: shape, type and range of the uint8 batch of one. `reached`: the same of what its adapter made of that for
    the model, and before it for the network whose features that takes; empty where it does not say. `row`: its scores
    (classes,). `names`: of the classes. `twice`: whether all scores could be softmax of probabilities. `disagreement`:
    the greatest difference between scores in a batch and alone, as a share of the largest score; `refused`:
    what the classifier said when it did not take a batch, and then `disagreement` is NaN; `seconds_alone`,
    `seconds_in_batch`: an image, the first call left out. `requests`: of a remote service, and how many of them
    were retries.
    """

    name: str
    given: str
    reached: list[str]
    row: NDArray[np.float64]
    names: list[str] | None
    twice: bool
    disagreement: float
    refused: str
    seconds_alone: float
    seconds_in_batch: float
    requests: tuple[int, int] | None

    @property
    def kind(self) -> str:
        """What the scores look like: "probabilities", "independent probabilities", "logits"."""
        inside = self.row.min() >= 0 and self.row.max() <= 1
        if inside and len(self.row) > 1 and abs(self.row.sum() - 1) < 1e-3:
            return "probabilities"
        return "independent probabilities" if inside else "logits"

    def lines(self, top: int = 5) -> Iterator[str]:
        """The report, a line for each thing."""
        yield f"classifier: {self.name}"
        yield f"given:      {self.given}"
        yield f"reached:    {', then '.join(self.reached) or _UNKNOWN}"
        low, high, total = self.row.min(), self.row.max(), self.row.sum()
        yield f"scores:     {len(self.row)} classes, {low:.4g} to {high:.4g}, sum {total:.4g}"
        yield f"look like:  {_ABOUT[self.kind]}"
        if self.twice:
            yield f"perhaps:    {_TWICE}"
        for place, index in enumerate(np.argsort(-self.row, kind="stable")[:top].tolist()):
            name = "" if self.names is None else f"  {self.names[index]}"
            yield f"{'top:        ' if not place else ' ' * 12}{index:5d}  {self.row[index]:.4g}{name}"
        yield f"batches:    {self._of_batches()}"
        yield (
            f"speed:      {self.seconds_alone * 1e3:.3g} ms an image alone, {self.seconds_in_batch * 1e3:.3g} ms in a "
            f"batch of {BATCH}; 300 calls take about {300 * self.seconds_in_batch:.2g} s"
        )
        if self.requests is not None:
            yield f"requests:   {self.requests[0]}, {self.requests[1]} of them retries"

    def _of_batches(self) -> str:
        if self.refused:
            return f"REFUSED, {BATCH} images at once; explain with a batch size of 1. It said: {self.refused}"
        agree = self.disagreement <= SAME
        advice = (
            ""
            if agree
            else "; a score must not depend on its neighbours in the batch: is it in training mode?"
        )
        return (
            f"{'agree with' if agree else 'DIFFER FROM'} single images (largest difference {self.disagreement:.2g} of "
            f"the largest score){advice}"
        )


_UNKNOWN = (
    "the same, as far as is known: the classifier does not say (it would by an attribute `prepare`, a function of the "
    "batch that gives what the model takes)"
)
_TWICE = (
    "softmax was taken twice: nearly the same score for each class, on every image, as softmax makes of probabilities; "
    "or the model is that undecided. If it ends in softmax and output='logits' was said, say output='probabilities'; "
    "if that was said, see that neither the model nor a function round it takes softmax again"
)
_ABOUT = {
    "probabilities": "probabilities that add up to 1",
    "independent probabilities": "numbers from 0 to 1, each for itself (sigmoid, multi-label, or one column)",
    "logits": "logits, margins or other numbers, not probabilities; heatmaps are in these units (softmax: in shares)",
}


def examine(classifier: Classifier, image: Image, *, call_timeout: float | None = None) -> Report:
    """Score `image`, uint8 (H, W, 3) of the classifier's size, alone first, then among others.

    The first call has one image, so that a wrong shape costs one; a batch that is refused is told. `call_timeout`:
    seconds that a call may take. Raises ClassifierError and ScoreError as `score`, TargetError for class names that do
    not fit, ArgumentError for a time-out that is none.
    """
    limit = None if call_timeout is None else seconds("call_timeout", call_timeout)
    alone = image[None]  # each call has a copy, which it may change
    (row,) = score(classifier, alone.copy(), timeout=limit)
    names = class_names(classifier, len(row))
    copies = _copies(image)
    started = time.perf_counter()
    refused, in_batch = "", None
    try:
        in_batch = score(classifier, copies.copy(), classes=len(row), calls_before=1, timeout=limit)
    except ClassifierError as error:
        refused = str(error)
    seconds_in_batch = (time.perf_counter() - started) / len(copies)
    if not refused and seconds_in_batch < QUICK / len(copies):  # the first of its size may have taken longer
        started = time.perf_counter()
        score(classifier, copies.copy(), classes=len(row), calls_before=1 + BATCH, timeout=limit)
        seconds_in_batch = min(seconds_in_batch, (time.perf_counter() - started) / len(copies))
    started = time.perf_counter()
    singles = [
        score(classifier, one[None].copy(), classes=len(row), calls_before=1 + BATCH + at, timeout=limit)[0]
        for at, one in enumerate(copies)
    ]
    seconds_alone = (time.perf_counter() - started) / len(copies)
    if in_batch is None:
        disagreement, seconds_in_batch, in_batch = float("nan"), seconds_alone, np.array(singles)
    else:
        disagreement = float(np.abs(in_batch - np.array(singles)).max()) / max(
            float(np.abs(in_batch).max()), 1e-300
        )
    reached = [_reached(one, alone) for one in (getattr(classifier, "features", None), classifier)]
    return Report(
        name_of(classifier),
        _about(alone),
        [one for one in reached if one],
        row,
        names,
        _softmax_twice(np.concatenate([in_batch, row[None]])),
        disagreement,
        refused,
        seconds_alone,
        seconds_in_batch,
        requests_of(classifier),
    )


def _reached(classifier: object, batch: Image) -> str:
    """What its model is given, in words; an empty text where it does not say."""
    try:
        found = prepared(classifier, batch.copy())
    except Exception as error:  # noqa: BLE001 - only for looking at: the scores are there
        return f"unknown: its prepare raised {type(error).__name__}: {error!s:.200}"
    if found is None:
        return ""
    inputs = found.values
    if inputs.dtype.kind not in "fiub" or not inputs.size:
        what = f"an array of {inputs.dtype} of shape {inputs.shape}" if inputs.ndim else f"{inputs[()]!r:.80}"
        return f"unknown: its prepare gave {what}, and not what the model takes as one array of numbers"
    return _about(inputs, found.dtype)


def _copies(image: Image) -> Image:
    """Images of the same size that differ: the photograph, turned by half, mirrored, and darker each time."""
    turned = [image, image[::-1], image[:, ::-1], image[::-1, ::-1]]
    return np.stack([*turned, *(one // 2 for one in turned)])


def _softmax_twice(rows: NDArray[np.float64]) -> bool:
    """Whether each row (classes,) is softmax of numbers that are not negative and add up to 1, as probabilities do."""
    if rows.shape[1] < 2 or rows.min() <= 0 or (np.abs(rows.sum(axis=1) - 1) > 1e-3).any():
        return False
    above_mean = np.log(rows) - np.log(rows).mean(axis=1, keepdims=True)
    return bool((above_mean + 1 / rows.shape[1] >= -1e-5).all())


def _layout(shape: tuple[int, ...]) -> str:
    if len(shape) != 4 or (shape[1] in (1, 3)) == (shape[3] in (1, 3)):
        return ""
    return " (NCHW, channels first)" if shape[1] in (1, 3) else " (NHWC, channels last)"


def _about(array: NDArray[Any], dtype: str = "uint8") -> str:
    return f"{dtype} of shape {array.shape}{_layout(array.shape)}, {array.min():.4g} to {array.max():.4g}"
