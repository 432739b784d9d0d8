"""Keras 3 models, on whichever of its backends is set up."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from occlumap._extras import from_extra
from occlumap._fingerprints import of_files
from occlumap.adapters.callables import Adapted, class_tuple
from occlumap.adapters.preprocessing import Preprocessing, check_number, fitted, known_keys, scores_of
from occlumap.errors import ArgumentError, ClassifierNotFoundError, MissingDependencyError, OcclumapWarning

LARGEST_SCALE = 0.1
"""A Rescaling layer that multiplies pixels by no more than that takes them from 0 to 255."""

LEAST_OF_PIXELS = 1.5
"""A mean or variance above that was learnt from pixels from 0 to 255, not from numbers from 0, or -1, to 1."""


def from_keras(
    model: Any,
    *,
    output: str,
    preprocess: Callable[[NDArray[np.float32]], Any] | None = None,
    size: int | tuple[int, int] | None = None,
    mean: object = None,
    std: object = None,
    colour: str = "RGB",
    classes: Sequence[str] | None = None,
) -> Adapted:
    """A Keras 3 model from (n, H, W, C) to scores (n, classes), or the path of a `.keras` file of one.

    `preprocess`: the model's own, such as `keras.applications.resnet.preprocess_input`, given float32 pixels 0..255 (n,
    H, W, 3); else `mean` and `std`: input = (pixel - mean) / std; neither for a model that prepares its pixels itself,
    by a Rescaling or Normalization layer, for pixels from 0 to 255, before all others that have weights. `size`: the
    model's own when None. `output`: "logits", of which softmax makes probabilities, "probabilities", or "numbers", as
    they come. Loading a file runs in Keras's safe mode.

    Raises MissingDependencyError without Keras or its backend, ClassifierNotFoundError for no such file, ArgumentError
    for values that are missing, cannot be, or contradict the model.
    """
    names = None if classes is None else class_tuple(classes)
    if isinstance(model, str | os.PathLike):
        keras = _keras()
        try:
            model = keras.saving.load_model(os.fspath(model), compile=False, safe_mode=True)
        except Exception as error:  # a damaged or hostile file raises what its reader likes
            raise ClassifierNotFoundError(
                f"expected a Keras model at {os.fspath(model)}, of Keras's own layers (one with others is loaded in "
                f"Python and handed to adapters.from_keras): {error!s:.300}"
            ) from error
    if not callable(getattr(model, "predict_on_batch", None)):
        raise ArgumentError(f"expected a Keras model, got {type(model).__name__}")
    shape = getattr(model, "input_shape", None)
    own = (
        tuple(shape[1:3]) if isinstance(shape, tuple) and len(shape) == 4 and None not in shape[1:3] else None
    )
    if preprocess is not None and not (mean is None and std is None):
        raise ArgumentError("expected either preprocess, or mean and std, got both")
    if preprocess is not None and colour != "RGB":
        raise ArgumentError(
            f"expected colour only with mean and std, got {colour!r} beside preprocess, which is given RGB and may "
            "turn it itself"
        )
    itself = _prepares_itself(model)
    if mean is None and std is None and preprocess is None and itself and not itself.of_pixels:
        raise ArgumentError(
            f"expected mean and std for a model whose {itself.kind} layer takes other numbers than pixels from 0 to "
            "255, as its own scale or mean says; mean=0 and std=255 make numbers from 0 to 1, mean=0 and std=1 "
            "leave pixels as they are, for a model that divides them before that layer"
        )
    if mean is None and std is None and (preprocess is not None or itself):
        mean, std = 0.0, 1.0
    given = {"size": size if size is not None else own, "layout": "NHWC", "colour": colour}
    preprocessing = Preprocessing.of(
        {**given, "mean": mean, "std": std, "output": output},
        "for a Keras model without a preprocess, or a Rescaling or Normalization layer of its own",
    )
    if itself and itself.of_pixels and (set(preprocessing.mean), set(preprocessing.std)) != ({0.0}, {1.0}):
        warnings.warn(
            f"the model has a {itself.kind} layer at its input, and mean and std as well: pixels are scaled twice. "
            "Leave mean and std out, unless it was trained so",
            OcclumapWarning,
            stacklevel=2,
        )
    _check_ends(model, shape, preprocessing.channels if preprocess is None else None, names)
    if own is not None and own != preprocessing.size:
        raise ArgumentError(
            f"expected size {list(own)}, which the model takes, got {list(preprocessing.size)}"
        )
    name = str(getattr(model, "name", "keras"))

    def prepare(batch: NDArray[np.uint8]) -> Any:
        if preprocess is None:
            return preprocessing.apply(batch)
        return preprocess(fitted(batch, preprocessing.size).astype(np.float32))

    def scores(batch: NDArray[np.uint8]) -> NDArray[np.float64]:
        return scores_of(model.predict_on_batch(prepare(batch)), output, name)

    return Adapted(scores, name, names, preprocessing.size, prepare)


def _keras() -> Any:
    try:
        return from_extra("keras", "keras", "this classifier")
    except ValueError as error:
        raise ArgumentError(
            f"expected Keras to find its backend, as KERAS_BACKEND names it: {error}"
        ) from error
    except MissingDependencyError as error:
        missing = getattr(error.__cause__, "name", None)
        if missing in ("keras", None):
            raise
        raise MissingDependencyError(
            f"expected Keras with a backend that is installed, got no {missing}; set the environment variable "
            "KERAS_BACKEND to one that is (KERAS_BACKEND=torch or KERAS_BACKEND=jax), or install tensorflow, which it "
            "takes where nothing is set"
        ) from error


class _Scaling(NamedTuple):
    """The layer that scales a model's input, and whether its own numbers are those of pixels from 0 to 255."""

    kind: str
    of_pixels: bool


