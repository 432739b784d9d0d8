import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from occlumap.errors import ArgumentError, ImageError
from occlumap.evaluation.localisation import (
    box_mask,
    energy_inside,
    grid_pointing,
    mosaic,
    pointing_game,
    quadrant_of,
)
from occlumap.regions import Region

values = st.floats(-100, 100, width=32)


@st.composite
def heatmap_and_mask(draw):
    shape = draw(st.tuples(st.integers(2, 7), st.integers(2, 7)))
    mask = draw(arrays(np.bool_, shape).filter(np.any))
    return draw(arrays(np.float64, shape, elements=values)), mask


def one_colour(value, shape=(6, 6)):
    return np.full((*shape, 3), value, np.uint8)


def test_each_photograph_of_a_mosaic_fills_its_quadrant():
    made = mosaic([one_colour(v) for v in (10, 20, 30, 40)], [7, 3, 5, 1], (4, 5))
    assert made.dtype == np.uint8
    assert made[:, :, 1].tolist() == [[10, 10, 20, 20, 20]] * 2 + [[30, 30, 40, 40, 40]] * 2


def test_a_mosaic_takes_the_centre_of_a_photograph_by_pillows_bicubic():
    photograph = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
    made = mosaic([photograph, one_colour(0), one_colour(0), one_colour(0)], [0, 1, 2, 3], (16, 16))
    centre = Image.fromarray(photograph[:, 4:16]).resize((8, 8), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(made[:8, :8], np.asarray(centre))


@pytest.mark.parametrize(
    ("photographs", "classes"),
    [(4, [1, 2, 3, 1]), (4, [1, 2, 3]), (4, [1, 2, 3, 4, 1]), (3, [1, 2, 3, 4]), (5, [1, 2, 3, 4])],
)
def test_a_mosaic_needs_four_photographs_of_four_classes(photographs, classes):
    with pytest.raises(ArgumentError, match="four"):
        mosaic([one_colour(0)] * photographs, classes, (4, 4))


def test_a_mosaic_of_floats_is_refused():
    with pytest.raises(ImageError, match="photograph 2"):
        mosaic([one_colour(0), one_colour(0), np.zeros((6, 6, 3)), one_colour(0)], [0, 1, 2, 3], (4, 4))


@given(shape=st.tuples(st.integers(2, 9), st.integers(2, 9)))
def test_quadrants_tile_the_image(shape):
    count = np.zeros(shape, int)
    for quadrant in range(4):
        count[quadrant_of(shape, quadrant).slices] += 1
    assert (count == 1).all()


def test_grid_pointing_is_the_share_of_positive_attribution_in_the_quadrant():
    heatmap = np.array([[1, 1, 4, 0], [1, 1, -9, 2], [0, 0, -3, 1], [0, 0, 0, 1]])
    assert [grid_pointing(heatmap, quadrant) for quadrant in range(4)] == [4 / 12, 6 / 12, 0, 2 / 12]


@pytest.mark.parametrize("heatmap", [np.zeros((4, 4)), -np.eye(4), np.ones((4, 4))])
@pytest.mark.parametrize("quadrant", range(4))
def test_a_heatmap_that_says_nothing_gets_chance_in_the_grid(heatmap, quadrant):
    assert grid_pointing(heatmap, quadrant) == 0.25


@given(heatmap=arrays(np.float64, (5, 4), elements=values), factor=st.floats(1e-3, 1e3))
def test_grid_pointing_of_the_four_quadrants_sums_to_1_in_any_unit(heatmap, factor):
    shares = [grid_pointing(heatmap, quadrant) for quadrant in range(4)]
    assert sum(shares) == pytest.approx(1)
    assert [grid_pointing(heatmap * factor, quadrant) for quadrant in range(4)] == pytest.approx(shares)


def test_a_heatmap_of_one_row_has_no_quadrants():
    with pytest.raises(ArgumentError, match="2 x 2"):
        grid_pointing([[1, 2, 3]], 0)


@pytest.mark.parametrize("quadrant", [-1, 4, True])
def test_there_are_four_quadrants(quadrant):
    with pytest.raises(ArgumentError, match="from 0 to 3"):
        grid_pointing(np.eye(4), quadrant)


@pytest.mark.parametrize(("tolerance", "hit"), [(0, 0), (4.9, 0), (5, 1), (15, 1)])
def test_pointing_within_the_tolerance_of_the_mask_hits(tolerance, hit):
    heatmap, mask = np.zeros((8, 8)), np.zeros((8, 8), bool)
    heatmap[1, 1] = 1
    mask[4, 5] = mask[7, 7] = True  # 3 rows and 4 columns away: a distance of 5
    assert pointing_game(heatmap, mask, tolerance) == hit


def test_the_tolerance_of_the_paper_is_15_pixels():
    heatmap, mask = np.zeros((1, 40)), np.zeros((1, 40), bool)
    heatmap[0, 0] = mask[0, 15] = True
    assert pointing_game(heatmap, mask) == 1
    assert pointing_game(heatmap, np.roll(mask, 1)) == 0


def test_of_several_maxima_the_share_that_hits_counts():
    heatmap = np.array([[5, 5, 0, 5], [0, 0, 0, 5]])
    mask = np.array([[True, False, True, True], [False, False, False, False]])
    assert pointing_game(heatmap, mask, tolerance=0) == 2 / 4


@given(case=heatmap_and_mask(), tolerance=st.integers(0, 9))
def test_pointing_equals_its_plain_twin(case, tolerance):
    heatmap, mask = case
    hits = [
        any((row - r) ** 2 + (col - c) ** 2 <= tolerance**2 for r, c in np.argwhere(mask))
        for row, col in np.argwhere(heatmap == heatmap.max())
    ]
    assert pointing_game(heatmap, mask, tolerance) == pytest.approx(sum(hits) / len(hits))


@pytest.mark.parametrize("tolerance", [-1, float("nan")])
def test_a_tolerance_is_not_negative(tolerance):
    with pytest.raises(ArgumentError, match="tolerance"):
        pointing_game(np.eye(2), np.eye(2, dtype=bool), tolerance)


def test_energy_inside_leaves_negative_values_out():
    mask = np.array([[True, False], [True, False]])
    assert energy_inside([[3, 1], [-8, 2]], mask) == 3 / 6


def test_a_heatmap_without_energy_gets_the_masks_share_of_the_area():
    mask = np.array([[True, False, False, False]])
    for constant in (0, -2, 7):
        assert energy_inside(np.full((1, 4), constant), mask) == 0.25


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e308])
def test_energy_inside_survives_extreme_units(scale):
    mask = np.array([[True, True, True, False]])
    assert energy_inside(np.full((1, 4), scale), mask) == 0.75


