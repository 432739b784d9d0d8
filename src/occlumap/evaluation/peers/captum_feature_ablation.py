"""Feature ablation over superpixels, run by Captum: each superpixel is hidden once, on its own.

Captum: Kokhlikyan et al., 2020 (arXiv 2009.07896). Superpixels: SLIC (Achanta et al., "SLIC Superpixels Compared to
State-of-the-art Superpixel Methods", TPAMI 34, 2012) of scikit-image.
"""

import numpy as np
from numpy.typing import NDArray

from occlumap.classifiers import Classifier
from occlumap.errors import BudgetError
from occlumap.evaluation.peers import Heatmap
from occlumap.evaluation.peers._captum import (
    BATCH,
    as_heatmap,
    as_tensor,
    as_torch_function,
    load_captum,
)
from occlumap.fills import Image

FILL = "black"

FEWEST = 4
"""Superpixels that the budget must allow for at least."""


def captum_feature_ablation(
    image: Image, classifier: Classifier, target: int, calls: int, seed: int
) -> Heatmap:
    """On each superpixel the score that hiding it costs: f(image) - f(image with it black).

    By `captum.attr.FeatureAblation`, whose feature mask is the SLIC superpixels of the image: as many as one call
    each and one for the image allow. SLIC gives about as many as it is asked for, so it is asked several times,
    and some calls may be left over.

    Range: signed, in units of the score; higher = hiding it costs more. `seed` is not used: nothing is random.
    Raises BudgetError below 5 calls; MissingDependencyError without torch, Captum or scikit-image.
    """
    if calls < 1 + FEWEST:
        raise BudgetError(
            f"expected at least {1 + FEWEST} calls for captum_feature_ablation, one for the image and {FEWEST} for "
            f"superpixels, got {calls}; raise the budget"
        )
    torch, captum = load_captum()
    labels = _superpixels(image, calls - 1)
    attributions = captum.FeatureAblation(as_torch_function(torch, classifier, target)).attribute(
        as_tensor(torch, image),
        feature_mask=torch.from_numpy(labels)[None, None],
        baselines=0,
        perturbations_per_eval=BATCH,
    )
    return as_heatmap(attributions)


def _superpixels(image: Image, most: int) -> NDArray[np.int64]:
    """Labels 0, 1, ... (H, W) of at most `most` superpixels, the most that a search by halves finds.

    In an image of noise SLIC of the usual compactness, 10, merges almost everything: where it finds less than
    half of `most`, compactness 100 and 1,000 are tried, which make near squares.
    """
    from skimage.segmentation import slic

    best: NDArray[np.int64] = np.zeros(image.shape[:2], np.int64)
    for compactness in (10, 100, 1000):
        low, high = 1, 2 * most
        while low <= high:
            asked = (low + high) // 2
            labels = slic(image, asked, compactness, start_label=0, channel_axis=-1).astype(np.int64)
            if labels.max() < most:
                best = max(best, labels, key=lambda found: int(found.max()))
                low = asked + 1
            else:
                high = asked - 1
        if 2 * (best.max() + 1) >= min(most, best.size):
            break
    return best
