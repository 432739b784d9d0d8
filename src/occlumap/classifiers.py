"""The Classifier protocol, and `score`: the one line that calls a classifier and checks what comes back."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from occlumap.errors import ClassifierError, MeasuringError, ScoreError

MAX_SCORE = 1e38
"""In size; a heatmap is float32, and can hold the difference of two such scores."""


class Classifier(Protocol):
    """Any callable from a uint8 RGB batch (n, H, W, 3) to scores (n, classes), higher = more like it.

    What it needs of preprocessing is its own business. It may carry `classes` (a name for each column),
    `input_size` ((height, width) to which images are brought before they are explained), `name`, and `prepare` (what
    its model is given for a batch; for `occlumap doctor`).
    """

    def __call__(self, batch: NDArray[np.uint8], /) -> Any:
        """Scores of the batch."""
        ...


def name_of(classifier: Classifier) -> str:
    """A short name for messages and results."""
    name = getattr(classifier, "name", None)
    if isinstance(name, str) and name:
        return name
    function = classifier if hasattr(classifier, "__qualname__") else type(classifier)
    return f"{function.__module__}:{function.__qualname__}"


_ADAPTERS = {
    "torch.nn.modules.module.Module": "from_torch",
    "keras.src.models.model.Model": "from_keras",
    "transformers.pipelines.base.Pipeline": "from_huggingface",
    "sklearn.base.BaseEstimator": "from_sklearn",
    "cv2.dnn.Net": "from_opencv",
    "onnxruntime.capi.onnxruntime_inference_collection.InferenceSession": "from_onnx",
}


def adapter_for(model: object) -> str | None:
    """The function of `occlumap.adapters` for a model of a known library; no library is imported to tell."""
    classes = [f"{one.__module__}.{one.__qualname__}" for one in type(model).__mro__]
    return next((_ADAPTERS[one] for one in classes if one in _ADAPTERS), None)


def requests_of(classifier: object) -> tuple[int, int] | None:
    """How many requests a remote service has had, and how many of them were retries; None where there is no service.

    Of a classifier that has others in its tuple `wrapped_classifiers`: theirs together.
    """
    requests, retries = getattr(classifier, "requests", None), getattr(classifier, "retries", None)
    if isinstance(requests, int) and isinstance(retries, int):
        return requests, retries
    wrapped = getattr(classifier, "wrapped_classifiers", ())
    different = {id(one): one for one in wrapped} if isinstance(wrapped, tuple) else {}
    counted = [requests_of(one) for one in different.values()]
    known = [one for one in counted if one is not None]
    return (sum(one for one, _ in known), sum(one for _, one in known)) if known else None


class Prepared(NamedTuple):
    """What a model is given, and of which type, which NumPy may not have (bfloat16)."""

    values: NDArray[Any]
    dtype: str


def prepared(classifier: object, batch: NDArray[np.uint8]) -> Prepared | None:
    """What the classifier's model is given for `batch`, as its `prepare` says; None when it has none.

    Whatever `prepare` raises is raised.
    """
    prepare = getattr(classifier, "prepare", None)
    if not callable(prepare):
        return None
    inputs = prepare(batch)
    if isinstance(inputs, Prepared):  # of a classifier in another process
        return inputs
    dtype = str(getattr(inputs, "dtype", "")).removeprefix("torch.")
    detach = getattr(inputs, "detach", None)
    if callable(detach):
        tensor = detach().cpu()
        inputs = (tensor.float() if dtype == "bfloat16" else tensor).numpy()
    values = np.asarray(inputs)
    return Prepared(values, dtype or str(values.dtype))


def score(
    classifier: Classifier,
    batch: NDArray[np.uint8],
    *,
    classes: int | None = None,
    calls_before: int = 0,
    describe: Callable[[int], str] = "image {} of the batch".format,
    timeout: float | None = None,
) -> NDArray[np.float64]:
    """Scores of `batch` (n, H, W, 3), checked: float64 (n, classes).

    `classes`: how many columns earlier batches had, if any. `calls_before` and `describe(index)` only
    serve the messages. `timeout`: seconds that the call may take; it is then made in a thread of its own.

    Raises ClassifierError when the classifier raises (SystemExit too), with its exception as cause, or when its time
    is over (the call cannot be stopped, and goes on unheeded); ScoreError for anything but n rows of finite numbers of
    MAX_SCORE or less. A ScoreError for a value that is not has the scores of the rows before it in `good_rows`.
    """
    name = name_of(classifier)
    rows = len(batch)
    try:
        returned = classifier(batch) if timeout is None else _in_time(classifier, batch, timeout, name)
    except MeasuringError:
        raise
    except (Exception, SystemExit) as error:  # a classifier must not end the program without a word
        raise ClassifierError(
            f"the classifier {name!r} raised {type(error).__name__}: {error} (in calls {calls_before + 1} to "
            f"{calls_before + rows}, on a uint8 batch of shape {batch.shape}){_adapter_advice(classifier)}"
        ) from error
    try:
        return _checked(returned, name, rows, classes, calls_before, describe)
    except ScoreError as error:
        error.args = (f"{error}{_adapter_advice(classifier)}",)
        raise


def _adapter_advice(classifier: object) -> str:
    """What to do with a library's model that was handed in as it is."""
    adapter = adapter_for(classifier)
    return "" if adapter is None else f"; make a classifier of it with occlumap.adapters.{adapter}(...)"


