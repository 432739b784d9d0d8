"""hipe, sobol and hsic against answers worked out by hand."""

import numpy as np
import pytest

from occlumap.errors import BudgetError, TargetError
from occlumap.evaluation.peers.hipe import hipe
from occlumap.evaluation.peers.hsic import hsic
from occlumap.evaluation.peers.sobol import sobol
from tests.evaluation.black_boxes import Counting, brightness, square

PEERS = [hipe, sobol, hsic]
LEAST = {hipe: 26, sobol: 48, hsic: 16}
"""Calls that a 32 x 32 image takes at least."""

SPENT = {
    hipe: {60: 60, 80: 80, 300: 84},
    sobol: {60: 60, 100: 99, 300: 297, 1000: 969},
    hsic: {60: 60, 100: 100, 300: 300, 1000: 1000},
}
"""Calls spent of calls given, 32 x 32 pixels."""


def checkered(height, width):
    """Pixels of 0 and 254 by turns, whose mean over any part of even area is 127."""
    rows, cols = np.indices((height, width))
    return np.repeat(((rows + cols) % 2 * 254).astype(np.uint8)[..., None], 3, axis=2)


def contrast(weights):
    """Two classes: how much of `weights`, whose sum is 1, has pixels of 0 or 254; and nothing at all.

    Pixels of 127 count nothing, white ones about as much as pixels of 254.
    """

    def classifier(batch):
        distance = np.abs(batch.astype(np.float64).mean(axis=3) - 127) / 127
        score = (distance * weights).sum(axis=(1, 2))
        return np.stack([score, np.zeros(len(batch))], axis=1)

    return classifier


def fitting(peer, weights):
    """An image and a classifier with evidence where `weights` are: hipe hides by means, the others by black."""
    if peer is hipe:
        return checkered(*weights.shape), contrast(weights)
    return np.full((*weights.shape, 3), 255, np.uint8), brightness(weights)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("calls", [100, 300])
