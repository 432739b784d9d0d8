"""Image classifiers of Hugging Face's transformers, from a local folder or a pipeline."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._extras import from_extra
from occlumap._fingerprints import of_files
from occlumap._versions import versions_of
from occlumap.adapters.callables import Adapted
from occlumap.adapters.preprocessing import checked, softmax
from occlumap.adapters.pytorch import eval_mode
from occlumap.errors import ArgumentError, ClassifierNotFoundError


def from_huggingface(model: Any) -> Adapted:
    """An image-classification pipeline of transformers, or a local folder that holds such a model and its processor.

    Scores are probabilities of all labels, in the order of the model's configuration: softmax of the logits, or the
    sigmoid of each where the configuration says `multi_label_classification` or has one label, the outputs as they are
    where it says `regression`: as the pipeline has them, whose own `function_to_apply` wins. Images are given to the
    model's own processor, so they are explained at their own size, and then in the model's dtype. Nothing is
    downloaded.

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
    torch = from_extra("huggingface", "torch", "this classifier")
    labels = _labels(network.config)
    applied = _applied(model, network.config)

    def inputs_of(batch: NDArray[np.uint8]) -> Any:
        from PIL import Image

        pictures = [
            Image.fromarray(one) for one in checked(batch)
        ]  # as a pipeline has them: every processor's kind
        return processor(images=pictures, return_tensors="pt").to(network.device, network.dtype)

    def prepare(batch: NDArray[np.uint8]) -> Any:
        return inputs_of(batch)["pixel_values"]

    def scores(batch: NDArray[np.uint8]) -> NDArray[np.float64]:
        inputs = inputs_of(batch)
        with eval_mode(network), torch.inference_mode():
            logits = network(**inputs).logits.to("cpu", torch.float64).numpy()
        if applied == "none":
            return np.asarray(logits)
        return 1 / (1 + np.exp(-logits)) if applied == "sigmoid" else softmax(logits)

    return Adapted(scores, type(network).__name__, labels, prepare=prepare)


def from_folder(path: str | os.PathLike[str], **options: Any) -> Adapted:
    """`from_huggingface` of a folder, with a fingerprint for the cache of scores; ArgumentError for any option."""
    if options:
        raise ArgumentError(
            f"expected no options for a folder of transformers, whose own files say all, got {', '.join(options)}"
        )
    classifier = from_huggingface(path)
    # which processor transformers takes hangs on what else is installed
    versions = versions_of("transformers", "torch", "torchvision", "timm", "pillow")
    files = sorted(one for one in Path(path).iterdir() if one.is_file())
    classifier.fingerprint = of_files(files, [one.name for one in files], versions)
    return classifier


def _labels(config: Any) -> list[str]:
    """A name for each column; ArgumentError for names of other columns than there are."""
    columns = range(config.num_labels)
    if set(config.id2label) != set(columns):
        raise ArgumentError(
            f"expected id2label of the model's configuration (config.json) to name the columns 0 to {len(columns) - 1},"
            f" got {', '.join(map(str, config.id2label))!s:.80}; mend it there"
        )
    return [str(config.id2label[column]) for column in columns]


def _applied(model: Any, config: Any) -> str:
    """What is made of the logits: "none", "sigmoid" or "softmax", as the pipeline was told, or tells itself."""
    told = getattr(model, "_postprocess_params", {}).get("function_to_apply")
    if told is not None:
        return str(getattr(told, "value", told))
    if config.problem_type == "regression":
        return "none"
    return (
        "sigmoid"
        if config.problem_type == "multi_label_classification" or config.num_labels == 1
        else "softmax"
    )


def _read(folder: Path) -> tuple[Any, Any]:
    if not (folder / "config.json").is_file():
        raise ClassifierNotFoundError(
            f"expected a folder with the config.json of a transformers model at {folder}"
        )
    transformers = from_extra("huggingface", "transformers", "this classifier")
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
