"""Classifiers with known answers, for the peers."""

import numpy as np


class Counting:
    def __init__(self, classifier):
        self.classifier = classifier
        self.images = 0

    def __call__(self, batch):
        self.images += len(batch)
        return self.classifier(batch)


def brightness(weights):
    """Two classes: the brightness, 0..1, that `weights` see; and its opposite."""

    def classifier(batch):
        score = (batch.astype(np.float64).mean(axis=3) / 255 * weights).sum(axis=(1, 2))
        return np.stack([score, -score], axis=1)

    return classifier


def square(height, width, rows, cols):
    weights = np.zeros((height, width))
    weights[rows, cols] = 1
    return weights / weights.sum()
