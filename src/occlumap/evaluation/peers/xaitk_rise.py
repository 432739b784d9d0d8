"""RISE (Petsiuk, Das and Saenko 2018) as the package xaitk-saliency runs it: a check on `rise`."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from occlumap._extras import from_extra
from occlumap.classifiers import Classifier
from occlumap.errors import BudgetError
from occlumap.evaluation.peers import Heatmap
from occlumap.evaluation.peers.rise import CELLS, SHOWN
from occlumap.evaluation.scoring import target_scores
from occlumap.fills import Image

FILL = "black"


def xaitk_rise(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """Sum of score x mask over `calls` - 1 masks, scaled to a largest absolute value of 1.

    xaitk scores the unhidden image first and makes no use of that score. 7 x 7 cells, each shown with
    probability 0.5, as in `rise`, from another generator.

    Raises BudgetError below 2 calls; MissingDependencyError without xaitk-saliency.
    """
    if calls < 2:
        raise BudgetError(f"expected at least 2 calls for xaitk_rise, got {calls}; raise the budget")
    from_extra("peers", "xaitk_saliency", "xaitk_rise")
    from smqtk_classifier.interfaces.classify_image import ClassifyImage
    from xaitk_saliency.impls.gen_image_classifier_blackbox_sal.rise import RISEStack

    class OneClass(ClassifyImage):  # type: ignore[misc]
        """The score of the target, image by image."""

        def get_labels(self) -> list[int]:
            return [target]

        def classify_images(self, images: Iterable[Image]) -> Iterator[dict[int, float]]:
            for score in target_scores(classifier, images, target).tolist():
                yield {target: score}

        def get_config(self) -> dict[str, Any]:
            return {}

    # one thread: several would share one random generator
    rise = RISEStack(n=calls - 1, s=CELLS, p1=SHOWN, seed=seed, threads=0, debiased=False)
    return np.asarray(rise.generate(image, OneClass())[0], np.float32)
