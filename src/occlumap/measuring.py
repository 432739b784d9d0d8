"""Measurer: spends classifier calls, in batches, once for each perturbation, within a budget."""

import hashlib
from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import whole_number
from occlumap.classifiers import Classifier, score
from occlumap.errors import ArgumentError, BudgetError, ScoreError
from occlumap.fills import Fill, Image, Painter
from occlumap.measurements import Measurements
from occlumap.perturbations import Perturbations, removals

MAX_BATCH_BYTES = 64 * 2**20  # of perturbed images; a smaller batch never changes a result

BATCHES_PAINTED = 8

Progress = Callable[[int, int | None], None]


def image_sha256(image: Image) -> str:
    """SHA-256 of an image's shape and pixels, hexadecimal."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


class Measurer:
    """Measures perturbations of one image with one classifier and one fill, each at most once.

    Every image that reaches the classifier counts as a call, the original included. `known`: measurements
    of the same image, fill and targets made earlier; what is in them costs no call, but counts towards
    `budget`, so a resumed run ends where an uninterrupted one would have. `progress(done, total)` is called
    after each batch; `total` may be set when it is known.
    """

    def __init__(
        self,
        classifier: Classifier,
        image: Image,
        fill: Fill,
        *,
        batch_size: int = 32,
        budget: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        batch_size = whole_number("batch_size", batch_size, minimum=1)
        self.budget = None if budget is None else whole_number("budget", budget, minimum=1)
        self.calls = 0
        self.total: int | None = None
        self._classifier, self._image, self._fill = classifier, image, fill
        self._batch_size = max(1, min(batch_size, MAX_BATCH_BYTES // image.nbytes))
        self._progress = progress
        self._paint = fill.prepare(image)
        self._sha256 = image_sha256(image)
        self._classes: int | None = None
        self._known: dict[bytes, NDArray[np.float64]] = {}
        self._asked = removals(np.empty((0, 4), np.int32))
        self._asked_keys: dict[bytes, None] = {}
        self._targets = np.empty(0, np.int64)
        self._original_row = np.empty(0)

    def measure_original(self) -> NDArray[np.float64]:
        """One call: the scores of the image as it is, (classes,)."""
        row: NDArray[np.float64] = self._score(self._image[None].copy(), "the original image".format)[0]
        self._classes, self._original_row = len(row), row
        return row

    def aim(self, targets: Sequence[int], known: Measurements | None = None) -> None:
        """Say which classes' scores are kept, and what is known of them; after `measure_original`.

        Raises ArgumentError when `known` belongs to another image, fill, target or classifier.
        """
        self._targets = np.array(targets, np.int64)
        if known is None:
            return
        self._check_same(known)
        columns = [known.column(target) for target in targets]
        self._known = dict(zip(known.perturbations.keys(), known.scores[:, columns], strict=True))

    def _check_same(self, known: Measurements) -> None:
        problems = [
            f"{what}: {theirs} there, {ours} here"
            for what, theirs, ours in (
                ("image size", known.shape, self._image.shape[:2]),
                ("image (SHA-256)", known.image_sha256, self._sha256),
                ("fill", known.fill, str(self._fill)),
            )
            if theirs != ours
        ]
        missing = sorted(set(self._targets.tolist()) - set(known.targets.tolist()))
        if missing:
            problems.append(f"targets: {known.targets.tolist()} there, {missing} wanted too")
        else:
            theirs = known.original[[known.column(target) for target in self._targets.tolist()]]
            ours = self._original_row[self._targets]
            if not np.allclose(theirs, ours, rtol=1e-4, atol=1e-6):
                problems.append(f"score of the original image: {theirs.tolist()} there, {ours.tolist()} here")
        if problems:
            raise ArgumentError(
                "expected measurements of the same image, fill, targets and classifier to resume from; they "
                f"differ in {'; '.join(problems)}. Start without resume"
            )

    @property
    def left(self) -> int | None:
        """How many more perturbations the budget affords; None without a budget."""
        return None if self.budget is None else self.budget - 1 - len(self._asked)

    def measure(self, wanted: Perturbations) -> Measurements:
        """All that was asked so far, `wanted` included, in the order of asking.

        Raises BudgetError, before any call, when `wanted` goes beyond the budget; ClassifierError or
        ScoreError with `.measurements` (what is known by then) when the classifier fails. Any other
        interruption, a KeyboardInterrupt for one, leaves with the same attribute.
        """
        keys = wanted.keys()
        first = {key: index for index, key in reversed(list(enumerate(keys))) if key not in self._asked_keys}
        fresh = [index for index, key in enumerate(keys) if first.get(key) == index]
        if self.left is not None and len(fresh) > self.left:
            raise BudgetError(
                f"expected a budget of at least {1 + len(self._asked) + len(fresh)} calls, got {self.budget}; "
                "raise the budget, or measure fewer regions (a smaller depth, a larger stride)"
            )
        for index in fresh:
            self._asked_keys[keys[index]] = None
        self._asked = self._asked + _take(wanted, fresh)
        unknown = _take(wanted, [index for index in fresh if keys[index] not in self._known])
        try:
            for start in range(0, len(unknown), block := self._batch_size * BATCHES_PAINTED):
                self._measure_block(unknown[start : start + block])
        except BaseException as error:
            error.measurements = self._everything()  # type: ignore[attr-defined]
            raise
        return self._collect(self._asked)

    def _measure_block(self, block: Perturbations) -> None:
        """Several batches, whose fill colours are worked out together: that is faster."""
        patches = iter(self._paint(block.bounds))
        for start in range(0, len(block), self._batch_size):
            self._measure_batch(
                block[start : start + self._batch_size], lambda bounds: islice(patches, len(bounds))
            )

    def _measure_batch(self, batch: Perturbations, paint: Painter) -> None:
        try:
            # no name for the images: their memory is free again before the next batch takes its own
            rows = self._score(batch.apply(self._image, paint), batch.describe)
        except ScoreError as error:
            if isinstance(error.good_rows, np.ndarray):
                self._remember(batch[: len(error.good_rows)], error.good_rows)
            raise
        self._remember(batch, rows)
        if self._progress is not None:
            self._progress(1 + len(self._known), self.total)

    def _score(self, images: Image, describe: Callable[[int], str]) -> NDArray[np.float64]:
        before = self.calls
        self.calls += len(images)
        return score(self._classifier, images, classes=self._classes, calls_before=before, describe=describe)

    def _remember(self, batch: Perturbations, rows: NDArray[np.float64]) -> None:
        # only the targets' columns: at depth 5 all 1,000 classes would be 220 MB
        self._known.update(zip(batch.keys(), rows[:, self._targets], strict=True))

    def _collect(self, perturbations: Perturbations) -> Measurements:
        rows = [self._known[key] for key in perturbations.keys()]  # noqa: SIM118 - a method, not of a dict
        return Measurements(
            (int(self._image.shape[0]), int(self._image.shape[1])),
            perturbations,
            np.array(rows, np.float64).reshape(len(rows), len(self._targets)),
            self._targets,
            self._original_row[self._targets],
            self._sha256,
            str(self._fill),
        )

    def _everything(self) -> Measurements:
        blocks = [np.frombuffer(key, np.int32).reshape(-1, 4) for key in self._known]
        starts = np.cumsum([0, *(len(block) for block in blocks)], dtype=np.int64)
        bounds = np.concatenate([np.empty((0, 4), np.int32), *blocks])
        return self._collect(Perturbations(bounds, starts))


def _take(perturbations: Perturbations, indices: list[int]) -> Perturbations:
    if len(perturbations.bounds) == len(perturbations):  # one rectangle each
        return removals(perturbations.bounds[indices])
    empty = removals(np.empty((0, 4), np.int32))
    return sum((perturbations[index : index + 1] for index in indices), empty)
