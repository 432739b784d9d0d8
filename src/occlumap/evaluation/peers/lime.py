"""LIME: a sparse linear model on superpixels (Ribeiro, Singh, Guestrin 2016), run by the package lime."""

from contextlib import redirect_stderr
from io import StringIO

import numpy as np

from occlumap.classifiers import Classifier, score
from occlumap.errors import BudgetError
from occlumap.evaluation.peers import Heatmap
from occlumap.fills import Image

FILL = "segment-mean"


def lime(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """The weight of each superpixel, signed, painted over its pixels; lime's own defaults.

    That is quickshift, hidden superpixels in their mean colour, and ridge regression weighted by cosine
    distance. The unhidden image is the first of the `calls` samples.

    Raises BudgetError below 2 calls.
    """
    from lime.lime_image import LimeImageExplainer

    if calls < 2:
        raise BudgetError(f"expected at least 2 calls for lime, got {calls}; raise the budget")
    with redirect_stderr(StringIO()):  # its progress bar cannot be switched off
        found = LimeImageExplainer(random_state=seed).explain_instance(
            image,
            lambda batch: score(classifier, batch),
            labels=(target,),
            top_labels=None,
            num_samples=calls,
            batch_size=32,
            random_seed=seed,
        )
    weights = np.zeros(found.segments.max() + 1, np.float32)
    for segment, weight in found.local_exp[target]:
        weights[segment] = weight
    heatmap: Heatmap = weights[found.segments]
    return heatmap
