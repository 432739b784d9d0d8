"""Keras 3 models, on whichever of its backends is set up."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.adapters._library import library
from occlumap.adapters.callables import Adapted
from occlumap.adapters.preprocessing import Preprocessing, fitted, known_keys, scores_of
from occlumap.errors import ArgumentError, ClassifierNotFoundError


def from_keras(
    model: Any,
    *,
    output: str,
    preprocess: Callable[[NDArray[np.float32]], Any] | None = None,
    size: int | tuple[int, int] | None = None,
    mean: object = 0.0,
    std: object = 1.0,
    colour: str = "RGB",
    classes: Sequence[str] | None = None,
) -> Adapted:
    """A Keras 3 model from (n, H, W, C) to scores (n, classes), or the path of a `.keras` file of one.

    `preprocess`: the model's own, such as `keras.applications.resnet.preprocess_input`, given float32 pixels 0..255
    (n, H, W, 3); without it input = (pixel - mean) / std. `size`: the model's own when None. `output`: "logits", of
    which softmax makes probabilities, or "probabilities". Loading a file runs in Keras's safe mode.

    Raises MissingDependencyError without Keras, ClassifierNotFoundError for no such file, ArgumentError for values
    that cannot be.
    """
    if isinstance(model, str | os.PathLike):
        keras = library("keras", "keras")
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
    given = {"size": size if size is not None else own, "layout": "NHWC", "colour": colour}
    preprocessing = Preprocessing.of(
        {**given, "mean": mean, "std": std, "output": output}, "for a Keras model"
    )
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

    return Adapted(scores, name, classes, preprocessing.size, prepare)


def from_file(path: str | os.PathLike[str], **options: Any) -> Adapted:
    """`from_keras` of a file; ArgumentError for an option that it does not have, or without `output`."""
    known_keys(options, ("output", "size", "mean", "std", "colour", "classes"), "for a Keras file")
    if options.get("output") is None:
        raise ArgumentError(
            "expected output ('probabilities' or 'logits') for a Keras file, which nobody can guess"
        )
    return from_keras(path, **options)
