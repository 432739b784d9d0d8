"""VGG in PyTorch with torchvision's names for its parameters, so that its weights load without torchvision."""

import hashlib
import importlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._extras import from_extra
from occlumap.errors import ArgumentError, FileFormatError
from occlumap.stimuli.tasks import SCORE_DIGITS
from occlumap.stimuli.voc import square
from occlumap.stimuli.weights import misfits, read_state

Layers = tuple[int | str, ...]

BACKBONES: dict[str, tuple[Layers, int, int]] = {
    "vgg-narrow": ((8, "M", 16, "M", 32, 32, "M", 32, 32, "M"), 4, 96),
    "vgg11": ((64, "M", 128, "M", *(256,) * 2, "M", *(512,) * 2, "M", *(512,) * 2, "M"), 7, 4096),
    "vgg13": (
        (*(64,) * 2, "M", *(128,) * 2, "M", *(256,) * 2, "M", *(512,) * 2, "M", *(512,) * 2, "M"),
        7,
        4096,
    ),
    "vgg16": (
        (*(64,) * 2, "M", *(128,) * 2, "M", *(256,) * 3, "M", *(512,) * 3, "M", *(512,) * 3, "M"),
        7,
        4096,
    ),
    "vgg19": (
        (*(64,) * 2, "M", *(128,) * 2, "M", *(256,) * 4, "M", *(512,) * 4, "M", *(512,) * 4, "M"),
        7,
        4096,
    ),
}
"""Channels of each convolution and M for a maximum over 2 x 2; the side of the pooled map; the width of the head."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def build(backbone: str, classes: int) -> Any:
    """A `torch.nn.Module` from (n, 3, H, W) to logits (n, classes), its weights drawn from torch's generator.

    backbone: a name of BACKBONES, or module:function of yours, called with the number of classes; the input of its
    last `torch.nn.Linear` is taken for its embedding. Raises ArgumentError for a name that is neither, and for a
    function of yours that raises or gives no network.
    """
    torch = from_extra("stimuli", "torch", "stimuli")
    if not isinstance(backbone, str):
        raise ArgumentError(f"expected the name of a backbone, got {backbone!r}")
    if ":" in backbone:
        return _foreign(backbone, classes)
    if backbone not in BACKBONES:
        raise ArgumentError(
            f"expected a backbone among {', '.join(BACKBONES)}, or module:function of yours, got {backbone!r}"
        )
    nn = torch.nn
    layers, side, width = BACKBONES[backbone]
    channels, features = 3, []
    for layer in layers:
        if layer == "M":
            features.append(nn.MaxPool2d(2, 2))
        else:
            features += [nn.Conv2d(channels, int(layer), 3, padding=1), nn.ReLU()]
            channels = int(layer)
    head = [nn.Linear(channels * side * side, width), nn.ReLU(), nn.Dropout()]
    head += [nn.Linear(width, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, classes)]
    network = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*features),
            avgpool=nn.AdaptiveAvgPool2d((side, side)),
            flatten=nn.Flatten(),
            classifier=nn.Sequential(*head),
        )
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return network


def _foreign(name: str, classes: int) -> Any:
    module, _, function = name.partition(":")
    if not module or not function or module.startswith("."):
        raise ArgumentError(f"expected a backbone of yours as module:function, got {name!r}")
    try:
        make: Callable[[int], Any] = getattr(importlib.import_module(module), function)
    except Exception as error:  # whatever a module does when it is imported
        raise ArgumentError(
            f"expected {name!r} to be module:function, got {type(error).__name__}: {error}"
        ) from error
    try:
        network = make(classes)
    except Exception as error:
        raise ArgumentError(
            f"expected {name!r} to give a network for {classes} classes, it raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(network, from_extra("stimuli", "torch", "stimuli").nn.Module):
        raise ArgumentError(
            f"expected {name!r} to give a torch.nn.Module for {classes} classes, got {type(network).__name__}"
        )
    return network


def check_outputs(network: Any, size: int, classes: int, name: str) -> None:
    """Raise ArgumentError unless the network makes (n, 3, size, size) into logits (n, classes), by a linear layer.

    It is left in the mode to be used in: in that to be trained in a batch normalisation would learn from the question.
    """
    torch = from_extra("stimuli", "torch", "stimuli")
    studied = Studied(network, size, [""] * classes, name)
    try:
        with torch.inference_mode():
            found = network(torch.zeros(2, 3, size, size))
    except Exception as error:
        raise ArgumentError(
            f"expected backbone {name!r} to take images of {size} x {size} pixels, it raised {type(error).__name__}: "
            f"{error}"
        ) from error
    check_logits(found, 2, classes, name)
    studied.last_linear()


def check_logits(found: Any, images: int, classes: int, name: str) -> None:
    """Raise ArgumentError unless what a network gave are logits (images, classes)."""
    shape = tuple(found.shape) if hasattr(found, "shape") else type(found).__name__
    if shape != (images, classes):
        raise ArgumentError(
            f"expected backbone {name!r} to give logits of shape (images, {classes}), one for each class, got {shape} "
            f"for {images} images"
        )


def load_weights(network: Any, path: str | os.PathLike[str]) -> list[str]:
    """Load a state dict such as torchvision's of ImageNet; the names that were left as they are (the last layer's).

    A last layer for another number of classes is not loaded. Raises FileFormatError for weights of another network.
    """
    state = read_state(path)
    own = network.state_dict()
    last = list(own)[-2:]
    skipped = [name for name in last if name in state and state[name].shape != own[name].shape]
    wrong = misfits(own, {**state, **{name: own[name] for name in skipped}})
    if wrong:
        raise FileFormatError(f"expected the weights of this backbone in {path}: {'; '.join(wrong[:6])}")
    network.load_state_dict({**own, **{name: state[name] for name in own if name not in skipped}})
    return skipped


def weights_hash(network: Any) -> str:
    """SHA-256 of the names and values of all weights."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Studied:
    """A trained network as a classifier: uint8 (n, H, W, 3) of any size to the sigmoid of every class (n, classes).

    An image is brought to (size, size) inside, so it may be shown and hidden from at its own shape.
    """

    def __init__(self, network: Any, size: int, classes: Sequence[str], name: str = "studied") -> None:
        self.network, self.size, self.classes, self.__name__ = network.eval(), size, tuple(classes), name
        self._last: Any = None
        self.conserving: set[str] = set()
        """The rule sets of LRP that were found to conserve relevance."""

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Scores (n, classes), 0..1, rounded to 6 places: what an image gets in another batch differs by less."""
        return self.scores_and_embeddings(batch)[0].round(SCORE_DIGITS)

    def inputs(self, batch: NDArray[np.uint8]) -> Any:
        """What the network gets of a batch: a float tensor (n, 3, size, size)."""
        return tensor(np.stack([square(one, self.size) for one in batch]))

    def scores_and_embeddings(
        self, batch: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores (n, classes), not rounded, and what the last linear layer reads (n, width)."""
        torch = from_extra("stimuli", "torch", "stimuli")
        kept: list[Any] = []
        hook = self.last_linear().register_forward_pre_hook(lambda module, given: kept.append(given[0]))
        try:
            with torch.inference_mode():
                logits = self.network(self.inputs(batch))
        finally:
            hook.remove()
        # in double precision: in single, and rounded to 6 places, sure scores would tie at 1, and tied ones cost AP
        scores = torch.sigmoid(logits.double()).numpy()
        return scores, kept[0].flatten(1).double().numpy()

    def last_linear(self) -> Any:
        """The layer whose output is the network's, found by one call. Raises ArgumentError where there is none."""
        if self._last is None:
            torch = from_extra("stimuli", "torch", "stimuli")
            given = torch.rand(1, 3, self.size, self.size, generator=torch.Generator().manual_seed(0))
            made: list[tuple[Any, Any]] = []
            hooks = [
                one.register_forward_hook(lambda module, _, output: made.append((module, output)))
                for one in self.network.modules()
                if isinstance(one, torch.nn.Linear)
            ]
            try:
                with torch.inference_mode():
                    logits = self.network(given)
            finally:
                for hook in hooks:
                    hook.remove()
            found = [
                module
                for module, output in made
                if output.shape == logits.shape and torch.equal(output, logits)
            ]
            if not found:
                raise ArgumentError(
                    "expected a network that ends in a torch.nn.Linear, one output for each class and nothing after it "
                    f"(no sigmoid: it is added), got {len(made)} such layers, none of which gives the network's output"
                )
            self._last = found[-1]
        return self._last


def tensor(batch: NDArray[np.uint8]) -> Any:
    """uint8 (n, H, W, 3) as a float tensor (n, 3, H, W), less ImageNet's mean, over its deviation."""
    torch = from_extra("stimuli", "torch", "stimuli")
    planes = torch.from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(one).reshape(1, 3, 1, 1) for one in (MEAN, STD))
    return (planes - mean) / std
