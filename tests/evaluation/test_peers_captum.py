"""The peers that Captum runs: with known answers, and against our own single-scale occlusion."""

import numpy as np
import pytest

import occlumap
from occlumap.errors import BudgetError, MissingDependencyError, TargetError
from occlumap.evaluation.peers import captum_feature_ablation as ablation_module
from occlumap.evaluation.peers import captum_occlusion as occlusion_module
from occlumap.evaluation.peers.captum_feature_ablation import captum_feature_ablation
from occlumap.evaluation.peers.captum_occlusion import captum_occlusion
from tests.evaluation.black_boxes import Counting, brightness, square

PEERS = [captum_occlusion, captum_feature_ablation]


@pytest.fixture
def photograph():
    random = np.random.default_rng(0)
    smooth = np.kron(random.integers(0, 226, (6, 6, 3)), np.ones((8, 8, 1), int))
    return (smooth + random.integers(0, 30, smooth.shape)).astype(np.uint8)


@pytest.fixture
def captum():
    pytest.importorskip("torch")
    return pytest.importorskip("captum.attr")


@pytest.mark.usefixtures("captum")
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("calls", [30, 100])
def test_the_part_that_matters_gets_the_highest_value(peer, calls):
    weights = square(48, 48, slice(24, 36), slice(8, 20))
    heatmap = peer(np.full((48, 48, 3), 255, np.uint8), brightness(weights), 0, calls, 0)
    row, col = np.unravel_index(heatmap.argmax(), heatmap.shape)
    assert 20 <= row < 40
    assert 4 <= col < 24
    assert heatmap[weights > 0].mean() > 3 * heatmap[weights == 0].mean()
    assert heatmap[0, 47] == 0


@pytest.mark.usefixtures("captum")
@pytest.mark.parametrize("peer", PEERS)
def test_what_speaks_against_the_class_is_negative(peer):
    weights = square(48, 48, slice(24, 36), slice(8, 20))
    image = np.full((48, 48, 3), 255, np.uint8)
    np.testing.assert_array_equal(
        peer(image, brightness(weights), 1, 60, 0), -peer(image, brightness(weights), 0, 60, 0)
    )


