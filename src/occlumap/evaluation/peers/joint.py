"""Our joint model over masks of a tree of segments."""

import warnings

from occlumap.classifiers import Classifier
from occlumap.errors import OcclumapWarning
from occlumap.evaluation.peers import Heatmap
from occlumap.explain import explain
from occlumap.fills import Image

FILL = "blur"
"""Of the references that a heatmap is judged by, what half of its masks show; the others show none of them."""


def joint(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """`occlumap.explain(method="joint", budget=calls)`, signed.

    Raises BudgetError when `calls` are fewer than 3.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OcclumapWarning)
        found = explain(classifier, image, int(target), method="joint", budget=calls, seed=seed)
    return found.heatmap  # type: ignore[union-attr]