def _prepares_itself(model: Any) -> _Scaling | None:
    """The layer that scales the input, before any other that has weights."""
    for layer in _leaves(model):
        kind = type(layer).__name__
        if kind == "Rescaling":  # pixels are brought to about 1
            return _Scaling(kind, float(np.abs(np.asarray(layer.scale, np.float64)).max()) < LARGEST_SCALE)
        if kind == "Normalization":  # its mean and variance were learnt from what it takes
            learnt = [one for one in (layer.mean, layer.variance) if one is not None]
            largest = max(
                (float(np.abs(_keras().ops.convert_to_numpy(one)).max()) for one in learnt), default=0.0
            )
            return _Scaling(kind, largest > LEAST_OF_PIXELS)
        if layer.weights:
            break
    return None


def _leaves(model: Any) -> Iterator[Any]:
    """The layers that hold no others, from the input on."""
    for layer in getattr(model, "layers", ()):
        if hasattr(layer, "layers"):
            yield from _leaves(layer)
        else:
            yield layer


def _check_ends(model: Any, shape: Any, channels: int | None, classes: Sequence[str] | None) -> None:
    """The input's channels (None: any) and the number of scores must be what the model says, where it does."""
    taken = shape[-1] if isinstance(shape, tuple) and len(shape) == 4 else None
    if channels is not None and taken is not None and taken != channels:
        raise ArgumentError(
            f"expected colour to have as many channels as the model takes, {taken} of input {shape}, got {channels} "
            "(RGB and BGR have 3, L has 1; the channels come last)"
        )
    given = getattr(model, "output_shape", None)
    scores = given[-1] if isinstance(given, tuple) and len(given) == 2 else None
    check_number(classes, scores, "the model")


def from_file(path: str | os.PathLike[str], **options: Any) -> Adapted:
    """`from_keras` of a file, with a fingerprint for the cache of scores.

    ArgumentError for an option that it does not have, or without `output`.
    """
    known_keys(options, ("output", "size", "mean", "std", "colour", "classes"), "for a Keras file")
    if options.get("output") is None:
        raise ArgumentError(
            "expected output ('probabilities', 'logits' or 'numbers') for a Keras file, which nobody can guess"
        )
    classifier = from_keras(path, **options)
    keras = _keras()
    mark = of_files([Path(path)], sorted(options.items()), keras.__version__, keras.config.backend())
    classifier.fingerprint = str(mark)  # the code of a layer of your own is not in the file
    return classifier
