"""ReX by rex-xai, in an environment that has it (it pins NumPy 1.26.4)."""

import numpy as np
import pytest

from occlumap.errors import BudgetError, ImageError, TargetError
from occlumap.evaluation.peers.rex import rex

pytest.importorskip("rex_xai")


class Square:
    """Class 0 is how white a square is, class 1 always 0.3."""

    def __init__(self):
        self.calls = 0

    def __call__(self, batch):
        self.calls += len(batch)
        lit = batch[:, 10:24, 30:44].astype(np.float64).mean(axis=(1, 2, 3)) / 255
        return np.stack([lit, np.full(len(batch), 0.3)], axis=1)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(100, 256, (64, 64, 3), np.uint8)


def test_finds_the_square_within_its_budget(image):
    classifier = Square()
    heatmap = rex(image, classifier, 0, 300, 0)
    assert 200 < classifier.calls <= 300
    assert heatmap.shape == (64, 64)
    assert heatmap[10:24, 30:44].mean() > 2 * heatmap.mean()
    np.testing.assert_array_equal(heatmap, rex(image, Square(), 0, 300, 0))
    assert not np.array_equal(heatmap, rex(image, Square(), 0, 300, 1))


def test_what_it_cannot_do_is_told(image):
    with pytest.raises(BudgetError, match="one search"):
        rex(image, Square(), 0, 5, 0)
    with pytest.raises(TargetError, match="top class, 0"):
        rex(image, Square(), 1, 300, 0)
    with pytest.raises(ImageError, match="square"):
        rex(image[:, :48], Square(), 0, 300, 0)
