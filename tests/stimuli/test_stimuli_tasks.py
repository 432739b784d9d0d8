"""Tasks and examples: the rules of the text, against plain twins, over random predictions."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from occlumap.errors import StimuliError
from occlumap.stimuli.tasks import Predictions, choose, cosine_distances, mix, repetitions

FEW = {"TP": 1, "FP": 1, "FN": 1}
SOME = {"TP": 2, "FP": 1, "FN": 1}


def predictions(seed, count=80, levels=12):
    """Scores and embeddings on a coarse scale, so that there are many ties."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (count, 2)) / levels
    labels = rng.choice([1, -1, 0], (count, 2), p=[0.45, 0.45, 0.1]).astype(np.int8)
    names = tuple(f"{one:04d}" for one in rng.permutation(count))
    embeddings = rng.integers(0, 3, (count, 3)).astype(float)
    return Predictions(names, ("cat", "horse"), scores, labels, embeddings, {"cat": 0.5, "horse": 0.4})


def shuffled(one, seed):
    order = np.random.default_rng(seed).permutation(len(one.ids))
    ids = tuple(one.ids[row] for row in order)
    return Predictions(
        ids, one.classes, one.scores[order], one.labels[order], one.embeddings[order], one.thresholds
    )


def told(one, tasks):
    return [
        (task.id, one.ids[task.row], task.outcome, [(one.ids[ex.row], ex.outcome) for ex in task.examples])
        for task in tasks
    ]


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_tasks_and_examples_keep_the_rules(seed):
    given_ = predictions(seed)
    try:
        tasks = choose(given_, ["cat", "horse"], FEW, SOME)
    except StimuliError:
        assume(False)
    assert mix(tasks) == {label: {"TP": 1, "FP": 1, "FN": 1, "TN": 0} for label in ("cat", "horse")}
    rows = [task.row for task in tasks]
    assert len(set(rows)) == 6
    for task in tasks:
        named = given_.outcomes(task.label)
        assert named[task.row] == task.outcome
        assert [one.outcome for one in task.examples] == ["TP", "TP", "FP", "FN"]
        for one in task.examples:
            assert named[one.row] == one.outcome
            assert one.row not in rows
        # the plain twin: nobody of the same outcome who is free is nearer
        distances = cosine_distances(given_.embeddings, given_.embeddings[task.row])
        for outcome, count in SOME.items():
            free = [row for row in range(len(named)) if named[row] == outcome and row not in rows]
            expected = sorted(free, key=lambda row: (distances[row], given_.ids[row]))[:count]
            assert [one.row for one in task.examples if one.outcome == outcome] == expected


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_order_of_the_images_changes_nothing(seed):
    one = predictions(seed)
    other = shuffled(one, seed + 1)
    try:
        tasks = choose(one, ["cat", "horse"], FEW, SOME, seed=3)
    except StimuliError:
        with pytest.raises(StimuliError):
            choose(other, ["cat", "horse"], FEW, SOME, seed=3)
        return
    assert told(one, tasks) == told(other, choose(other, ["cat", "horse"], FEW, SOME, seed=3))


def test_a_task_has_the_score_nearest_to_the_median():
    scores = np.array([[0.6], [0.7], [0.9], [0.95], [0.99]])
    labels = np.ones((5, 1), dtype=np.int8)
    given_ = Predictions(tuple("abcde"), ("cat",), scores, labels, np.eye(5), {"cat": 0.5})
    (task,) = choose(given_, ["cat"], {"TP": 1}, {})
    assert (given_.ids[task.row], task.rank) == ("c", 0)


def test_every_shortage_is_told_and_nothing_put_in_its_place():
    scores = np.array([[0.9], [0.8], [0.1]])
    labels = np.array([[1], [-1], [1]], dtype=np.int8)
    given_ = Predictions(tuple("abc"), ("cat",), scores, labels, np.eye(3), {"cat": 0.5})
    with pytest.raises(StimuliError) as caught:
        choose(given_, ["cat"], {"TP": 1, "FP": 1}, {"TP": 1, "FP": 3, "FN": 1})
    assert "cat: 1 tasks and 1 examples TP need 2 images, there are 1" in str(caught.value)
    assert "cat: 1 tasks and 3 examples FP need 4 images, there are 1" in str(caught.value)
    assert "FN" not in str(caught.value)


def test_a_class_or_an_outcome_that_does_not_exist_is_refused():
    with pytest.raises(StimuliError, match="zebra"):
        choose(predictions(0), ["zebra"])
    with pytest.raises(StimuliError, match="PT"):
        choose(predictions(0), ["cat"], {"PT": 1})
    with pytest.raises(StimuliError, match="3"):
        choose(predictions(0), [3])


def test_repetitions_are_counted():
    tasks = choose(predictions(1, 200), ["cat"], {"TP": 3}, {"TP": 5})
    shown = [one.row for task in tasks for one in task.examples]
    assert repetitions(tasks) == {row: shown.count(row) for row in sorted(set(shown)) if shown.count(row) > 1}


def test_distances_of_what_has_no_length_are_one():
    distances = cosine_distances(
        np.array([[0.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [0.0, 3.0]]), np.array([1.0, 0.0])
    )
    assert distances.tolist() == [1.0, 0.0, 2.0, 1.0]
