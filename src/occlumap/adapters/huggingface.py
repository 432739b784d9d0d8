"""Image classifiers of Hugging Face's transformers, from a local folder or a pipeline."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.adapters._library import library
from occlumap.adapters.callables import Adapted
from occlumap.adapters.preprocessing import checked, softmax
from occlumap.adapters.pytorch import eval_mode
from occlumap.errors import ArgumentError, ClassifierNotFoundError


def from_huggingface(model: Any) -> Adapted:
    """An image-classification pipeline of transformers, or a local folder that holds such a model and its processor.

    Scores are probabilities of all labels, in the order of the model's configuration: softmax of the logits, or the
    sigmoid of each where the configuration says `multi_label_classification` or has one label, the outputs as they are
    where it says `regression`: as the pipeline has them. Images are given to the model's own
    processor, so they are explained at their own size. Nothing is downloaded.

    Raises MissingDependencyError without transformers and torch, ClassifierNotFoundError for a folder that holds no
    such model or not all of its weights (a network without a classification head), ArgumentError for another kind of
    pipeline.
    """
    if isinstance(model, str | os.PathLike):
        network, processor = _read(Path(model))
    else:
        network, processor = getattr(model, "model", None), getattr(model, "image_processor", None)
        if getattr(model, "task", None) != "image-classification" or network is None or processor is None:
            raise ArgumentError(
                "expected an image-classification pipeline of transformers, or the folder of a model, got "
                f"{type(model).__name__}"
            )
    torch = library("torch", "huggingface")
    labels = [str(network.config.id2label[index]) for index in range(network.config.num_labels)]
    kind = network.config.problem_type
    several = kind == "multi_label_classification" or (kind != "regression" and len(labels) == 1)

    def inputs_of(batch: NDArray[np.uint8]) -> Any:
        return processor(images=list(checked(batch)), return_tensors="pt", input_data_format="channels_last")

    def prepare(batch: NDArray[np.uint8]) -> Any:
        return inputs_of(batch)["pixel_values"]

    def scores(batch: NDArray[np.uint8]) -> NDArray[np.float64]:
        inputs = inputs_of(batch)
        with eval_mode(network), torch.inference_mode():
            logits = network(**inputs.to(network.device)).logits.to("cpu", torch.float64).numpy()
        if kind == "regression":
            return np.asarray(logits)
        return 1 / (1 + np.exp(-logits)) if several else softmax(logits)

    return Adapted(scores, type(network).__name__, labels, prepare=prepare)


def _read(folder: Path) -> tuple[Any, Any]:
    if not (folder / "config.json").is_file():
        raise ClassifierNotFoundError(
            f"expected a folder with the config.json of a transformers model at {folder}"
        )
    transformers = library("transformers", "huggingface")
    safely = {"local_files_only": True, "trust_remote_code": False}  # code that lies in the folder is not run
    try:
        model, told = transformers.AutoModelForImageClassification.from_pretrained(
            folder, **safely, output_loading_info=True
        )
        processor = transformers.AutoImageProcessor.from_pretrained(folder, **safely)
    except Exception as error:  # a damaged file raises what its reader likes
        raise ClassifierNotFoundError(
            f"expected an image-classification model and its processor in {folder}: {error}"
        ) from error
    random = sorted(told["missing_keys"])
    if random:
        raise ClassifierNotFoundError(
            f"expected all weights of an image classifier in {folder}, which lacks {', '.join(random[:4])}"
            f"{' and more' if len(random) > 4 else ''}: they would be random. A network without its classification "
            "head gives features; put them in adapters.from_sklearn or adapters.similarity"
        )
    return model, processor
