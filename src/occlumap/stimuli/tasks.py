"""Choose tasks and examples: plain arithmetic on scores, labels and embeddings; nothing here sees an image.

Source: section 5.4.1 for the twelve examples, section 5.4.1 and study.md (A.3) for the rules that the text leaves open.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import nearest
from occlumap.errors import StimuliError
from occlumap.stimuli.outcomes import outcomes
from occlumap.stimuli.schema import OUTCOMES

TASKS = {"TP": 3, "FP": 2, "FN": 2, "TN": 0}
EXAMPLES = {"TP": 6, "FP": 3, "FN": 3}
DIGITS = 9
"""Distances that differ by less are equal, and the image's id decides."""
SCORE_DIGITS = 6
"""Scores that differ by less are equally near to the median: in another batch an image's score differs by less."""


@dataclass(frozen=True)
class Predictions:
    """What the studied classifier made of the images: scores and labels (images, classes), embeddings (images, n).

    pictures: a hash of every image's pixels; of those with the same only that of the first id counts. () when none are
    known to be copies.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    scores: NDArray[np.float64]
    labels: NDArray[np.int8]
    embeddings: NDArray[np.float64]
    thresholds: Mapping[str, float]
    pictures: tuple[str, ...] = ()

    def outcomes(self, label: str) -> NDArray[np.str_]:
        """The outcome of every image for the class, '' where it shows it only as a difficult object, and of copies."""
        col = self.classes.index(label)
        named = outcomes(self.scores[:, col], self.labels[:, col], self.thresholds[label])
        return np.where(np.isin(self.ids, list(self.copies())), "", named)

    def copies(self) -> dict[str, str]:
        """Images that show the same pixels as another: their id, and the id of the one that is kept (the first).

        The same picture as task and example would give the outcome away.
        """
        kept: dict[str, str] = {}
        found = {}
        for name, picture in sorted(zip(self.ids, self.pictures, strict=bool(self.pictures))):
            if kept.setdefault(picture, name) != name:
                found[name] = kept[picture]
        return found


@dataclass(frozen=True)
class Example:
    """An image that explains: its row, its outcome, and its distance (0..2) to the task's image."""

    row: int
    outcome: str
    distance: float


@dataclass(frozen=True)
class Task:
    """An image to predict for, and its examples. rank: 0 is nearest to the median score of class and outcome."""

    id: str
    label: str
    row: int
    outcome: str
    rank: int
    examples: tuple[Example, ...]


def choose(
    predictions: Predictions,
    classes: Sequence[str],
    tasks: Mapping[str, int] | None = None,
    examples: Mapping[str, int] | None = None,
    seed: int = 0,
) -> list[Task]:
    """Tasks of mid-range score for each class, each with the most similar images of every outcome.

    tasks, examples: how many of each outcome, TASKS and EXAMPLES when None. A task's image is that whose score is
    nearest to the median of its class and outcome; examples are nearest by cosine distance of the embeddings. No task's
    image, of any class, is an example or another task, nor is a copy of one. Equal ones go by id; the seed gives the
    tasks' ids, and tasks stand in the order of these within a class, so that their order tells nothing. Raises
    StimuliError, which tells every shortage, where there are too few images.
    """
    tasks, examples = (
        dict(TASKS if tasks is None else tasks),
        dict(EXAMPLES if examples is None else examples),
    )
    wrong = [one for one in (*tasks, *examples) if one not in OUTCOMES]
    unknown = [one for one in classes if one not in predictions.classes]
    if wrong:
        raise StimuliError(f"expected outcomes among {', '.join(OUTCOMES)}, got {', '.join(map(str, wrong))}")
    if unknown:
        raise StimuliError(
            f"expected classes that the model knows ({', '.join(predictions.classes)}), got "
            f"{', '.join(map(str, unknown))}{nearest(unknown[0], predictions.classes)}"
        )
    chosen, taken = _tasks(predictions, classes, tasks)
    lacking = _shortages(predictions, classes, tasks, examples, chosen, taken)
    if lacking:
        copies = len(predictions.copies())
        if copies:
            lacking.append(f"({copies} images show the same pixels as another and do not count)")
        raise StimuliError(
            "there are too few images:\n  "
            + "\n  ".join(lacking)
            + "\ntake more images, ask for fewer, or stop training "
            "earlier (--stop-at-ap) for more mistakes; nothing was put in their place"
        )
    made = [
        Task(
            _id(seed, label, predictions.ids[row]),
            label,
            row,
            outcome,
            rank,
            _examples(predictions, label, row, examples, taken),
        )
        for label, row, outcome, rank in chosen
    ]
    return sorted(made, key=lambda one: (classes.index(one.label), one.id))


