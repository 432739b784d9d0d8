import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from occlumap.errors import ArgumentError, ImageError, TargetError
from occlumap.evaluation.fidelity import (
    infidelity,
    pixel_drops,
    random_pixels,
    random_regions,
    random_squares,
    region_drops,
    region_prediction,
    sensitivity_n,
)
from occlumap.regions import Region

WHITE, BLACK = np.full((4, 5, 3), 255, np.uint8), np.zeros((4, 5, 3), np.uint8)
WEIGHTS = np.random.default_rng(8).normal(size=(4, 5))
REGIONS = [Region(0, 1, 0, 1), Region(0, 2, 1, 4), Region(2, 4, 0, 5), Region(1, 3, 2, 3), Region(0, 4, 0, 5)]
SUMS = [WEIGHTS[region.slices].sum() for region in REGIONS]


class Evidence:
    """Class 1 scores the sum of the weights of white pixels; class 0 its negative."""

    def __init__(self, weights=WEIGHTS):
        self.weights, self.batches = weights, []

    def __call__(self, batch):
        self.batches.append(len(batch))
        found = np.array([(image[:, :, 0] / 255 * self.weights).sum() for image in batch])
        return np.stack([-found, found], axis=1)


shapes = st.tuples(st.integers(1, 30), st.integers(1, 30))


@pytest.mark.parametrize("make", [random_regions, random_squares])
@settings(deadline=None)
@given(shape=shapes, count=st.integers(1, 20), seed=st.integers(0, 100))
def test_random_regions_have_pixels_inside_the_image(make, shape, count, seed):
    bounds = make(shape, count, seed)
    assert bounds.shape == (count, 4)
    assert (bounds[:, ::2] >= 0).all()
    assert (bounds[:, ::2] < bounds[:, 1::2]).all()
    assert (bounds[:, 1::2] <= shape).all()
    np.testing.assert_array_equal(bounds, make(shape, count, seed))


def test_random_regions_are_of_many_sizes_and_shapes_everywhere():
    bounds = random_regions((200, 400), count=2000)
    height, width = (bounds[:, 1] - bounds[:, 0]) / 200, (bounds[:, 3] - bounds[:, 2]) / 400
    area = height * width
    assert 0.009 < area.min() < 0.011
    assert 0.24 < area.max() < 0.26
    assert np.median(area) == pytest.approx(0.05, rel=0.1)  # the geometric mean of 1 % and 25 %
    assert 0.45 < (height / width).min() < 0.55
    assert 1.8 < (height / width).max() < 2.2
    covered = np.zeros((200, 400), bool)
    for region in bounds.tolist():
        covered[Region(*region).slices] = True
    assert covered.mean() > 0.99  # a corner pixel lies in few rectangles


def test_random_squares_are_square_from_a_tenth_to_half_of_the_shorter_side():
    bounds = random_squares((100, 300), count=2000)
    height, width = bounds[:, 1] - bounds[:, 0], bounds[:, 3] - bounds[:, 2]
    np.testing.assert_array_equal(height, width)
    assert (height.min(), height.max()) == (10, 50)


def test_regions_differ_between_seeds():
    assert (random_regions((50, 50), seed=1) != random_regions((50, 50), seed=2)).any()


@pytest.mark.parametrize("make", [random_regions, random_squares])
@pytest.mark.parametrize(("shape", "count"), [((5, 5), 0), ((0, 5), 3)])
def test_regions_need_pixels_and_a_count(make, shape, count):
    with pytest.raises(ArgumentError):
        make(shape, count)


@given(shape=shapes, seed=st.integers(0, 100), data=st.data())
def test_random_sets_have_the_size_asked(shape, seed, data):
    size = data.draw(st.integers(1, shape[0] * shape[1]))
    sets = random_pixels(shape, size, count=3, seed=seed)
    assert sets.shape == (3, *shape)
    assert (sets.sum(axis=(1, 2)) == size).all()
    np.testing.assert_array_equal(sets, random_pixels(shape, size, count=3, seed=seed))


def test_random_sets_favour_no_pixel():
    share = random_pixels((4, 5), size=5, count=4000).mean(axis=0)
    np.testing.assert_allclose(share, 0.25, atol=0.03)


