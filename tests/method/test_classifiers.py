import numpy as np
import pytest

from occlumap.classifiers import name_of, score
from occlumap.errors import ClassifierError, ScoreError

BATCH = np.zeros((3, 8, 8, 3), np.uint8)


def always(value):
    def classifier(batch):
        return value

    return classifier


@pytest.mark.parametrize(
    "value", [np.ones((3, 2), np.float32), [[1, 2]] * 3, np.ones((3, 1), bool), np.ones((3, 4), int)]
)
def test_scores_become_float64(value):
    scores = score(always(value), BATCH)
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores, np.asarray(value, float))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones(3), r"expected scores of shape \(3, classes\), got \(3,\) from classifier .*wrap it"),
        (
            np.ones((2, 5)),
            r"expected scores of shape \(3, classes\), got \(2, 5\).*one row of scores for each image$",
        ),
        (np.ones(2), r"got \(2,\).*batched=False .*batched=false.*one_at_a_time"),
        (np.ones((3, 2, 1)), r"got \(3, 2, 1\)"),
        (np.ones((3, 0)), r"got \(3, 0\)"),
        (np.float64(1), r"got \(\)"),
        (None, "got values of type object"),
        ([["a", "b"]] * 3, "got values of type <U1"),
        (np.ones((3, 2), complex), "got values of type complex128"),
        ([[1], [1, 2], [1]], "does not turn into an array"),
    ],
)
def test_scores_of_the_wrong_shape_or_type_are_an_error(value, message):
    with pytest.raises(ScoreError, match=message):
        score(always(value), BATCH)


def test_a_changed_number_of_classes_is_an_error():
    with pytest.raises(
        ScoreError, match=r"expected scores of shape \(3, 5\) as in the calls before, got \(3, 2\)"
    ):
        score(always(np.ones((3, 2))), BATCH, classes=5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_name_the_call_and_keep_the_rows_before(bad):
    scores = np.ones((3, 4))
    scores[1, 2] = bad
    with pytest.raises(
        ScoreError, match="for class 2 from classifier .* in call 12 .image 1 of the batch"
    ) as caught:
        score(always(scores), BATCH, calls_before=10)
    np.testing.assert_array_equal(caught.value.good_rows, np.ones((1, 4)))


def test_an_exception_of_the_classifier_is_the_cause():
    def broken(batch):
        raise ZeroDivisionError("oh")

    with pytest.raises(ClassifierError, match=r"raised ZeroDivisionError: oh \(in calls 6 to 8") as caught:
        score(broken, BATCH, calls_before=5)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_name_of_a_classifier_is_its_own_or_its_functions(evidence):
    evidence.name = "lamp"
    assert name_of(evidence) == "lamp"
    assert name_of(always).endswith("test_classifiers:always")


def test_scores_whose_difference_no_float32_holds_are_an_error():
    with pytest.raises(
        ScoreError, match=r"1e\+38 in size at most, got -1e\+300 for class 1 .* call 2"
    ) as caught:
        score(always(np.array([[1, 1e38], [0, -1e300], [1, 1]])), BATCH)
    assert caught.value.good_rows.tolist() == [[1, 1e38]]
    assert score(always(np.full((3, 2), 1e38)), BATCH).max() == 1e38
