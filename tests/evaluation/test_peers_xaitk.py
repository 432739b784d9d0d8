"""RISE by xaitk-saliency, where it is installed, against its own masks."""

import numpy as np
import pytest

from occlumap.errors import BudgetError
from occlumap.evaluation.peers.xaitk_rise import xaitk_rise

pytest.importorskip("xaitk_saliency")


def left_half(batch):
    lit = batch[:, :, :30].astype(np.float64).mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - lit, lit], axis=1)


def test_is_the_sum_of_score_times_mask_within_its_budget():
    from xaitk_saliency.impls.perturb_image.rise import RISEGrid

    image = np.random.default_rng(0).integers(0, 256, (48, 60, 3), np.uint8)
    seen = []

    def classify(batch):
        seen.extend(batch)
        return left_half(batch)

    heatmap = xaitk_rise(image, classify, 1, 50, 3)
    masks = RISEGrid(n=49, s=7, p1=0.5, seed=3, threads=0).perturb(image)
    scores = left_half((masks[..., None] * image).astype(np.uint8))[:, 1]
    by_hand = np.einsum("n,nhw->hw", scores, masks)
    np.testing.assert_allclose(heatmap, by_hand / np.abs(by_hand).max(), rtol=1e-5)
    assert len(seen) == 50
    assert heatmap[:, :25].mean() > heatmap[:, 35:].mean()
    with pytest.raises(BudgetError, match="2 calls"):
        xaitk_rise(image, classify, 1, 1, 0)