@pytest.mark.parametrize("size", [0, 21])
def test_a_set_has_pixels_of_the_image(size):
    with pytest.raises(ArgumentError, match="from 1 to 20"):
        random_pixels((4, 5), size)


def test_the_drop_is_the_evidence_that_the_reference_hides():
    drops = region_drops(Evidence(), WHITE, 1, REGIONS, [BLACK])
    np.testing.assert_allclose(drops, [SUMS])
    np.testing.assert_allclose(region_drops(Evidence(), WHITE, 0, REGIONS, [BLACK]), [np.negative(SUMS)])


def test_each_reference_has_its_row():
    grey = np.full_like(WHITE, 51)  # a fifth of the evidence stays
    drops = region_drops(Evidence(), WHITE, 1, REGIONS, [WHITE, grey, lambda image, mask: BLACK, "mean"])
    np.testing.assert_allclose(drops, np.outer([0, 0.8, 1, 0], SUMS), atol=1e-12)


def test_a_function_as_reference_is_told_what_is_hidden():
    seen = []

    def reference(image, mask):
        seen.append(mask)
        return BLACK

    region_drops(Evidence(), WHITE, 1, REGIONS[:2], [reference])
    for mask, region in zip(seen, REGIONS, strict=False):
        expected = np.zeros((4, 5), bool)
        expected[region.slices] = True
        np.testing.assert_array_equal(mask, expected)


def test_drops_take_one_call_for_the_image_and_one_for_each_region_and_reference():
    classifier = Evidence()
    region_drops(classifier, WHITE, 1, REGIONS, [BLACK, WHITE], batch_size=4)
    assert classifier.batches == [4, 4, 3]


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_any_batch_size_gives_the_same_bits(batch_size):
    expected = region_drops(Evidence(), WHITE, 1, REGIONS, ["noise", BLACK])
    found = region_drops(Evidence(), WHITE, 1, REGIONS, ["noise", BLACK], batch_size)
    np.testing.assert_array_equal(found, expected)


def test_the_drop_of_a_set_is_the_evidence_in_it():
    sets = random_pixels((4, 5), size=7, count=6)
    drops = pixel_drops(Evidence(), WHITE, 1, sets, [BLACK, WHITE])
    np.testing.assert_allclose(drops, [[WEIGHTS[s].sum() for s in sets], np.zeros(6)], atol=1e-12)


@pytest.mark.parametrize("references", [[], "blur", BLACK, lambda image, mask: image])
def test_references_are_a_list(references):
    with pytest.raises(ArgumentError, match="list of one reference"):
        region_drops(Evidence(), WHITE, 1, REGIONS, references)


@pytest.mark.parametrize("regions", [[], [(0, 5, 0, 1)], [(1, 1, 0, 2)], np.ones((3, 2), int)])
def test_regions_lie_in_the_image(regions):
    for call in (
        lambda: region_drops(Evidence(), WHITE, 1, regions, [BLACK]),
        lambda: region_prediction(WEIGHTS, regions, np.arange(len(regions))),
        lambda: infidelity(WEIGHTS, regions, np.arange(len(regions)), scaled=True),
    ):
        with pytest.raises(ArgumentError, match="region"):
            call()


def test_images_and_targets_are_checked_at_the_door():
    with pytest.raises(ImageError):
        region_drops(Evidence(), WHITE / 255, 1, REGIONS, [BLACK])
    with pytest.raises(ImageError):
        pixel_drops(Evidence(), WHITE[0], 1, random_pixels((4, 5), 2), [BLACK])
    with pytest.raises(TargetError):
        region_drops(Evidence(), WHITE, 2, REGIONS, [BLACK])


# --- region prediction


def test_the_weights_of_an_additive_classifier_predict_every_region():
    drops = region_drops(Evidence(), WHITE, 1, REGIONS, [BLACK])
    found = region_prediction(WEIGHTS, REGIONS, drops[0])
    assert found.spearman == pytest.approx(1)
    assert found.r2 == pytest.approx(1)


def test_prediction_worked_by_hand():
    heatmap = [[1, 2, 3, 4]]
    found = region_prediction(heatmap, [(0, 1, k, k + 1) for k in range(4)], [2, 1, 3, 6])
    # ranks 1 2 3 4 against 2 1 3 4: 1 - 6 * 2 / (4 * 15); covariance 7 / sqrt(5 * 14)
    assert found.spearman == pytest.approx(0.8)
    assert found.r2 == pytest.approx(49 / 70)


