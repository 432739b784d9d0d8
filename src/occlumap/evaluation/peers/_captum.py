"""A classifier and an image as Captum takes them, and a heatmap back."""

from collections.abc import Callable
from typing import Any

import numpy as np

from occlumap._extras import from_extra
from occlumap.classifiers import Classifier
from occlumap.evaluation.peers import Heatmap
from occlumap.evaluation.scoring import target_scores
from occlumap.fills import Image

BATCH = 32
"""Images in one call."""


def load_captum() -> tuple[Any, Any]:
    """The modules torch and captum.attr. Raises MissingDependencyError, which says what to install."""
    return tuple(from_extra("peers", module, "Captum's methods") for module in ("torch", "captum.attr"))


def as_torch_function(torch: Any, classifier: Classifier, target: int) -> Callable[[Any], Any]:
    """The classifier's score of `target` as a function of a float tensor (n, 3, H, W) of values 0..255."""

    def forward(batch: Any) -> Any:
        images = batch.permute(0, 2, 3, 1).round().to(torch.uint8).numpy()
        return torch.from_numpy(target_scores(classifier, images, target, batch_size=BATCH))

    return forward


def as_tensor(torch: Any, image: Image) -> Any:
    """The image as a float tensor (1, 3, H, W) of values 0..255."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None])).to(torch.float32)


def as_heatmap(attributions: Any) -> Heatmap:
    """One map (H, W) of attributions (1, 3, H, W) or (1, 1, H, W) that are the same for all channels."""
    heatmap: Heatmap = attributions[0, 0].numpy().astype(np.float32)
    return heatmap
