"""SHAP's partition explainer: Owen values on a hierarchy of rectangles (Lundberg), run by the package shap."""

import numpy as np

from occlumap.classifiers import Classifier, score
from occlumap.errors import BudgetError
from occlumap.evaluation.peers import Heatmap
from occlumap.evaluation.peers._global_random import seeded
from occlumap.fills import Image

FILL = "blur"


def shap_partition(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """Owen value of each pixel, signed, summed over the channels; sums to score - score of the blurred image.

    Hidden pixels show the image blurred by a box of 128 / 224 of its side, shap's own choice in its image
    examples. Deterministic: `seed` changes nothing. shap asks
    for two images at a time, so an odd `calls` leaves one over.

    Raises BudgetError below 4 calls.
    """
    if calls < 4:
        raise BudgetError(f"expected at least 4 calls for shap_partition, got {calls}; raise the budget")
    rows, cols = (max(1, round(length * 128 / 224)) for length in image.shape[:2])
    with seeded(seed):
        import shap

        masker = shap.maskers.Image(f"blur({rows},{cols})", image.shape)
        explainer = shap.PartitionExplainer(
            lambda batch: score(classifier, np.asarray(batch, np.uint8)), masker
        )
        found = explainer(
            image[None], max_evals=calls - calls % 2, batch_size=32, outputs=[target], silent=True
        )
    return np.asarray(found.values[0, ..., 0].sum(axis=-1), np.float32)
