import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from occlumap.classifiers import score
from occlumap.errors import ArgumentError, ImageError, ScoreError, TargetError
from occlumap.evaluation.sanity import other_class, randomised_outputs, repeatability, similarity

IMAGE = np.zeros((2, 2, 3), np.uint8)


class Ranked:
    """Class k always scores (k + 1) / 10."""

    input_size = (2, 2)

    def __init__(self, classes):
        self.classes = [f"class {k}" for k in range(classes)]
        self.name = "ranked"

    def __call__(self, batch):
        return np.tile((np.arange(len(self.classes)) + 1) / 10, (len(batch), 1))


def spearman_by_hand(first, second):
    def ranks(values):
        flat = np.ravel(values)
        return np.array([(flat < v).sum() + ((flat == v).sum() + 1) / 2 for v in flat])

    a, b = (ranks(values) - ranks(values).mean() for values in (first, second))
    return (a @ b) / np.sqrt((a @ a) * (b @ b))


@given(classes=st.integers(2, 40), seed=st.integers(0, 1000))
def test_randomised_outputs_leave_no_class_in_its_place_and_lose_none(classes, seed):
    original = Ranked(classes)
    (scores,) = original(IMAGE[None])
    (randomised,) = randomised_outputs(original, seed)(IMAGE[None])
    assert sorted(randomised) == sorted(scores)
    assert (randomised != scores).all()


def test_randomised_outputs_are_the_same_for_a_seed_and_differ_between_seeds():
    batch = IMAGE[None]
    first, again, other = (randomised_outputs(Ranked(50), seed)(batch) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_every_permutation_without_a_fixed_place_of_three_classes_occurs():
    orders = {tuple(randomised_outputs(Ranked(3), seed).columns(3)) for seed in range(30)}
    assert orders == {(1, 2, 0), (2, 0, 1)}


def test_all_images_of_a_batch_are_permuted_alike():
    def by_brightness(batch):
        return batch.mean(axis=(1, 2, 3))[:, None] * np.array([1, 10, 100])

    batch = np.stack([IMAGE + 1, IMAGE + 2])
    dark, bright = randomised_outputs(by_brightness, 0)(batch)
    np.testing.assert_array_equal(bright, 2 * dark)


def test_randomised_outputs_keep_the_names_and_the_input_size():
    randomised = randomised_outputs(Ranked(3), 5)
    assert randomised.classes == ["class 0", "class 1", "class 2"]
    assert randomised.input_size == (2, 2)
    assert randomised.name == "randomised-5:ranked"


def test_randomised_outputs_of_a_plain_function_have_no_names():
    randomised = randomised_outputs(lambda batch: Ranked(3)(batch), 5)
    assert getattr(randomised, "classes", None) is None
    assert getattr(randomised, "input_size", None) is None


def test_a_single_class_cannot_be_permuted():
    with pytest.raises(ScoreError, match="two classes"):
        score(randomised_outputs(Ranked(1), 0), IMAGE[None])


def test_bad_scores_stay_bad_when_randomised():
    with pytest.raises(ScoreError, match="finite"):
        score(randomised_outputs(lambda batch: np.full((len(batch), 2), np.nan), 0), IMAGE[None])


def test_scores_of_the_wrong_shape_are_reported_as_the_originals():
    with pytest.raises(ScoreError, match="only_one"):
        score(randomised_outputs(only_one, 0), IMAGE[None])


def only_one(batch):
    return np.ones(len(batch))


def test_the_other_class_is_the_highest_but_the_target():
    assert other_class(Ranked(4), IMAGE, target=3) == 2
    assert other_class(Ranked(4), IMAGE, target=0) == 3


def test_of_equal_other_classes_the_first_is_taken():
    assert other_class(lambda batch: np.ones((len(batch), 3)), IMAGE, target=0) == 1


@pytest.mark.parametrize(("classes", "target"), [(3, 3), (3, -1), (1, 0)])
def test_there_must_be_another_class(classes, target):
    with pytest.raises(TargetError):
        other_class(Ranked(classes), IMAGE, target)


def test_the_other_class_is_asked_of_an_image():
    with pytest.raises(ImageError):
        other_class(Ranked(3), IMAGE / 255, 0)


def test_similarity_ranks_ties_by_their_average():
    # ranks 1.5 1.5 3 4 and 1 2 3 4
    assert similarity([[1, 1], [2, 3]], [[1, 2], [3, 4]]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))


@given(pair=arrays(np.float64, (2, 3, 4), elements=st.integers(-3, 3)))
def test_similarity_equals_its_plain_twin_and_is_symmetric(pair):
    first, second = pair
    found = similarity(first, second)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearman_by_hand(first, second))
        assert found == pytest.approx(similarity(second, first))


def test_a_rising_function_changes_no_similarity():
    first, second = np.random.default_rng(0).random((2, 4, 5))
    assert similarity(first**3, 5 + second * 7) == pytest.approx(similarity(first, second))


def test_equal_and_opposite_rankings():
    heatmap = np.random.default_rng(0).random((4, 5))
    assert similarity(heatmap, heatmap) == pytest.approx(1)
    assert similarity(heatmap, -heatmap) == pytest.approx(-1)


@pytest.mark.parametrize("constant", [0, 0.1])
def test_a_constant_heatmap_has_no_similarity(constant):
    varied = np.arange(6.0).reshape(2, 3)
    assert np.isnan(similarity(np.full((2, 3), constant), varied))
    assert np.isnan(similarity(varied, np.full((2, 3), constant)))


def test_repeatability_gives_the_largest_difference_and_the_rank_correlation():
    found = repeatability([[1, 2], [3, 4]], [[1, 5], [0, 4.5]])
    assert found.difference == 3
    assert found.spearman == pytest.approx(spearman_by_hand([1, 2, 3, 4], [1, 5, 0, 4.5]))
    assert repeatability([[0, 4]], [[1, 2]]).difference == repeatability([[1, 2]], [[0, 4]]).difference == 2


def test_equal_constant_heatmaps_differ_by_nothing():
    found = repeatability(np.zeros((2, 2)), np.zeros((2, 2)))
    assert found.difference == 0
    assert np.isnan(found.spearman)


@pytest.mark.parametrize("compare", [similarity, repeatability])
@pytest.mark.parametrize("other", [np.ones((2, 3)), [[1, 2], [3, np.nan]], np.ones(4)])
def test_only_heatmaps_of_one_shape_compare(compare, other):
    with pytest.raises(ArgumentError, match="heatmap"):
        compare([[1, 2], [3, 4]], other)
