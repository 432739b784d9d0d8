import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from occlumap.errors import ArgumentError, FillError, MissingDependencyError
from occlumap.fills import Blur, Constant, Custom, Inpaint, Mean, Neighbours, painter, parse
from occlumap.perturbations import joint_removals, removals
from tests.reference import paper as twin

FILLS = ["neighbours", "mean", "blur", "constant:1,20,255"]


@st.composite
def image_and_bounds(draw):
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    image = draw(arrays(np.uint8, (height, width, 3)))
    row_start, col_start = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    row_stop, col_stop = draw(st.integers(row_start + 1, height)), draw(st.integers(col_start + 1, width))
    return image, (row_start, row_stop, col_start, col_stop)


@pytest.mark.parametrize("name", FILLS)
@settings(max_examples=80, deadline=None)
@given(case=image_and_bounds())
def test_a_hidden_region_equals_the_plain_twins(name, case):
    image, bounds = case
    made = removals([bounds]).apply(image, parse(name).prepare(image))
    np.testing.assert_array_equal(made[0], twin.fill_pixels(image, bounds, name))


def test_neighbours_leave_corners_and_the_outside_of_the_image_out():
    image = np.zeros((3, 4, 3), np.uint8)
    image[0, 0], image[2, 1], image[0, 3] = 200, 90, 250
    made = removals([(0, 2, 1, 3)]).apply(image, Neighbours().prepare(image))
    # the ring: (0,0) (1,0) (0,3) (1,3) (2,1) (2,2)
    assert made[0, 0, 1].tolist() == [90, 90, 90]


def test_a_region_that_is_the_whole_image_takes_its_own_mean():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    for fill in (Neighbours(), Mean(), Inpaint()):
        made = removals([(0, 2, 0, 2)]).apply(image, fill.prepare(image))
        assert made[0].tolist() == [[[4, 6, 6]] * 2] * 2  # 4.5, 5.5, 6.5: halves to even


def test_blur_agrees_with_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    image = np.random.default_rng(3).integers(0, 256, (30, 47, 3)).astype(np.uint8)
    ours = removals([(0, 30, 0, 47)]).apply(image, Blur().prepare(image))[0].astype(int)
    theirs = ndimage.gaussian_filter(image.astype(float), (3.0, 3.0, 0), mode="reflect", truncate=4.0)
    assert np.abs(ours - np.rint(theirs)).max() <= 1


@pytest.mark.parametrize("algorithm", ["telea", "ns"])
def test_inpainting_continues_what_surrounds_the_region(algorithm):
    image = np.full((20, 20, 3), 180, np.uint8)
    image[8:12, 8:12] = 0
    made = removals([(8, 12, 8, 12)]).apply(image, Inpaint(algorithm).prepare(image))
    assert np.abs(made.astype(int) - 180).max() <= 2


def test_inpainting_without_opencv_names_the_extra(monkeypatch, white):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingDependencyError, match=r"pip install '\.\[opencv\]'"):
        Inpaint().prepare(white)


def test_a_function_fills_only_what_is_hidden(white):
    seen = []

    def black(image, mask):
        seen.append(int(mask.sum()))
        image[:] = 0
        return image

    made = removals([(0, 2, 0, 3), (1, 2, 1, 2)]).apply(white, parse(black).prepare(white))
    assert seen == [6, 1]
    assert [(image == 0).all(axis=2).sum() for image in made] == [6, 1]
    assert (white == 255).all()


@pytest.mark.parametrize("result", [np.zeros((16, 16, 3)), np.zeros((4, 4, 3), np.uint8), None])
def test_a_function_that_returns_something_else_is_an_error(white, result):
    with pytest.raises(
        FillError, match=r"expected the fill function to return a uint8 image of shape \(16, 16, 3\)"
    ):
        removals([(0, 2, 0, 3)]).apply(white, Custom(lambda image, mask: result).prepare(white))


