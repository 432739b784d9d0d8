"""Classifiers whose answers can be worked out by hand."""

import numpy as np
import pytest


class Evidence:
    """Score of class 0 = sum of a weight for each white pixel; class 1 is what is left of 1."""

    classes = ("lit", "dark, unlit")

    def __init__(self, weights):
        self.weights = np.asarray(weights, np.float64)
        self.batches = []

    def __call__(self, batch):
        self.batches.append(len(batch))
        lit = ((batch[..., 0] / 255.0) * self.weights).sum(axis=(1, 2))
        return np.stack([lit, 1 - lit], axis=1)

    @property
    def calls(self):
        return sum(self.batches)


def smooth_classifier(seed, shape, classes=3):
    """A classifier that is neither additive nor monotone: a small random network, softmax over classes."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(classes, 6, *shape, 3)) / np.sqrt(np.prod(shape))
    mixing = rng.normal(size=(classes, 6))

    def classify(batch):
        rows = []
        for image in batch.astype(np.float64) / 255:  # one image at a time: same bits for any batch size
            hidden = np.tanh((weights * image).sum(axis=(2, 3, 4)))
            logits = (mixing * hidden).sum(axis=1) * 0.5
            exponentials = np.exp(logits - logits.max())
            rows.append(exponentials / exponentials.sum())
        return np.array(rows)

    return classify


def inside(inner, outer):
    """Whether one Region lies in another, borders included."""
    return (
        outer.row_start <= inner.row_start
        and inner.row_stop <= outer.row_stop
        and outer.col_start <= inner.col_start
        and inner.col_stop <= outer.col_stop
    )


@pytest.fixture
def white():
    return np.full((16, 16, 3), 255, np.uint8)


@pytest.fixture
def evidence():
    weights = np.zeros((16, 16))
    weights[4:8, 8:12] = 1 / 16
    return Evidence(weights)


def picture(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