@given(case=heatmap_and_mask(), factor=st.floats(1e-3, 1e3))
def test_energy_inside_is_a_share_in_any_unit(case, factor):
    heatmap, mask = case
    share = energy_inside(heatmap, mask)
    assert 0 <= share <= 1
    assert energy_inside(heatmap * factor, mask) == pytest.approx(share)
    if not mask.all():
        assert energy_inside(heatmap, ~mask) == pytest.approx(1 - share)


def test_a_box_mask_is_the_union_of_its_boxes():
    made = box_mask((3, 4), [Region(0, 2, 0, 2), Region(1, 3, 1, 4)])
    assert made.astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 1]]


@pytest.mark.parametrize(
    "boxes",
    [[], np.empty((0, 4), int), [(0, 2, 1, 1)], [(0, 4, 0, 1)], [(-1, 2, 0, 1)], [(0, 1, 0, 1.5)], [1]],
)
def test_boxes_have_a_pixel_and_lie_inside(boxes):
    with pytest.raises(ArgumentError, match="region"):
        box_mask((3, 4), boxes)


@pytest.mark.parametrize(
    "mask", [np.zeros((2, 2), bool), np.ones((2, 2)), np.ones((2, 3), bool), np.ones(2, bool)]
)
@pytest.mark.parametrize("metric", [pointing_game, energy_inside])
def test_a_mask_is_bool_of_the_heatmaps_shape_with_a_pixel(metric, mask):
    with pytest.raises(ArgumentError, match="mask"):
        metric(np.eye(2), mask)


@pytest.mark.parametrize(
    "heatmap",
    [np.ones((2, 2, 3)), np.ones(2), np.ones((0, 2)), [["a", "b"]], [[1, np.nan], [0, 0]], [[np.inf, 1]]],
)
def test_a_heatmap_has_two_axes_and_finite_values(heatmap):
    for metric in (pointing_game, energy_inside):
        with pytest.raises(ArgumentError, match=r"heatmap of numbers|finite values"):
            metric(heatmap, np.ones((2, 2), bool))
