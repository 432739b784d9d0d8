"""Curves against values worked out by hand on an additive classifier."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlumap import evaluation
from occlumap.errors import ArgumentError, ImageError, TargetError
from occlumap.evaluation import Curve, comprehensiveness, deletion, insertion, lerf, morf, sufficiency
from occlumap.evaluation.curves import rankings

BLACK = np.zeros((2, 2, 3), np.uint8)
WHITE = np.full((2, 2, 3), 255, np.uint8)
WEIGHTS = np.array([[0.4, 0.3], [0.2, 0.1]])


class Additive:
    """Class 0 scores the sum of the weights of the white pixels."""

    def __init__(self, weights=WEIGHTS):
        self.weights, self.calls = np.asarray(weights), 0

    def __call__(self, batch):
        self.calls += len(batch)
        lit = (batch[..., 0] / 255.0 * self.weights).sum(axis=(1, 2))
        return np.stack([lit, 1 - lit], axis=1)


def test_deletion_hides_the_highest_first():
    curve = deletion(Additive(), WHITE, WEIGHTS, 0, BLACK, steps=4)
    np.testing.assert_allclose(curve.fractions, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.scores, [1, 0.6, 0.3, 0.1, 0])
    assert curve.auc == pytest.approx((0.8 + 0.45 + 0.2 + 0.05) / 4)


def test_insertion_shows_the_highest_first():
    curve = insertion(Additive(), WHITE, WEIGHTS, 0, BLACK, steps=4)
    np.testing.assert_allclose(curve.scores, [0, 0.4, 0.7, 0.9, 1])


def test_a_step_may_hide_several_pixels():
    curve = deletion(Additive(), WHITE, WEIGHTS, 0, BLACK, steps=2)
    np.testing.assert_allclose(curve.scores, [1, 0.3, 0])


def test_symmetric_relevance_gain_is_insertion_minus_deletion():
    gain = evaluation.symmetric_relevance_gain(Additive(), WHITE, WEIGHTS, 0, BLACK, steps=4)
    assert gain == pytest.approx(0.625 - 0.375)


def test_a_reversed_map_has_the_opposite_gain():
    gain = evaluation.symmetric_relevance_gain(Additive(), WHITE, -WEIGHTS, 0, BLACK, steps=4)
    assert gain == pytest.approx(-0.25)


def test_morf_is_deletion_and_lerf_hides_the_lowest_first():
    np.testing.assert_array_equal(
        morf(Additive(), WHITE, WEIGHTS, 0, BLACK, 4).scores,
        deletion(Additive(), WHITE, WEIGHTS, 0, BLACK, 4).scores,
    )
    np.testing.assert_allclose(lerf(Additive(), WHITE, WEIGHTS, 0, BLACK, 4).scores, [1, 0.9, 0.7, 0.4, 0])


def test_comprehensiveness_and_sufficiency_at_an_area():
    ends = (Additive(), WHITE, WEIGHTS, 0, BLACK)
    np.testing.assert_allclose(comprehensiveness(*ends, areas=[0.25, 0.5]), [0.4, 0.7])
    np.testing.assert_allclose(sufficiency(*ends, areas=[0.25, 0.5, 1]), [0.6, 0.3, 0])


def test_equal_values_are_ranked_by_chance_three_times_and_the_curve_is_their_mean():
    ranked = rankings(np.zeros((4, 4)), seed=3)
    assert len(ranked) == 3
    assert not np.array_equal(ranked[0], ranked[1])
    classifier = Additive()
    curve = deletion(classifier, WHITE, np.zeros((2, 2)), 0, BLACK, steps=4, seed=3)
    assert classifier.calls == 15
    orders = [np.argsort(ranks.ravel()) for ranks in rankings(np.zeros((2, 2)), seed=3)]
    by_hand = np.mean([1 - np.cumsum([0, *WEIGHTS.ravel()[order]]) for order in orders], axis=0)
    np.testing.assert_allclose(curve.scores, by_hand, atol=1e-12)


def test_equal_values_stay_together_in_every_ranking():
    for ranks in rankings([[5, 1], [5, 1]]):
        assert set(ranks[:, 0]) == {0, 1}


def test_different_values_need_one_ranking():
    classifier = Additive()
    deletion(classifier, WHITE, WEIGHTS, 0, BLACK, steps=4)
    assert classifier.calls == 5


@given(st.integers(0, 2**32), st.integers(1, 7), st.integers(1, 40))
def test_same_seed_same_bits_at_any_batch_size(seed, steps, batch_size):
    rng = np.random.default_rng(seed)
    heatmap = rng.integers(0, 3, (4, 5))
    image = rng.integers(0, 256, (4, 5, 3), np.uint8)
    classifier = Additive(rng.random((4, 5)))
    first = insertion(classifier, image, heatmap, 1, "noise", steps, seed=seed)
    again = insertion(classifier, image, heatmap, 1, "noise", steps, seed=seed, batch_size=batch_size)
    np.testing.assert_array_equal(first.scores, again.scores)


@given(st.integers(0, 2**32), st.sampled_from(["blur", "mean", "noise", "linear"]))
def test_both_curves_have_the_same_ends(seed, reference):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (6, 5, 3), np.uint8)
    ends = (Additive(rng.random((6, 5))), image, rng.random((6, 5)), 0, reference, 3)
    inserted, deleted = insertion(*ends).scores, deletion(*ends).scores
    np.testing.assert_array_equal([inserted[0], inserted[-1]], [deleted[-1], deleted[0]])


def test_normalised_only_when_asked():
    curve = deletion(Additive(WEIGHTS / 2), WHITE, WEIGHTS, 0, BLACK, steps=4)
    assert curve.scores[0] == pytest.approx(0.5)
    np.testing.assert_allclose(curve.normalised().scores, [1, 0.6, 0.3, 0.1, 0])
    with pytest.raises(ArgumentError, match="ends differ"):
        Curve(np.array([0.0, 1.0]), np.array([0.5, 0.5])).normalised()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"heatmap": np.zeros((3, 2))}, ArgumentError, r"\(2, 2\), got \(3, 2\)"),
        ({"heatmap": [[np.nan, 1], [1, 1]]}, ArgumentError, "finite"),
        ({"image": WHITE / 255.0}, ImageError, "uint8"),
        ({"image": WHITE[0]}, ImageError, "shape"),
        ({"target": 2}, TargetError, "0 to 1"),
        ({"reference": "grey"}, ArgumentError, "blur, mean"),
        ({"reference": np.zeros((3, 3, 3), np.uint8)}, ImageError, "shape"),
        ({"steps": 0}, ArgumentError, "steps"),
        ({"steps": 5}, ArgumentError, "from 1 to 4"),
    ],
)
def test_bad_input_is_told(change, error, message):
    arguments = {
        "classifier": Additive(),
        "image": WHITE,
        "heatmap": WEIGHTS,
        "target": 0,
        "reference": BLACK,
        "steps": 2,
    }
    for metric in (deletion, insertion):
        with pytest.raises(error, match=message):
            metric(**{**arguments, **change})


def test_a_heatmap_with_something_left_out_and_an_image_that_is_none_are_refused():
    with pytest.raises(ArgumentError, match="masked array"):
        comprehensiveness(Additive(), WHITE, np.ma.array(WEIGHTS, mask=WEIGHTS.min() < WEIGHTS), 0, BLACK)
    with pytest.raises(ImageError, match="expected image as uint8"):
        sufficiency(Additive(), WHITE.tolist(), WEIGHTS, 0, BLACK)


@pytest.mark.parametrize("areas", [[], [0], [1.5], "0.1"])
def test_areas_are_shares(areas):
    with pytest.raises(ArgumentError, match="areas"):
        comprehensiveness(Additive(), WHITE, WEIGHTS, 0, BLACK, areas)
