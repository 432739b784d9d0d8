"""Average precision, thresholds, outcomes: against plain twins and what can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlumap.errors import ArgumentError
from occlumap.stimuli.outcomes import average_precision, best_threshold, outcomes

CASES = st.lists(
    st.tuples(st.integers(0, 6).map(lambda one: one / 8), st.sampled_from([1, -1, 0])),
    min_size=1,
    max_size=25,
)


def arrays(cases):
    return np.array([score for score, _ in cases]), np.array([label for _, label in cases], dtype=np.int8)


def plain_ap(cases, definition):
    ranked = sorted((case for case in cases if case[1] != 0), key=lambda case: (-case[0], case[1]))
    positives = sum(label == 1 for _, label in ranked)
    points, hits = [], 0
    for rank, (_, label) in enumerate(ranked, start=1):
        hits += label == 1
        points.append((hits, hits / rank))
    best = lambda wanted: max((precision for hits, precision in points if hits * 10 >= wanted), default=0.0)  # noqa: E731
    if definition == "11-point":
        return sum(best(tenth * positives) for tenth in range(11)) / 11
    return sum(best(10 * hit) for hit in range(1, positives + 1)) / positives


def f1(cases, threshold):
    counted = [case for case in cases if case[1] != 0]
    hits = sum(score > threshold and label == 1 for score, label in counted)
    return (
        2 * hits / (sum(score > threshold for score, _ in counted) + sum(label == 1 for _, label in counted))
    )


@given(CASES, st.sampled_from(["11-point", "all-points"]))
def test_average_precision_equals_the_definition_written_plainly(cases, definition):
    scores, labels = arrays(cases)
    found = average_precision(scores, labels, definition)
    if not (labels == 1).any():
        assert np.isnan(found)
    else:
        assert found == pytest.approx(plain_ap(cases, definition))


def test_average_precision_of_a_hand_worked_ranking():
    """Right, wrong, right: precision 1 to recall a half, then two thirds: 6 of 11 points at 1, 5 at 2/3."""
    labels = np.array([1, -1, 1], dtype=np.int8)
    scores = np.array([0.9, 0.5, 0.1])
    assert average_precision(scores, labels) == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert average_precision(scores, labels, "all-points") == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_equal_scores_are_not_to_the_classifiers_advantage():
    labels = np.array([1, -1, -1, 1], dtype=np.int8)
    assert average_precision(np.zeros(4), labels, "all-points") == pytest.approx(0.5)


@given(CASES)
def test_no_threshold_has_a_better_f1(cases):
    scores, labels = arrays(cases)
    if not (labels == 1).any():
        with pytest.raises(ArgumentError, match="none"):
            best_threshold(scores, labels)
        return
    found = best_threshold(scores, labels)
    assert 0 <= found < 1
    assert f1(cases, found) == pytest.approx(max(f1(cases, one / 16) for one in range(17)))


@given(CASES, st.integers(0, 8).map(lambda one: one / 8))
def test_every_score_has_its_outcome(cases, threshold):
    scores, labels = arrays(cases)
    for score, label, outcome in zip(scores, labels, outcomes(scores, labels, threshold), strict=True):
        if label == 0:
            assert outcome == ""
        else:
            assert (outcome in ("TP", "FP")) == (score > threshold)
            assert (outcome in ("TP", "FN")) == (label == 1)


def test_labels_and_scores_of_different_lengths_are_refused():
    with pytest.raises(ArgumentError, match="as many"):
        average_precision(np.zeros(3), np.zeros(2, dtype=np.int8))
    with pytest.raises(ArgumentError, match="11-point"):
        average_precision(np.zeros(3), np.zeros(3, dtype=np.int8), "12-point")