def _tasks(
    predictions: Predictions, classes: Sequence[str], tasks: Mapping[str, int]
) -> tuple[list[tuple[str, int, str, int]], set[int]]:
    """(class, row, outcome, rank) of every task, and the rows that they take; fewer than asked where there are."""
    chosen: list[tuple[str, int, str, int]] = []
    taken: set[int] = set()
    for label in classes:
        for outcome in OUTCOMES:
            ranked = _mid_range(predictions, label, outcome)
            free = [(rank, row) for rank, row in enumerate(ranked) if row not in taken]
            for rank, row in free[: tasks.get(outcome, 0)]:
                chosen.append((label, row, outcome, rank))
                taken.add(row)
    return chosen, taken


def _shortages(
    predictions: Predictions,
    classes: Sequence[str],
    tasks: Mapping[str, int],
    examples: Mapping[str, int],
    chosen: Sequence[tuple[str, int, str, int]],
    taken: set[int],
) -> list[str]:
    """A sentence for every class and outcome of which there are too few images; none when all is well."""
    found = []
    for label in classes:
        named = predictions.outcomes(label)
        for outcome in OUTCOMES:
            rows = {int(one) for one in np.flatnonzero(named == outcome)}
            made = sum((one[0], one[2]) == (label, outcome) for one in chosen)
            wanted = (tasks.get(outcome, 0), examples.get(outcome, 0))
            if made < wanted[0] or len(rows - taken) < wanted[1]:
                elsewhere = len(rows & taken) - made
                found.append(
                    f"{label}: {wanted[0]} tasks and {wanted[1]} examples {outcome} need {sum(wanted)} images, there "
                    f"are {len(rows)}"
                    + (
                        f", {elsewhere} of them taken by tasks of another class or outcome"
                        if elsewhere
                        else ""
                    )
                )
    return found


def repetitions(tasks: Sequence[Task]) -> dict[int, int]:
    """How many tasks show an image as an example, for those that more than one shows."""
    counts = Counter(one.row for task in tasks for one in task.examples)
    return {row: count for row, count in sorted(counts.items()) if count > 1}


def mix(tasks: Sequence[Task]) -> dict[str, dict[str, int]]:
    """Tasks by class and outcome."""
    counts: dict[str, dict[str, int]] = {}
    for one in tasks:
        counts.setdefault(one.label, dict.fromkeys(OUTCOMES, 0))[one.outcome] += 1
    return counts


def cosine_distances(vectors: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - cosine (0..2) of every row of `vectors` to `to`; 1 where either has no length."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(to)
    products = vectors @ to
    cosine = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return np.asarray(np.clip(1 - cosine, 0, 2).round(DIGITS))


def _mid_range(predictions: Predictions, label: str, outcome: str) -> list[int]:
    """Rows of that outcome, nearest to its median score first."""
    col = predictions.classes.index(label)
    rows = np.flatnonzero(predictions.outcomes(label) == outcome)
    if not len(rows):
        return []
    scores = predictions.scores[rows, col].round(SCORE_DIGITS)
    away = np.abs(scores - np.median(scores)).round(DIGITS)
    return [
        row
        for _, _, row in sorted(
            (far, predictions.ids[row], int(row)) for far, row in zip(away, rows, strict=True)
        )
    ]


def _examples(
    predictions: Predictions, label: str, row: int, wanted: Mapping[str, int], taken: set[int]
) -> tuple[Example, ...]:
    named = predictions.outcomes(label)
    found = []
    for outcome in OUTCOMES:
        rows = [int(one) for one in np.flatnonzero(named == outcome) if int(one) not in taken]
        distances = cosine_distances(predictions.embeddings[rows], predictions.embeddings[row])
        nearest = sorted(
            (far, predictions.ids[one], one) for far, one in zip(distances.tolist(), rows, strict=True)
        )
        found += [Example(one, outcome, far) for far, _, one in nearest[: wanted.get(outcome, 0)]]
    return tuple(found)


def _id(seed: int, label: str, name: str) -> str:
    return hashlib.sha256(f"{seed}\n{label}\n{name}".encode()).hexdigest()[:8]
