"""The paper's multi-scale occlusion, ours, under a budget."""

import warnings

from occlumap.classifiers import Classifier
from occlumap.errors import OcclumapWarning
from occlumap.evaluation.peers import Heatmap
from occlumap.explain import explain
from occlumap.fills import Image

FILL = "neighbours"
DEPTH = 3


def paper(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """`occlumap.explain(method="paper", depth=3, budget=calls)`, its best 5 offsets; not negative.

    Raises BudgetError when one offset of depth 3 costs more than `calls` (about 86).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OcclumapWarning)
        found = explain(
            classifier, image, int(target), method="paper", depth=DEPTH, fill=FILL, budget=calls, seed=seed
        )
    return found.heatmap  # type: ignore[union-attr]
