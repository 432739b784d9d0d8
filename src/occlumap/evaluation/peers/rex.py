"""ReX: responsibility of image parts by actual causality (Chockler, Kelly, Kroening, Sun 2024), by rex-xai.

rex-xai 0.4.1 pins NumPy 1.26.4, so it wants an environment of its own; the benchmark run there with
`--methods rex` and the same `--out` adds its rows to the others.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.classifiers import Classifier, score
from occlumap.errors import BudgetError, ImageError, MissingDependencyError, TargetError
from occlumap.evaluation.peers import Heatmap
from occlumap.fills import Image

FILL = "black"


class _Spent(Exception):  # noqa: N818 - no error: it ends the search
    """The budget is spent."""


def rex(image: Image, classifier: Classifier, target: int, calls: int, seed: int) -> Heatmap:
    """Responsibility of each pixel for `target` coming first, 0 or more, summed over the searches afforded.

    Hidden parts are black. ReX has no budget of calls: one search after another is made until the budget is
    spent, and an unfinished one is dropped. It only asks whether `target` has the highest score, so that class must
    be the top class, and the size of scores means nothing to it. Square images only: rex-xai swaps
    height and width.

    Raises BudgetError when `calls` do not pay one search, TargetError for another class than the top one,
    ImageError for an image that is not square, MissingDependencyError without rex-xai.
    """
    height, width = image.shape[:2]
    if height != width:
        raise ImageError(f"expected a square image for rex, got {image.shape}; cut it to a square")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch
            from PIL import Image as PillowImage
            from rex_xai.explanation.rex import predict_target
            from rex_xai.input.config import CausalArgs
            from rex_xai.input.input_data import Data
            from rex_xai.responsibility.prediction import Prediction
            from rex_xai.responsibility.resp_maps import ResponsibilityMaps
            from rex_xai.responsibility.responsibility import causal_explanation
            from rex_xai.utils._utils import ResponsibilityStyle
    except ImportError as error:
        raise MissingDependencyError(
            f"expected the package rex-xai for rex, got {type(error).__name__}: {error}; run, in an environment of "
            "its own: pip install rex-xai"
        ) from error
    left = calls

    def predict(tensors: Any, wanted: Any = None, raw: bool = False) -> list[Any]:
        nonlocal left
        batch = tensors if tensors.ndim == 4 else tensors[None]
        if len(batch) > left:
            raise _Spent
        left -= len(batch)
        rows = score(classifier, batch.permute(0, 2, 3, 1).round().to(torch.uint8).numpy())
        return [
            Prediction(
                int(row.argmax()),
                float(row.max()),
                None,
                wanted,
                None if wanted is None else float(row[target]),
            )
            for row in rows
        ]

    settings = CausalArgs()
    settings.seed, settings.batch_size, settings.mode = seed, 32, "RGB"
    settings.responsibility_style = ResponsibilityStyle.Additive
    data = Data(PillowImage.fromarray(image), (1, 3, height, width), "cpu", mode="RGB")
    data.generic_image_preprocess(norm=None)
    data.set_mask_value(0)
    data.target = predict_target(data, settings, predict)
    if data.target.classification != target:
        raise TargetError(
            f"expected the top class, {data.target.classification}, for rex, got {target}; it explains no other"
        )
    maps, searches = ResponsibilityMaps(settings.responsibility_style, height, width, None), 0
    try:
        while True:
            found = causal_explanation(searches + 1, data, settings, predict, current_map=maps.get(target))
            maps.merge(found[0])
            searches += 1
    except _Spent:
        if not searches:
            raise BudgetError(
                f"expected calls for one search of rex at least, got {calls}; raise the budget"
            ) from None
    heatmap: NDArray[np.float32] = np.asarray(maps.get(target), np.float32)
    return heatmap
