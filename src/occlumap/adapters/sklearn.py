"""scikit-learn pipelines: on pixels, or on the features of another network (the paper's FaceNet and SVM)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlumap._checks import one_of
from occlumap.adapters.callables import Adapted
from occlumap.adapters.preprocessing import checked, fitted
from occlumap.errors import ArgumentError

METHODS = ("predict_proba", "decision_function")


def from_sklearn(
    estimator: Any,
    *,
    method: str | None = None,
    features: Callable[[NDArray[np.uint8]], ArrayLike] | None = None,
    size: tuple[int, int] | None = None,
) -> Adapted:
    """A fitted scikit-learn classifier or pipeline, as a classifier.

    `method`: "predict_proba" or "decision_function"; what the estimator has when None, probabilities first. The
    margin d of a decision function of two classes becomes the columns -d and d. `features`: uint8 (n, H, W, 3) to
    features (n, d), such as another network's embedding; None for the pixels, 0..255, flattened, of images brought to
    `size` (height, width). Class names are the estimator's `classes_`.

    Raises ArgumentError for an estimator without such a method, and without both features and size.
    """
    there = [name for name in METHODS if hasattr(estimator, name)]
    if not there or not hasattr(estimator, "classes_"):
        raise ArgumentError(
            f"expected a fitted estimator with {' or '.join(METHODS)}, got {type(estimator).__name__}; fit it first, "
            "and for an SVC use its decision_function, or wrap a regressor in regression()"
        )
    chosen = there[0] if method is None else one_of("method", method, there)
    if features is None and size is None:
        raise ArgumentError(
            "expected features, a function of a batch, or size (height, width) for plain pixels"
        )
    names = [str(label) for label in estimator.classes_]
    name = type(estimator).__name__

    def prepare(batch: NDArray[np.uint8]) -> NDArray[Any]:
        pixels = checked(batch) if size is None else fitted(batch, size)
        return pixels.reshape(len(pixels), -1) if features is None else np.asarray(features(pixels))

    def scores(batch: NDArray[np.uint8]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = np.asarray(getattr(estimator, chosen)(prepare(batch)), np.float64)
        if values.ndim == 1:  # the margin of the second of two classes
            values = np.stack([-values, values], axis=1)
        return values

    input_size = size if size is not None else getattr(features, "input_size", None)
    return Adapted(scores, name, names, input_size, prepare, features, [features])