def test_ties_take_their_average_rank():
    regions = [(0, 1, k, k + 1) for k in range(4)]
    # ranks 1.5 1.5 3 4 and 1 2.5 2.5 4: covariance 3.75 / sqrt(4.5 * 4.5)
    assert region_prediction([[1, 1, 2, 5]], regions, [0, 7, 7, 9]).spearman == pytest.approx(3.75 / 4.5)


def test_r2_gives_no_credit_for_a_heatmap_turned_upside_down():
    found = region_prediction(-WEIGHTS, REGIONS, SUMS)
    assert found.spearman == pytest.approx(-1)
    assert found.r2 == 0


@pytest.mark.parametrize("constant", [0, 0.1, -3])
def test_equal_sums_predict_nothing(constant):
    sizes = [(48, 300), (120, 120), (300, 48)]  # 14,400 pixels each, added up in other orders
    found = region_prediction(np.full((300, 300), constant), [(0, a, 0, b) for a, b in sizes], [1, 2, 3])
    assert (found.spearman, found.r2) == (0, 0)


def test_equal_drops_cannot_be_predicted():
    found = region_prediction(WEIGHTS, REGIONS, np.ones(5))
    assert np.isnan(found.spearman)
    assert np.isnan(found.r2)


def test_a_constant_heatmap_predicts_the_area():
    areas = [region.area for region in REGIONS]
    assert region_prediction(np.ones((4, 5)), REGIONS, areas).r2 == pytest.approx(1)


@given(
    heatmap=arrays(np.float64, (4, 5), elements=st.integers(-50, 50)),
    drops=arrays(np.float64, 5, elements=st.integers(-50, 50)),
    power=st.integers(-600, 600),
)
def test_predictions_are_correlations_in_any_unit(heatmap, drops, power):
    found = region_prediction(heatmap, REGIONS, drops)
    scaled = region_prediction(heatmap * 2.0**power, REGIONS, drops)
    if np.ptp(drops):
        assert -1 <= found.spearman <= 1
        assert 0 <= found.r2 <= 1
    assert scaled.spearman == pytest.approx(found.spearman, nan_ok=True)
    assert scaled.r2 == pytest.approx(found.r2, nan_ok=True)


@pytest.mark.parametrize("drops", [np.ones(4), np.ones((1, 5)), [1, 2, 3, 4, np.nan], [1, 2, 3, 4, np.inf]])
def test_drops_are_one_finite_number_for_each_region(drops):
    with pytest.raises(ArgumentError, match="drops"):
        region_prediction(WEIGHTS, REGIONS, drops)
    with pytest.raises(ArgumentError, match="drops"):
        sensitivity_n(WEIGHTS, random_pixels((4, 5), 3, count=5), drops)


def test_one_region_shows_no_relation():
    with pytest.raises(ArgumentError, match="2 regions"):
        region_prediction(WEIGHTS, REGIONS[:1], [1])
    with pytest.raises(ArgumentError, match="2 regions or sets"):
        sensitivity_n(WEIGHTS, random_pixels((4, 5), 3, count=1), [1])


# --- sensitivity-n


@pytest.mark.parametrize("size", [1, 4, 16])
def test_the_weights_of_an_additive_classifier_are_sensitive_for_every_n(size):
    sets = random_pixels((4, 5), size, count=30)
    drops = pixel_drops(Evidence(), WHITE, 1, sets, [BLACK])[0]
    assert sensitivity_n(WEIGHTS, sets, drops) == pytest.approx(1)
    assert sensitivity_n(-WEIGHTS, sets, drops) == pytest.approx(-1)
    assert sensitivity_n(WEIGHTS * 7 + 3, sets, drops) == pytest.approx(1)
    assert sensitivity_n(WEIGHTS * 1e160, sets, drops) == pytest.approx(1)
    assert sensitivity_n(WEIGHTS * 1e-170, sets, drops) == pytest.approx(1)


