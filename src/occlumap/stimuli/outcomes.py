"""Average precision, thresholds and outcomes: plain arithmetic on scores and labels.

Labels are 1 present, -1 absent, 0 to be ignored (VOC's difficult objects). A class is recognised where its score is
above its threshold.
"""

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import one_of
from occlumap.errors import ArgumentError

DEFINITIONS = ("11-point", "all-points")
"""VOC 2007 to 2009 took the mean of eleven precisions, VOC 2010 and later the whole area under the curve."""


def average_precision(
    scores: NDArray[np.float64], labels: NDArray[np.int8], definition: str = "11-point"
) -> float:
    """AP (0..1) of one class by the VOC definition; NaN where no image shows it.

    Precision at a recall is the best at that recall or above. Images of equal score are told apart to the
    disadvantage of the classifier: the absent come first. Source: the VOC2008 and VOC2012 development kits.

    >>> average_precision(np.array([0.9, 0.8, 0.1]), np.array([1, -1, 1], dtype=np.int8), "all-points")
    0.8333333333333333
    """
    one_of("definition", definition, DEFINITIONS)
    scores, present = _counted(scores, labels)
    if not present.any():
        return float("nan")
    order = np.lexsort((present, -scores))
    hits = np.cumsum(present[order])
    recall = hits / hits[-1]
    precision = hits / np.arange(1, len(order) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if definition == "all-points":
        return float(np.sum(np.diff(recall, prepend=0.0) * best))
    tenths = np.arange(11) * hits[-1]  # in whole numbers: 0.3 of 10 must not miss by rounding
    reached = [best[hits * 10 >= tenth].max() for tenth in tenths]
    return float(np.mean(reached))


def best_threshold(scores: NDArray[np.float64], labels: NDArray[np.int8]) -> float:
    """The threshold with the greatest F1, half way between the two scores that it parts; the lowest of equals.

    Raises ArgumentError where no image shows the class, as F1 is undefined.

    >>> best_threshold(np.array([0.9, 0.6, 0.2]), np.array([1, 1, -1], dtype=np.int8))
    0.4
    """
    scores, present = _counted(scores, labels)
    if not present.any():
        raise ArgumentError(
            "expected images that show the class, got none; no threshold can be chosen for it"
        )
    values = np.unique(scores)  # rising
    edges = np.concatenate([[0.0], (values[:-1] + values[1:]) / 2])
    recognised = len(scores) - np.searchsorted(np.sort(scores), edges, side="right")
    hits = present.sum() - np.searchsorted(np.sort(scores[present]), edges, side="right")
    f1 = 2 * hits / (recognised + present.sum())
    return float(edges[int(np.argmax(f1))])


def outcomes(
    scores: NDArray[np.float64], labels: NDArray[np.int8], threshold: float | NDArray[np.float64]
) -> NDArray[np.str_]:
    """'TP', 'FP', 'FN' or 'TN' for every score, '' where the label is to be ignored; shapes broadcast.

    >>> outcomes(np.array([0.9, 0.9, 0.5, 0.1, 0.9]), np.array([1, -1, 1, -1, 0], dtype=np.int8), 0.5).tolist()
    ['TP', 'FP', 'FN', 'TN', '']
    """
    recognised = scores > threshold
    named = np.where(recognised, np.where(labels == 1, "TP", "FP"), np.where(labels == 1, "FN", "TN"))
    return np.where(labels == 0, "", named)


def _counted(
    scores: NDArray[np.float64], labels: NDArray[np.int8]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ArgumentError(
            f"expected as many scores as labels, got shapes {scores.shape} and {labels.shape}"
        )
    counts = labels != 0
    return scores[counts], labels[counts] == 1
