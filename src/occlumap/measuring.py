"""Measurer: spends classifier calls, in batches, once for each perturbation, within a budget."""

import time
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import whole_number
from occlumap.classifiers import Classifier, score
from occlumap.errors import ArgumentError, BudgetError, ClassifierError, OcclumapWarning, ScoreError
from occlumap.fills import Fill, Image, is_ours, name_of
from occlumap.measurements import Measurements
from occlumap.measurements import image_sha256 as image_sha256  # imported from here, too
from occlumap.perturbations import NO_RECTANGLES, Perturbations

MAX_BATCH_BYTES = 64 * 2**20  # of perturbed images; a smaller batch never changes a result

AUTO = "auto"
"""A batch size that is found: from FIRST_BATCH it doubles as long as that makes an image at least a tenth faster."""
FIRST_BATCH = 8
WORTH = 0.9

NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "insufficient memory",
    "failed to allocate memory",
    "bad allocation",
    "bad_alloc",
    "oom when allocating",
    "resource_exhausted",
    "resource exhausted",
    "status_alloc_failed",
)
"""What PyTorch, OpenCV, ONNX Runtime, TensorFlow and the system say then."""

Progress = Callable[[int, int | None], None]
Result = TypeVar("Result")


class Measurer:
    """Measures perturbations of one image with one classifier and one fill, each at most once.

    Every image that reaches the classifier counts as a call, the original included. `kind`: perturbations, none will
    do, of the kind that is to be measured. `known`: measurements
    of the same image, fill and targets made earlier; what is in them costs no call, but counts towards
    `budget`, so a resumed run ends where an uninterrupted one would have. `progress(done, total)` is called
    after each batch, and once for what was known; `done` counts what was asked and has its score, `total` may
    be set when it is known. `batch_size`: images in one call at most, or AUTO. `workers`: threads that call the
    classifier at once. `call_timeout`: seconds that one call may take. Whatever stops a measurer, it can be asked
    again, and `everything` is kept.
    """

    def __init__(
        self,
        classifier: Classifier,
        image: Image,
        fill: Fill,
        *,
        batch_size: int | str = 32,
        workers: int = 1,
        call_timeout: float | None = None,
        budget: int | None = None,
        progress: Progress | None = None,
        kind: Perturbations = NO_RECTANGLES,
    ) -> None:
        self._pace: float | None = (
            None  # seconds an image took at the batch size before, while it is being found
        )
        self._finding = batch_size == AUTO
        size = FIRST_BATCH if self._finding else whole_number("batch_size", batch_size, minimum=1)
        self.budget = None if budget is None else whole_number("budget", budget, minimum=1)
        self.calls = 0
        self.reused = 0  # of what was known: asked for and not measured
        self.total: int | None = None
        self._classifier, self._image, self._fill = classifier, image, fill
        self._most = max(1, MAX_BATCH_BYTES // image.nbytes)
        self.batch_size = min(size, self._most)
        self._call_timeout = call_timeout
        self._workers = whole_number("workers", workers, minimum=1)
        self._fits: int | None = None  # images of a batch for which the memory sufficed, once it did not
        self._progress = progress
        self._none = kind[:0]
        self._paint: Any = kind.painter(fill, image)
        self._sha256 = image_sha256(image)
        self._classes: int | None = None
        self._known: dict[bytes, NDArray[np.float64]] = {}
        self._asked: dict[bytes, None] = {}
        self._done = 0
        self._targets = np.empty(0, np.int64)
        self._original_row = np.empty(0)

    def measure_original(self) -> NDArray[np.float64]:
        """One call: the scores of the image as it is, (classes,)."""
        row: NDArray[np.float64] = self._score(self._image[None].copy(), "the original image".format)[0]
        self._classes, self._original_row = len(row), row
        return row

    def aim(self, targets: Sequence[int], known: Measurements | None = None) -> None:
        """Say which classes' scores are kept, and what is known of them; after `measure_original`.

        One call more when something is known: names of classifiers and of fill functions prove nothing, so the
        perturbation that matters most is measured again. It counts in `calls`, not towards the budget.

        Raises ArgumentError when `known` belongs to another image, fill, target or classifier.
        """
        self._targets = np.array(targets, np.int64)
        if known is None:
            return
        self._check_same(known)
        scores = known.scores[:, [known.column(target) for target in targets]]
        if len(known):
            self._check_one_again(known, scores)
        self._known = dict(zip(known.perturbations.keys(), scores, strict=True))

    def _check_same(self, known: Measurements) -> None:
        problems = [
            f"{what}: {theirs} there, {ours} here"
            for what, theirs, ours in (
                ("image size", known.shape, self._image.shape[:2]),
                ("image (SHA-256)", known.image_sha256, self._sha256),
                ("fill", known.fill, name_of(self._fill)),
                ("what is hidden", known.perturbations.hides, self._none.hides),
            )
            if theirs != ours
        ]
        missing = sorted(set(self._targets.tolist()) - set(known.targets.tolist()))
        if missing:
            problems.append(f"targets: {known.targets.tolist()} there, {missing} wanted too")
        else:
            theirs = known.original[[known.column(target) for target in self._targets.tolist()]]
            ours = self._original_row[self._targets]
            if not _same_scores(theirs, ours):
                problems.append(f"score of the original image: {theirs.tolist()} there, {ours.tolist()} here")
        if problems:
            raise ArgumentError(
                "expected measurements of the same image, fill, targets and classifier to resume from; they "
                f"differ in {'; '.join(problems)}. Start without resume"
            )

    def _check_one_again(self, known: Measurements, scores: NDArray[np.float64]) -> None:
        most = int(np.abs(known.effect(int(self._targets[0]))).argmax())
        one = known.perturbations[most : most + 1]
        ours = self._score(one.apply(self._image, self._paint), one.describe)[0, self._targets]
        if not _same_scores(scores[most], ours):
            raise ArgumentError(
                "expected measurements of the same classifier and fill to resume from, and measured one of them "
                f"again; with {one.describe(0)} the scores are {scores[most].tolist()} there, {ours.tolist()} here. "
                "Start without resume"
            )

    @property
    def left(self) -> int | None:
        """How many more perturbations the budget affords; None without a budget."""
        return None if self.budget is None else self.budget - 1 - len(self._asked)

    def measure(self, wanted: Perturbations) -> Measurements:
        """All that was asked so far, `wanted` included, in the order of asking.

        Raises BudgetError, before any call, when `wanted` goes beyond the budget; ClassifierError or
        ScoreError when the classifier fails.
        """
        fresh = [key for key in dict.fromkeys(wanted.keys()) if key not in self._asked]
        if self.left is not None and len(fresh) > self.left:
            raise BudgetError(
                f"expected a budget of at least {1 + len(self._asked) + len(fresh)} calls, got {self.budget}; "
                "raise the budget, or measure fewer regions (a smaller depth, a larger stride)"
            )
        if self.total is not None:  # a method that chooses as it goes may come to want more
            self.total = max(self.total, 1 + len(self._asked) + len(fresh))
        unknown = self._none.from_keys([key for key in fresh if key not in self._known])
        self._done = 1 + len(self._asked) + len(fresh) - len(unknown)
        self.reused += len(fresh) - len(unknown)
        if len(unknown) < len(fresh):
            self._report()
        while self._finding and len(unknown):
            unknown = self._measure_and_time(unknown)
        for batch, rows in self._scored(unknown.batches(self.batch_size, self._paint)):
            self._measured(batch, rows)
            del rows  # it holds the images
        self._asked.update(dict.fromkeys(fresh))  # not before: what failed can be asked again
        return self.asked()

    def _measure_and_time(self, unknown: Perturbations) -> Perturbations:
        """Measure one batch and learn from its time how large the next should be; gives what is left.

        Only speed depends on the size (and, with classifiers whose last bits differ from batch to batch, these).
        """
        (batch, paint), *_ = unknown[: self.batch_size].batches(self.batch_size, self._paint)
        images = batch.apply(self._image, paint)
        before = time.perf_counter()
        self._measured(batch, partial(self._score, images, batch.describe, self._again(batch)))
        pace = (time.perf_counter() - before) / len(batch)
        if len(batch) == self.batch_size:  # the last few say nothing of a full batch
            if self._fits is not None:
                self.batch_size, self._finding = self._fits, False
            elif self._pace is not None and pace > WORTH * self._pace:
                self._finding = False
                self.batch_size = self.batch_size if pace <= self._pace else max(1, self.batch_size // 2)
            elif self.batch_size == self._most:
                self._finding = False
            else:
                self._pace, self.batch_size = pace, min(2 * self.batch_size, self._most)
        return unknown[len(batch) :]

    def asked(self) -> Measurements:
        """What was asked so far, in the order of asking."""
        return self._collect(self._asked)

    def everything(self) -> Measurements:
        """What is known by now, asked or not: what a run that was stopped goes on from."""
        return self._collect(self._known)

    def _scored(
        self, batches: Iterator[tuple[Perturbations, Any]]
    ) -> Iterator[tuple[Perturbations, Callable[[], NDArray[np.float64]]]]:
        """Each batch with a function that gives its scores, in order; with workers, several are under way at once.

        Images are painted here and scored in the workers' threads. The batches are the same for any number of workers,
        and so is the result.
        """
        if self._workers == 1:
            for batch, images in self._painted_ahead(batches):
                yield batch, partial(self._score, images, batch.describe, self._again(batch))
                del images  # no more than two batches are in memory
            return
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="occlumap")
        under_way: deque[tuple[Perturbations, Callable[[], NDArray[np.float64]]]] = deque()
        try:
            for batch, paint in batches:
                images = batch.apply(self._image, paint)
                before = self.calls
                self.calls += len(images)
                work = partial(self._score_some, images, batch.describe, before, self._again(batch))
                under_way.append((batch, _started(pool, work)))
                if len(under_way) > self._workers:
                    yield under_way.popleft()
            yield from under_way
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _painted_ahead(
        self, batches: Iterator[tuple[Perturbations, Any]]
    ) -> Iterator[tuple[Perturbations, Image]]:
        """Each batch with its images; the next is painted, in a thread of its own, while the classifier sees one.

        Except with a fill of the user's: what they gave runs in the thread that called `explain`.
        """
        painted = ((batch, batch.apply(self._image, paint)) for batch, paint in batches)
        if not is_ours(self._fill):
            yield from painted
            return
        pool = ThreadPoolExecutor(1, thread_name_prefix="occlumap-painter")
        try:
            coming = _started(pool, partial(next, painted, None))
            while (ready := coming()) is not None:
                coming = _started(pool, partial(next, painted, None))
                yield ready
                del ready
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _again(self, batch: Perturbations) -> Callable[[], Image]:
        """Paints `batch` once more: the painter of `batches` has handed out its patches."""
        return partial(batch.apply, self._image, self._paint)

    def _measured(self, batch: Perturbations, scores: Callable[[], NDArray[np.float64]]) -> None:
        try:
            rows = scores()
        except ScoreError as error:
            if isinstance(error.good_rows, np.ndarray):
                self._remember(batch[: len(error.good_rows)], error.good_rows)
            raise
        self._remember(batch, rows)
        self._done += len(batch)
        self._report()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self.total)

    def _score(
        self, images: Image, describe: Callable[[int], str], again: Callable[[], Image] | None = None
    ) -> NDArray[np.float64]:
        before = self.calls
        self.calls += len(images)
        return self._score_some(images, describe, before, again)

    def _score_some(
        self,
        images: Image,
        describe: Callable[[int], str],
        before: int,
        again: Callable[[], Image] | None,
    ) -> NDArray[np.float64]:
        """Scores of `images`; in halves, and from then on in batches that small, when the memory does not suffice.

        `again` paints `images` anew, since the classifier may have changed them before its memory was full; None for
        a single image, which has no halves.
        """
        most = self._fits or len(images)
        if len(images) > most:
            parts = [
                self._score_some(
                    images[at : at + most], _later(describe, at), before + at, _part(again, at, at + most)
                )
                for at in range(0, len(images), most)
            ]
            return np.concatenate(parts)
        try:
            return score(
                self._classifier,
                images,
                classes=self._classes,
                calls_before=before,
                describe=describe,
                timeout=self._call_timeout,
            )
        except ClassifierError as error:
            if again is None or len(images) == 1 or not _out_of_memory(error.__cause__):
                raise
        self._fits = min(self._fits or len(images), max(1, len(images) // 2))
        warnings.warn(
            f"the classifier ran out of memory with {len(images)} images at once; going on with {self._fits}",
            OcclumapWarning,
            stacklevel=2,
        )
        return self._score_some(again(), describe, before, again)

    def _remember(self, batch: Perturbations, rows: NDArray[np.float64]) -> None:
        # only the targets' columns: at depth 5 all 1,000 classes would be 220 MB
        self._known.update(zip(batch.keys(), rows[:, self._targets], strict=True))

    def _collect(self, keys: Collection[bytes]) -> Measurements:
        rows = [self._known[key] for key in keys]
        return Measurements(
            (int(self._image.shape[0]), int(self._image.shape[1])),
            self._none.from_keys(keys),
            np.array(rows, np.float64).reshape(len(rows), len(self._targets)),
            self._targets,
            self._original_row[self._targets],
            self._sha256,
            name_of(self._fill),
        )


def _started(pool: ThreadPoolExecutor, work: Callable[[], Result]) -> Callable[[], Result]:
    """What gives the result of `work`, which `pool` does; where Python is ending and starts no threads, it does it."""
    try:
        return pool.submit(work).result
    except RuntimeError:
        return work


def _later(describe: Callable[[int], str], start: int) -> Callable[[int], str]:
    return lambda index: describe(start + index)


def _part(again: Callable[[], Image] | None, start: int, stop: int) -> Callable[[], Image] | None:
    return None if again is None else lambda: again()[start:stop]


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether that is what a framework says when the memory of machine or accelerator does not suffice."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or (
        error is not None
        and (type(error).__name__ == "OutOfMemoryError" or any(words in said for words in NO_MEMORY))
    )


def _same_scores(theirs: NDArray[np.float64], ours: NDArray[np.float64]) -> bool:
    """Equal but for what another batch size, thread count, or a noise of the classifier's own may change."""
    return np.allclose(theirs, ours, rtol=1e-2, atol=1e-6)
