"""Kernel SHAP on superpixels (Lundberg and Lee 2017), run by the package shap."""

import numpy as np
from numpy.typing import NDArray

from occlumap.classifiers import Classifier
from occlumap.errors import BudgetError
from occlumap.evaluation.peers import Heatmap
from occlumap.evaluation.peers._global_random import seeded
from occlumap.evaluation.references import hider
from occlumap.evaluation.scoring import target_scores
from occlumap.fills import Image
from occlumap.segments import slic_labels

FILL = "blur"
SEGMENTS = 50


def shap_kernel(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """Shapley value of each of about 50 SLIC superpixels, signed, painted over its pixels.

    Hidden superpixels show the blurred image (sigma a tenth of the shorter side). Two calls go to the image
    with nothing and with everything hidden, the others to coalitions.

    Raises BudgetError below 12 calls.
    """
    if calls < 12:
        raise BudgetError(f"expected at least 12 calls for shap_kernel, got {calls}; raise the budget")
    with seeded(seed):
        import shap

        segments = slic_labels(image, SEGMENTS)  # a grid where there is nothing to follow
        hide = hider("blur", image)
        count = int(segments.max()) + 1

        def value(kept: NDArray[np.float64]) -> NDArray[np.float64]:
            return target_scores(classifier, (hide(row[segments] < 0.5) for row in kept), target)

        explainer = shap.KernelExplainer(value, np.zeros((1, count)))
        values = explainer.shap_values(np.ones((1, count)), nsamples=calls - 2, silent=True)
    heatmap: Heatmap = np.asarray(values, np.float32).reshape(count)[segments]
    return heatmap
