"""The peers that run through their own libraries, RISE, and our own methods under a budget."""

import numpy as np
import pytest

from occlumap.errors import BudgetError
from occlumap.evaluation.methods import METHODS, installed
from occlumap.evaluation.peers import rise
from occlumap.evaluation.peers.single_scale import smallest_window

SPENDING = [name for name in installed() if METHODS[name].spends_calls]
CONTROLS = [name for name in installed() if not METHODS[name].spends_calls]


class SquareDetector:
    """Class 1 scores how white a square is, up to 0.9; class 0 the rest of 1."""

    def __init__(self, rows=slice(16, 32), cols=slice(32, 48)):
        self.rows, self.cols, self.calls, self.batches = rows, cols, 0, 0

    def __call__(self, batch):
        assert batch.dtype == np.uint8
        self.calls += len(batch)
        self.batches += 1
        lit = batch[:, self.rows, self.cols].astype(np.float64).mean(axis=(1, 2, 3)) / 255 * 0.9
        return np.stack([1 - lit, lit], axis=1)


@pytest.fixture(scope="module")
def image():
    """A white square on dark ones of many colours, so that superpixels have something to follow."""
    colours = np.random.default_rng(0).integers(0, 120, (8, 7, 3), np.uint8)
    picture = colours.repeat(8, axis=0).repeat(8, axis=1)
    picture[16:32, 32:48] = 255
    return picture


@pytest.mark.parametrize("name", SPENDING)
def test_finds_the_square_within_its_budget(name, image):
    classifier = SquareDetector()
    heatmap = METHODS[name].run(image, classifier, 1, 300, 0)
    assert heatmap.shape == (64, 56)
    assert heatmap.dtype == np.float32
    assert 0 < classifier.calls <= 300
    inside = heatmap[18:30, 34:46].mean()
    outside = np.ones(heatmap.shape, bool)
    outside[8:40, 24:56] = False
    assert inside > heatmap[outside].mean() + 2 * heatmap[outside].std()


@pytest.mark.parametrize("name", [name for name in SPENDING if name not in ("sobol", "hsic")])  # no sign
def test_explains_the_class_asked_for(name, image):
    heatmap = METHODS[name].run(image, SquareDetector(), 0, 300, 0)
    outside = np.ones(heatmap.shape, bool)
    outside[8:40, 24:56] = False
    assert heatmap[18:30, 34:46].mean() <= heatmap[outside].mean()


@pytest.mark.parametrize("name", installed())
def test_the_same_seed_gives_the_same_bits_and_leaves_the_image_and_numpy_alone(name, image):
    before, state = image.copy(), np.random.get_state()[1].copy()  # noqa: NPY002 - that is what is watched
    first, again = (METHODS[name].run(image, SquareDetector(), 1, 120, 7) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("name", ["rise", "rise_blurred", "lime", "random"])
def test_another_seed_gives_another_map(name, image):
    first, other = (METHODS[name].run(image, SquareDetector(), 1, 50, seed) for seed in (0, 1))
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["lime", "shap_partition", "shap_kernel", "single_scale", "paper"])
def test_too_few_calls_are_told(name, image):
    with pytest.raises(BudgetError, match="calls"):
        METHODS[name].run(image, SquareDetector(), 1, 1, 0)


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_ask_nothing(name, image):
    classifier = SquareDetector()
    heatmap = METHODS[name].run(image, classifier, 1, 0, 0)
    assert classifier.calls == 0
    assert heatmap.shape == (64, 56)
    assert heatmap.dtype == np.float32


def test_centre_and_edges_know_the_image_only(image):
    centre = METHODS["centre"].run(image, None, 0, 0, 0)
    assert np.unravel_index(centre.argmax(), centre.shape) in {(31, 27), (31, 28), (32, 27), (32, 28)}
    flat = np.zeros((10, 10, 3), np.uint8)
    flat[:, 5:] = 200
    assert set(np.flatnonzero(METHODS["edges"].run(flat, None, 0, 0, 0)[3])) == {4, 5}


def test_rise_is_the_sum_of_score_times_mask(image):
    masks = list(rise.masks((64, 56), 20, 3))
    scores = [
        SquareDetector()(np.rint(mask[:, :, None] * image).astype(np.uint8)[None])[0, 1] for mask in masks
    ]
    by_hand = sum(score * mask.astype(np.float64) for score, mask in zip(scores, masks, strict=True)) / (
        20 * 0.5
    )
    np.testing.assert_allclose(rise.rise(image, SquareDetector(), 1, 20, 3), by_hand, rtol=1e-6)


def test_rise_masks_show_half_and_are_soft():
    masks = np.stack(list(rise.masks((63, 50), 400, 0)))
    assert masks.min() == 0
    assert masks.max() == 1
    np.testing.assert_allclose(masks.mean(axis=0), 0.5, atol=0.12)
    assert ((masks > 0.01) & (masks < 0.99)).mean() > 0.3


@pytest.mark.parametrize("calls", [5, 10, 100, 1000])
def test_single_scale_takes_the_smallest_window_that_fits(calls):
    from occlumap.samplers import sliding_window

    found = smallest_window((64, 64), calls)
    assert 1 + len(sliding_window((64, 64), found)) <= calls
    assert found == 1 or 1 + len(sliding_window((64, 64), found - 1)) > calls