def _in_time(classifier: Classifier, batch: NDArray[np.uint8], timeout: float, name: str) -> Any:
    outcome: dict[str, Any] = {}

    def call() -> None:
        try:
            outcome["returned"] = classifier(batch)
        except BaseException as error:  # noqa: BLE001 - raised where the call was made
            outcome["raised"] = error

    thread = threading.Thread(
        target=call, name="occlumap call", daemon=True
    )  # it must not keep a program from ending
    thread.start()
    thread.join(timeout)
    if "raised" in outcome:
        raise outcome["raised"]
    if "returned" not in outcome:
        raise ClassifierError(
            f"the classifier {name!r} gave no answer within {timeout:g} s on a uint8 batch of shape {batch.shape}; "
            "raise the time-out, or lower the batch size"
        )
    return outcome["returned"]


def _checked(
    returned: object,
    name: str,
    rows: int,
    classes: int | None,
    calls_before: int,
    describe: Callable[[int], str],
) -> NDArray[np.float64]:
    expected = f"expected scores of shape ({rows}, {classes or 'classes'})"
    advice = "a classifier takes a batch (n, H, W, 3) and returns one row of scores for each image"
    try:
        array = np.asarray(returned)
    except Exception as error:
        raise ScoreError(
            f"{expected}, got {type(returned).__name__} from classifier {name!r}, which does not turn into an "
            f"array ({error}); return a NumPy array (for a tensor: .detach().cpu().numpy())"
        ) from error
    if array.dtype.kind not in "fiub":
        raise ScoreError(f"{expected}, got values of type {array.dtype} from classifier {name!r}; {advice}")
    if array.ndim == 1 and array.shape == (rows,) and rows >= 1:
        raise ScoreError(
            f"{expected}, got {array.shape} from classifier {name!r}; for a single score per image wrap it: "
            "occlumap.adapters.binary for a probability, .regression for a number, or by hand "
            "lambda batch: classifier(batch)[:, None], or np.stack([1 - p, p], axis=1) for a binary probability"
        )
    if array.ndim == 1 and len(array) > 1:
        advice += "; one that takes a single image (H, W, 3) is named by batched=False (--classifier-option "
        advice += "batched=false), or occlumap.adapters.one_at_a_time"
    if array.ndim != 2 or array.shape[0] != rows or array.shape[1] < 1:
        raise ScoreError(f"{expected}, got {array.shape} from classifier {name!r}; {advice}")
    if classes is not None and array.shape[1] != classes:
        raise ScoreError(
            f"{expected} as in the calls before, got {array.shape} from classifier {name!r}; the number of "
            "classes must not change"
        )
    scores = array.astype(np.float64)
    usable = np.abs(scores) <= MAX_SCORE  # NaN is not
    if not usable.all():
        bad = int(np.flatnonzero(~usable.all(axis=1))[0])
        column = int(np.flatnonzero(~usable[bad])[0])
        unusable = ScoreError(
            f"expected finite scores, {MAX_SCORE:g} in size at most, got {scores[bad, column]} for class {column} from "
            f"classifier {name!r} in call {calls_before + bad + 1} ({describe(bad)}); a heatmap of such scores would "
            "be wrong. Mend the classifier"
        )
        unusable.good_rows = scores[:bad]
        raise unusable
    return scores