def test_sensitivity_worked_by_hand():
    sets = np.array([[[1, 1, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 1, 1]]], bool)
    # sums 3, 5, 7 and drops 1, 5, 3: covariance 2 * 2 / sqrt(8 * 8)
    assert sensitivity_n([[1, 2, 3, 4]], sets, [1, 5, 3]) == pytest.approx(0.5)


@pytest.mark.parametrize("constant", [0, 0.1])
def test_a_constant_heatmap_is_not_sensitive(constant):
    sets = random_pixels((4, 5), 7, count=30)
    assert sensitivity_n(np.full((4, 5), constant), sets, np.arange(30)) == 0


def test_equal_drops_give_no_sensitivity():
    assert np.isnan(sensitivity_n(WEIGHTS, random_pixels((4, 5), 7, count=3), np.ones(3)))


@pytest.mark.parametrize(
    "sets",
    [
        np.ones((3, 4, 5)),
        np.ones((3, 4, 4), bool),
        np.ones((4, 5), bool),
        np.ones((0, 4, 5), bool),
        np.zeros((3, 4, 5), bool),
    ],
)
def test_sets_are_bool_of_the_images_shape_with_pixels(sets):
    for call in (
        lambda: sensitivity_n(WEIGHTS, sets, np.arange(len(sets))),
        lambda: pixel_drops(Evidence(), WHITE, 1, sets, [BLACK]),
    ):
        with pytest.raises(ArgumentError, match="set"):
            call()


def test_sets_of_different_sizes_are_not_one_n():
    sets = np.concatenate([random_pixels((4, 5), 3, count=2), random_pixels((4, 5), 5, count=2)])
    with pytest.raises(ArgumentError, match="equally many"):
        sensitivity_n(WEIGHTS, sets, [1, 2, 3, 4])


# --- infidelity


def test_the_weights_of_an_additive_classifier_have_no_infidelity():
    drops = region_drops(Evidence(), WHITE, 1, REGIONS, [BLACK])[0]
    assert infidelity(WEIGHTS, REGIONS, drops, scaled=False) == pytest.approx(0, abs=1e-20)
    assert infidelity(WEIGHTS * 1000, REGIONS, drops, scaled=True) == pytest.approx(0, abs=1e-20)


def test_infidelity_worked_by_hand():
    regions = [(0, 1, 0, 1), (0, 1, 0, 2)]  # sums 1 and 3
    assert infidelity([[1, 2]], regions, [3, 4], scaled=False) == (2**2 + 1**2) / 2
    # the best factor is (1 * 3 + 3 * 4) / (1 + 9) = 1.5: errors 1.5 and 0.5
    assert infidelity([[1, 2]], regions, [3, 4], scaled=True) == pytest.approx((1.5**2 + 0.5**2) / 2)


@pytest.mark.parametrize("heatmap", [[[0, 0]], [[-1, -2]]])
def test_a_heatmap_of_zeros_or_upside_down_explains_nothing(heatmap):
    assert infidelity(heatmap, [(0, 1, 0, 1), (0, 1, 0, 2)], [3, 4], scaled=True) == (9 + 16) / 2


@given(
    heatmap=arrays(np.float64, (4, 5), elements=st.integers(-50, 50)),
    drops=arrays(np.float64, 5, elements=st.integers(-50, 50)),
    factor=st.floats(1e-3, 1e3),
)
def test_scaled_infidelity_is_the_least_over_all_positive_factors(heatmap, drops, factor):
    best = infidelity(heatmap, REGIONS, drops, scaled=True)
    assert 0 <= best <= np.mean(drops**2) * (1 + 1e-12)
    assert best <= infidelity(heatmap * factor, REGIONS, drops, scaled=False) * (1 + 1e-9) + 1e-9
    assert infidelity(heatmap * factor, REGIONS, drops, scaled=True) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("heatmap", [np.ones((3, 5)), np.ones((4, 5, 3)), np.full((4, 5), np.nan)])
def test_heatmaps_are_checked_at_the_door(heatmap):
    for call in (
        lambda: region_prediction(heatmap, REGIONS, SUMS),
        lambda: infidelity(heatmap, REGIONS, SUMS, scaled=False),
        lambda: sensitivity_n(heatmap, random_pixels((4, 5), 2, count=3), [1, 2, 3]),
    ):
        with pytest.raises(ArgumentError):
            call()
