"""scikit-learn pipelines: on pixels, or on the features of another network (the paper's FaceNet and SVM)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlumap._checks import one_of
from occlumap.adapters.callables import Adapted, class_tuple
from occlumap.adapters.preprocessing import check_number, checked, fitted, real_numbers, warn_of_probabilities
from occlumap.classifiers import name_of
from occlumap.errors import ArgumentError

METHODS = ("predict_proba", "decision_function")


def from_sklearn(
    estimator: Any,
    *,
    method: str | None = None,
    features: Callable[[NDArray[np.uint8]], ArrayLike] | None = None,
    size: tuple[int, int] | None = None,
    classes: Sequence[str] | None = None,
) -> Adapted:
    """A fitted scikit-learn classifier or pipeline, as a classifier.

    `method`: "predict_proba" or "decision_function"; what the estimator has when None, probabilities first. The
    margin d of a decision function of two classes becomes the columns -d and d. `features`: uint8 (n, H, W, 3) to
    features (n, d), such as another network's embedding (by `output="numbers"`); None for the pixels, 0..255,
    flattened, of images brought to `size` (height, width). `classes`: names of the columns, those of the estimator's
    `classes_` when None.

    An estimator of several labels, each yes or no (multi-label), has a column for each: the probability of yes, the
    second of the label's classes. Its labels have no names but those in `classes`.

    Raises ArgumentError for an estimator without such a method, for one of several labels that are not yes or no, for
    margins of pairs of classes (`decision_function_shape="ovo"`), and without both features and size.
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
    if features is not None and not callable(features):
        raise ArgumentError(
            f"expected features to be a function of a batch, got {type(features).__name__}; a network of ours is "
            'occlumap.load("efficientnet-lite0", output="features")'
        )
    labels = estimator.classes_
    several = isinstance(labels, list)
    if several and any(len(one) != 2 for one in labels):
        raise ArgumentError(
            "expected an estimator of one label, or of several that are each yes or no, got labels of "
            f"{', '.join(str(len(one)) for one in labels)} classes; give a function of your own, with the "
            "probabilities of one label: occlumap.explain(lambda batch: estimator.predict_proba(...)[0], ...)"
        )
    if chosen == "decision_function" and not several and len(labels) > 2 and _one_against_one(estimator):
        raise ArgumentError(
            f"expected margins of each class, got those of each pair of the {len(labels)} classes, as "
            "decision_function_shape='ovo' gives them; set decision_function_shape='ovr': an SVC needs no new fit for "
            "it, what has one inside does"
        )
    own = None if several else [str(label) for label in labels]
    names = own if classes is None else class_tuple(classes)
    check_number(names, len(labels), "the estimator")
    if own is not None and names is not None and list(names) != own and sorted(names) == sorted(own):
        raise ArgumentError(
            f"expected classes in the order of the estimator's columns, that of its classes_, {', '.join(own)!s:.200}; "
            "got them in another: leave classes out"
        )
    name = type(estimator).__name__
    looked: list[bool] = []

    def prepare(batch: NDArray[np.uint8]) -> NDArray[Any]:
        pixels = checked(batch) if size is None else fitted(batch, size)
        if features is None:
            return pixels.reshape(len(pixels), -1)
        found = np.asarray(features(pixels))
        if not looked:  # the first call of all
            looked.append(True)
            warn_of_probabilities(found, name_of(features))
        return found

    def scores(batch: NDArray[np.uint8]) -> NDArray[np.float64]:
        found = getattr(estimator, chosen)(prepare(batch))
        if isinstance(found, list):  # (n, 2) for each of several labels
            found = np.stack([one[:, 1] for one in found], axis=1)
        values = real_numbers(found, name)
        if values.ndim == 1:  # the margin of the second of two classes
            values = np.stack([-values, values], axis=1)
        return values

    input_size = size if size is not None else getattr(features, "input_size", None)
    replicas = getattr(features, "replicas", None)
    return Adapted(scores, name, names, input_size, prepare, features, [features], replicas)


def _one_against_one(estimator: Any) -> bool:
    """Whether what decides, also inside pipelines, searches and ensembles, gives a margin for each pair of classes."""
    if hasattr(estimator, "steps"):
        return _one_against_one(estimator.steps[-1][1])
    for deciding in ("best_estimator_", "final_estimator_"):
        if hasattr(estimator, deciding):
            return _one_against_one(getattr(estimator, deciding))
    several = getattr(estimator, "estimators_", None)
    inner = [getattr(estimator, "estimator_", None), *(several if isinstance(several, list) else [])]
    if any(_one_against_one(one) for one in inner if hasattr(one, "classes_")):  # fitted
        return True
    of_pairs = getattr(estimator, "decision_function_shape", None) == "ovo"
    return of_pairs and len(getattr(estimator, "classes_", ())) > 2