def test_the_part_that_matters_gets_the_highest_value(peer, calls):
    weights = square(32, 32, slice(22, 28), slice(13, 19))
    heatmap = peer(*fitting(peer, weights), 0, calls, 0)
    row, col = np.unravel_index(heatmap.argmax(), heatmap.shape)
    assert 19 <= row < 31
    assert 10 <= col < 22
    assert heatmap[weights > 0].mean() > 3 * heatmap[weights == 0].mean()


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize(("height", "width"), [(31, 47), (64, 20), (7, 9), (40, 41)])
def test_heatmap_has_the_image_s_size_whatever_its_sides(peer, height, width):
    weights = square(height, width, slice(0, height // 2), slice(width // 2, width))
    heatmap = peer(*fitting(peer, weights), 0, 200, 0)
    assert heatmap.shape == (height, width)
    assert heatmap.dtype == np.float32
    assert np.isfinite(heatmap).all()
    assert (
        heatmap[: height // 2, width // 2 :].mean() > 2 * heatmap[height // 2 + 2 :, : width // 2 - 2].mean()
    )


@pytest.mark.parametrize("peer", PEERS)
def test_calls_are_spent_as_promised(peer):
    image, classifier = fitting(peer, square(32, 32, slice(8, 16), slice(8, 16)))
    for calls, spent in SPENT[peer].items():
        counting = Counting(classifier)
        peer(image, counting, 0, calls, 0)
        assert counting.images == spent


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("seed", range(3))
def test_no_budget_is_passed(peer, seed):
    weights = np.random.default_rng(seed).random((32, 32))
    image, classifier = fitting(peer, weights / weights.sum())
    for calls in range(LEAST[peer], LEAST[peer] + 60, 7):
        counting = Counting(classifier)
        peer(image, counting, 0, calls, seed)
        assert 0.8 * calls <= counting.images <= calls


@pytest.mark.parametrize("peer", PEERS)
def test_too_small_a_budget_says_how_much_is_needed_and_spends_nothing(peer):
    image, classifier = fitting(peer, square(32, 32, slice(8, 16), slice(8, 16)))
    counting = Counting(classifier)
    with pytest.raises(BudgetError, match=f"at least {LEAST[peer]} .*got {LEAST[peer] - 1}"):
        peer(image, counting, 0, LEAST[peer] - 1, 0)
    assert counting.images == 0
    peer(image, counting, 0, LEAST[peer], 0)


@pytest.mark.parametrize("peer", PEERS)
def test_same_seed_same_bits_other_seed_another_map(peer):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    classifier = brightness(random.random((32, 32)))
    if peer is hipe:  # its seed breaks ties only
        image, classifier = fitting(peer, np.full((32, 32), 1 / 1024))
    first, again, other = (peer(image, classifier, 0, 60, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("peer", PEERS)
def test_a_classifier_that_never_changes_its_mind_gets_zeros(peer):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    heatmap = peer(image, lambda batch: np.full((len(batch), 1), 0.3), 0, 100, 0)
    np.testing.assert_array_equal(heatmap, 0)


@pytest.mark.parametrize("peer", PEERS)
def test_a_class_that_does_not_exist_is_refused(peer):
    image, classifier = fitting(peer, square(32, 32, slice(8, 16), slice(8, 16)))
    with pytest.raises(TargetError, match="class index"):
        peer(image, classifier, 2, 100, 0)


@pytest.mark.parametrize("peer", PEERS)
def test_the_image_is_left_alone(peer):
    image, classifier = fitting(peer, square(32, 32, slice(8, 16), slice(8, 16)))
    before = image.copy()
    peer(image, classifier, 0, 60, 0)
    np.testing.assert_array_equal(image, before)


def test_hipe_sums_the_cost_of_the_regions_over_a_pixel():
    """4 x 4 cells of 8 pixels: a cell lies in 4 regions of 2 x 2 cells, a neighbour shares 2 of them, a corner 1."""
    heatmap = hipe(checkered(32, 32), contrast(square(32, 32, slice(8, 16), slice(16, 24))), 0, 26, 0)
    expected = [[0, 1, 2, 1], [0, 2, 4, 2], [0, 1, 2, 1], [0, 0, 0, 0]]
    np.testing.assert_allclose(heatmap, np.kron(expected, np.ones((8, 8))), atol=1e-6)


def test_hipe_looks_closer_only_at_regions_that_reach_the_mid_range():
    """First scale as above, so S >= 2 is looked at again: the cell with the evidence and its 4 neighbours.

    The second scale has 8 x 8 cells of 4 pixels, and of its 9 x 9 regions those are hidden that touch this cross.
    """
    cross = np.kron([[0, 0, 1, 0], [0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]], np.ones((2, 2)))
    padded = np.pad(cross, 1)
    touching = {(r, c) for r in range(9) for c in range(9) if padded[r : r + 2, c : c + 2].any()}
    last_hidden = []

    def watching(batch):
        for image in batch:
            rows, cols = (image == 127).all(axis=2).nonzero()
            if len(rows):
                last_hidden.append((rows.max() // 4, cols.max() // 4))
        return contrast(square(32, 32, slice(8, 16), slice(16, 24)))(batch)

    image = checkered(32, 32)
    hipe(image, watching, 0, 26 + len(touching), 0)
    last_cells = {(min(r, 7), min(c, 7)) for r, c in touching}
    assert set(last_hidden[25:]) == last_cells
    assert len(last_hidden) == 25 + len(touching)


def test_hipe_takes_the_best_regions_when_the_budget_ends():
    """One more call than the first scale: the region it buys is one over the evidence."""
    image, classifier = checkered(32, 32), contrast(square(32, 32, slice(8, 16), slice(16, 24)))
    bought = hipe(image, classifier, 0, 27, 0) - hipe(image, classifier, 0, 26, 0)
    assert (bought[8:16, 16:24] > 0).sum() == (bought > 0).sum() == 64
    assert bought.max() == pytest.approx(1)


def test_hipe_s_seed_changes_no_bit_where_no_scale_is_cut():
    random = np.random.default_rng(4)
    image = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    classifier = brightness(random.random((32, 32)))
    np.testing.assert_array_equal(hipe(image, classifier, 0, 26, 0), hipe(image, classifier, 0, 26, 1))


def test_hipe_calls_what_speaks_against_the_class_zero():
    def against(batch):
        return -contrast(square(32, 32, slice(8, 16), slice(16, 24)))(batch)

    np.testing.assert_array_equal(hipe(checkered(32, 32), against, 0, 100, 0), 0)


def test_sobol_index_of_an_additive_classifier_is_the_share_of_its_squared_weight():
    weights = np.array([[3, 1], [0, 2]]) / 6
    heatmap = sobol(np.full((2, 2, 3), 255, np.uint8), brightness(weights), 0, 6 * 512, 0)
    np.testing.assert_allclose(heatmap, [[9 / 14, 1 / 14], [0, 4 / 14]], atol=0.02)
    assert heatmap[1, 0] == 0


def test_sobol_index_counts_interactions_for_both_cells():
    """f = x y on (0, 1)^2: the variance is 7/144, and what is left of it once the other is known is 1/36."""

    def product(batch):
        x, y = batch[:, 0, 0, 0] / 255, batch[:, 1, 1, 0] / 255
        return (x * y)[:, None]

    heatmap = sobol(np.full((2, 2, 3), 255, np.uint8), product, 0, 6 * 1024, 0)
    np.testing.assert_allclose(heatmap, [[4 / 7, 0], [0, 4 / 7]], atol=0.03)


@pytest.mark.parametrize("peer", [sobol, hsic])
def test_the_border_of_a_map_is_not_pushed_up(peer):
    """A bicubic enlargement that knows nothing beyond the border goes on rising there."""
    image, classifier = fitting(peer, square(70, 70, slice(62, 70), slice(32, 38)))
    heatmap = peer(image, classifier, 0, 300, 0)
    assert heatmap[-1].max() < 1.07 * heatmap[-7 if peer is sobol else -5].max()


def test_sobol_and_hsic_have_no_sign():
    image, classifier = fitting(sobol, square(32, 32, slice(8, 16), slice(16, 24)))
    for peer in (sobol, hsic):
        np.testing.assert_allclose(peer(image, classifier, 0, 100, 3), peer(image, classifier, 1, 100, 3))


def test_hsic_of_a_score_that_one_cell_decides():
    """Two values of y, so h is their distance, L is 1 or exp(-1/2), and the centred L is a multiple of s s^T."""
    weights = np.array([[0, 1], [0, 0]])
    heatmap = hsic(np.full((2, 2, 3), 255, np.uint8), brightness(weights), 0, 400, 0)
    assert heatmap[0, 1] == pytest.approx((1 - np.exp(-0.5)) / 4 * (400 / 399) ** 2, rel=1e-5)
    assert heatmap[weights == 0].max() < 0.01 * heatmap[0, 1] + 0.001


def test_hsic_is_the_trace_of_its_definition():
    shown = []

    def classifier(batch):
        visible = batch[..., 0].reshape(len(batch), -1) > 0
        shown.append(visible)
        return (visible @ np.array([1, 5, -3, 0]) + 2.0 * visible[:, 0] * visible[:, 1])[:, None]

    heatmap = hsic(np.full((2, 2, 3), 255, np.uint8), classifier, 0, 40, 0)
    masks = np.concatenate(shown)
    scores = masks @ np.array([1, 5, -3, 0]) + 2.0 * masks[:, 0] * masks[:, 1]
    gaps = [abs(a - b) for a in scores for b in scores if a != b]
    centre = np.eye(40) - 1 / 40
    output = np.array(
        [[np.exp(-((a - b) ** 2) / (2 * np.median(gaps) ** 2)) for a in scores] for b in scores]
    )
    expected = [
        np.trace(np.equal.outer(column, column).astype(float) @ centre @ output @ centre) / 39**2
        for column in masks.T
    ]
    np.testing.assert_allclose(heatmap.ravel(), expected, rtol=1e-5)


def test_hsic_hides_every_cell_in_half_of_the_masks():
    shown = []

    def classifier(batch):
        shown.append(batch[..., 0] > 0)
        return batch.mean(axis=(1, 2, 3))[:, None]

    hsic(np.full((7, 7, 3), 255, np.uint8), classifier, 0, 60, 0)
    np.testing.assert_array_equal(np.concatenate(shown).sum(axis=0), 30)