@pytest.mark.usefixtures("captum")
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize(("height", "width"), [(31, 47), (64, 20), (7, 9), (40, 41)])
def test_heatmap_has_the_image_s_size_whatever_its_sides(peer, height, width):
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    counting = Counting(brightness(square(height, width, slice(0, height // 2), slice(width // 2, width))))
    heatmap = peer(image, counting, 0, 60, 0)
    assert heatmap.shape == (height, width)
    assert heatmap.dtype == np.float32
    assert (
        heatmap[: height // 2, width // 2 :].mean() > 2 * heatmap[height // 2 + 2 :, : width // 2 - 2].mean()
    )
    assert counting.images <= 60


@pytest.mark.usefixtures("captum")
@pytest.mark.parametrize("peer", PEERS)
def test_no_budget_is_passed_and_little_is_left_over(peer, photograph):
    for calls in (10, 37, 100):
        counting = Counting(brightness(np.full((48, 48), 1 / 2304)))
        peer(photograph, counting, 0, calls, 0)
        assert 0.6 * calls <= counting.images <= calls


@pytest.mark.usefixtures("captum")
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("batch", [1, 5])
def test_same_bits_whatever_the_batch_size_and_seed(peer, photograph, batch, monkeypatch):
    classifier = brightness(np.random.default_rng(3).random((48, 48)))
    usual = peer(photograph, classifier, 0, 50, 0)
    monkeypatch.setattr(occlusion_module, "BATCH", batch)
    monkeypatch.setattr(ablation_module, "BATCH", batch)
    np.testing.assert_array_equal(peer(photograph, classifier, 0, 50, 7), usual)


@pytest.mark.parametrize(("peer", "least"), [(captum_occlusion, 10), (captum_feature_ablation, 5)])
def test_too_small_a_budget_says_how_much_is_needed_and_spends_nothing(peer, least):
    counting = Counting(brightness(square(48, 48, slice(8, 16), slice(8, 16))))
    with pytest.raises(BudgetError, match=f"at least {least} .*got {least - 1}"):
        peer(np.full((48, 48, 3), 255, np.uint8), counting, 0, least - 1, 0)
    assert counting.images == 0


@pytest.mark.parametrize("peer", PEERS)
def test_without_captum_the_error_says_what_to_install(peer, monkeypatch, photograph):
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)
    with pytest.raises(MissingDependencyError, match=r"pip install '\.\[peers\]'"):
        peer(photograph, brightness(np.full((48, 48), 1.0)), 0, 100, 0)


@pytest.mark.usefixtures("captum")
@pytest.mark.parametrize("peer", PEERS)
def test_a_class_that_does_not_exist_is_refused(peer, photograph):
    with pytest.raises(TargetError, match="class index"):
        peer(photograph, brightness(np.full((48, 48), 1.0)), 2, 100, 0)


@pytest.mark.usefixtures("captum")
def test_occlusion_takes_the_smallest_window_that_fits():
    """48 pixels, windows of 6 shifted by 3: 15 x 15 of them; of 8 shifted by 4: 11 x 11."""
    image = np.full((48, 48, 3), 255, np.uint8)
    classifier = brightness(np.full((48, 48), 1 / 2304))
    for calls, spent, window in [(226, 226, 6), (225, 122, 8), (122, 122, 8)]:
        counting = Counting(classifier)
        heatmap = captum_occlusion(image, counting, 0, calls, 0)
        assert counting.images == spent
        assert heatmap[0, 0] == pytest.approx(window**2 / 2304)


@pytest.mark.usefixtures("captum")
def test_occlusion_goes_down_to_single_pixels():
    weights = np.arange(20.0).reshape(4, 5)
    heatmap = captum_occlusion(np.full((4, 5, 3), 255, np.uint8), brightness(weights), 0, 21, 0)
    np.testing.assert_allclose(heatmap, weights, rtol=1e-6)


@pytest.mark.usefixtures("captum")
@pytest.mark.parametrize(
    ("height", "width", "calls", "window"), [(48, 48, 122, 8), (48, 40, 100, 8), (36, 60, 61, 12)]
)
def test_captum_s_occlusion_is_our_single_scale(height, width, calls, window):
    """Where windows end with the image, so that neither cuts one off (Captum) nor moves one back (we)."""
    random = np.random.default_rng(height)
    image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    weights = random.random((height, width))

    def saturating(batch):
        return np.tanh(brightness(weights / weights.sum())(batch) * 2)

    ours = occlumap.explain(
        saturating, image, 0, method="single-scale", window=window, stride=window // 2, fill="constant:0"
    )
    theirs = captum_occlusion(image, saturating, 0, calls, 0)
    np.testing.assert_allclose(theirs, ours.heatmap, rtol=1e-4, atol=1e-7)
    assert np.corrcoef(theirs.ravel(), weights.ravel())[0, 1] > 0


@pytest.mark.usefixtures("captum")
def test_where_windows_do_not_end_with_the_image_the_two_differ_at_its_border_only():
    """50 pixels, windows of 8 by 4: Captum's last one starts at 44 and is cut to 6, ours starts at 42."""
    random = np.random.default_rng(5)
    image = random.integers(0, 256, (50, 50, 3), dtype=np.uint8)
    classifier = brightness(random.random((50, 50)) / 2500)
    ours = occlumap.explain(
        classifier, image, 0, method="single-scale", window=8, stride=4, fill="constant:0"
    )
    theirs = captum_occlusion(image, classifier, 0, 145, 0)
    same = np.isclose(theirs, ours.heatmap, rtol=1e-4, atol=1e-7)
    assert same[:42, :42].all()
    assert not same[44:, 44:].any()


@pytest.mark.usefixtures("captum")
def test_ablation_gives_each_superpixel_what_hiding_it_costs(photograph):
    weights = np.random.default_rng(2).random((48, 48))
    classifier = brightness(weights / weights.sum())
    heatmap = captum_feature_ablation(photograph, classifier, 0, 40, 0)
    whole = classifier(photograph[None])[0, 0]
    values = np.unique(heatmap)
    assert 20 <= len(values) <= 39
    for value in values:
        hidden = photograph.copy()
        hidden[heatmap == value] = 0
        assert whole - classifier(hidden[None])[0, 0] == pytest.approx(value, rel=1e-4)


@pytest.mark.usefixtures("captum")
def test_ablation_shares_out_the_score_of_an_additive_classifier(photograph):
    """Every pixel is hidden exactly once, and nothing is left of a black image."""
    classifier = brightness(np.full((48, 48), 1 / 2304))
    heatmap = captum_feature_ablation(photograph, classifier, 0, 60, 0)
    total = sum(value for value in np.unique(heatmap))
    assert total == pytest.approx(classifier(photograph[None])[0, 0], rel=1e-3)


@pytest.mark.usefixtures("captum")
def test_ablation_counts_the_call_for_the_image_itself(photograph):
    """A budget that its superpixels use up, and one call less."""
    exact = Counting(brightness(np.full((48, 48), 1 / 2304)))
    captum_feature_ablation(photograph, exact, 0, 60, 0)
    for calls in (exact.images, exact.images - 1):
        counting = Counting(exact.classifier)
        captum_feature_ablation(photograph, counting, 0, calls, 0)
        assert counting.images <= calls
    assert exact.images <= 60