@pytest.mark.parametrize(
    ("text", "fill"),
    [
        ("neighbours", Neighbours()),
        ("Mean", Mean()),
        ("blur", Blur()),
        ("constant", Constant((169, 169, 169))),
        ("constant:7", Constant((7, 7, 7))),
        ("constant:255, 0,0", Constant((255, 0, 0))),
        ("inpaint", Inpaint("telea")),
        ("inpaint:ns", Inpaint("ns")),
        (3, Constant((3, 3, 3))),
        (np.int64(169), Constant((169, 169, 169))),
        (np.array([1, 2, 3], np.uint8), Constant((1, 2, 3))),
        ((1, 2, 3), Constant((1, 2, 3))),
        (Blur(), Blur()),
    ],
)
def test_fills_are_read_from_text_and_written_as_it(text, fill):
    assert parse(text) == fill
    assert parse(str(fill)) == fill


@pytest.mark.parametrize(
    "wrong",
    [
        "neighbors",
        "constant:256",
        "constant:1,2",
        "constant:x",
        "constant:",
        "inpaint:magic",
        "mean:3",
        "",
        300,
        (1, 2),
        ("a", 0, 0),
        (None, 0, 0),
        (float("nan"), 0, 0),
        (float("inf"), 0, 0),
        (True, 0, 0),
        [[1], [2], [3]],
        np.zeros((3, 4, 3), np.uint8),
        None,
        Mean,
        np.array(169),
        1.5,
    ],
)
def test_what_is_no_fill_is_an_error(wrong):
    with pytest.raises(ArgumentError, match="expected"):
        parse(wrong)


def test_any_part_of_perturbations_can_be_taken():
    groups = [[(0, 1, 0, 1)], [(0, 1, 1, 2), (1, 2, 0, 1)], [], [(0, 2, 0, 2)], [(1, 2, 1, 2)]]
    perturbations = joint_removals(groups)
    for part in (slice(1, 4), slice(None, None, 2), slice(None, None, -1), slice(3, 1), slice(-2, None)):
        assert perturbations[part].keys() == joint_removals(groups[part]).keys()
    assert perturbations.from_keys(perturbations.keys()).starts.tolist() == perturbations.starts.tolist()


def test_a_misspelt_fill_offers_the_nearest():
    with pytest.raises(ArgumentError, match="did you mean neighbours"):
        parse("neighbors")


def test_regions_hidden_together_are_each_filled_from_the_original():
    image = np.zeros((2, 4, 3), np.uint8)
    image[:, 1] = 100
    image[:, 3] = 200
    both = joint_removals([[(0, 2, 0, 1), (0, 2, 1, 3)], [(0, 1, 0, 1)]])
    made = both.apply(image, Neighbours().prepare(image))
    assert made[0, 0, :, 0].tolist() == [100, 100, 100, 200]
    assert made[1, 0, 0].tolist() == [50, 50, 50]
    assert len(both) == 2
    assert both[1:].keys() == removals([(0, 1, 0, 1)]).keys()


class Painting:
    """A fill of the user's that paints whatever it was given."""

    def __init__(self, patches):
        self.patches = patches

    def prepare(self, image):
        return lambda bounds: self.patches

    def __str__(self):
        return "mine"


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        ([], "got fewer patches than the 1 regions"),
        ([np.zeros((1, 3), np.uint8)] * 2, "got more patches than the 1 regions"),
        ([np.full((2, 3, 3), 0.5)], "got float64"),
        ([np.zeros((3, 2, 3), np.uint8)], r"got an array of shape \(3, 2, 3\)"),
        ([np.zeros((1, 2, 3, 3), np.uint8)], r"got an array of shape \(1, 2, 3, 3\)"),
        ([(0, 0, 0)], "got tuple"),
        (None, "mine raised TypeError"),
    ],
)
def test_a_fill_that_paints_no_patch_for_each_region_is_an_error(white, patches, message):
    with pytest.raises(FillError, match=message):
        removals([(0, 2, 0, 3)]).apply(white, painter(Painting(patches), white))


@pytest.mark.parametrize("shape", [(3,), (1, 1, 3), (2, 1, 1), (2, 3, 3), ()])
def test_a_patch_may_be_anything_that_broadcasts_to_the_region(white, shape):
    patch = np.full(shape, 7, np.uint8)
    (made,) = removals([(0, 2, 0, 3)]).apply(white, painter(Painting([patch]), white))
    assert (made == 7).sum() == 2 * 3 * 3
