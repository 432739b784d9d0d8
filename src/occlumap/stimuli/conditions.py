"""Heatmap conditions of a study: each a function from a Request to a heatmap (H, W), positive speaks for the class.

Ours are named in BUILT_IN; an installed package adds its own by the entry point group `occlumap.conditions`.
A condition takes options by keyword, which the configuration of a stimulus set gives; `none` shows no heatmap and
gives None.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import occlumap
from occlumap._checks import nearest
from occlumap.errors import ArgumentError
from occlumap.stimuli._optional import optional
from occlumap.stimuli.network import Studied

GROUP = "occlumap.conditions"


@dataclass(frozen=True)
class Request:
    """What a condition gets. mask: (H, W), where the class's objects are; nowhere for an image without them."""

    image: NDArray[np.uint8]
    target: int
    classifier: Studied
    mask: NDArray[np.bool_]
    seed: int = 0


Heatmap = NDArray[np.float64]
Condition = Callable[..., Heatmap | None]


def occlusion(
    request: Request, *, depth: int = 4, best_k: int | str = 5, fill: object = "constant:169"
) -> Heatmap:
    """Multi-scale occlusion with the study's parameters (section 5.3.1)."""
    return _explained(request, method="paper", depth=depth, best_k=best_k, fill=fill)


def joint(request: Request, *, budget: int | None = None, fill: object = None) -> Heatmap:
    """The default method of `explain`: one Bayesian model over masks of a tree of segments."""
    return _explained(request, method="joint", budget=budget, fill=fill, seed=request.seed)


def single_scale(
    request: Request, *, window: int | None = None, stride: int | None = None, fill: object = "constant:169"
) -> Heatmap:
    """Windows of one size, hidden in grey."""
    return _explained(request, method="single-scale", window=window, stride=stride, fill=fill)


def lrp(request: Request, *, rules: str = "epsilon-plus-flat") -> Heatmap:
    """Layer-wise relevance propagation by Captum, summed over the colours; rules: a name of RULE_SETS.

    Of the network's plain ReLU layers, in its own square, brought back to the image's shape.
    """
    relevance = relevances(request.classifier, request.image, request.target, rules)
    return _to_shape(relevance.sum(axis=0), request.image.shape[:2])


def grad_cam(request: Request) -> Heatmap:
    """Grad-CAM by Captum, of the last convolution (Selvaraju et al., 2017)."""
    torch, attr = optional("torch"), optional("captum.attr")
    network = request.classifier.network
    convolutions = [one for one in network.modules() if isinstance(one, torch.nn.Conv2d)]
    if not convolutions:
        raise ArgumentError("expected a network with convolutions for grad_cam, got none")
    inputs = request.classifier.inputs(request.image[None])
    coarse = attr.LayerGradCam(network, convolutions[-1]).attribute(
        inputs, target=request.target, relu_attributions=True
    )
    return _to_shape(coarse[0, 0].detach().double().numpy(), request.image.shape[:2])


def random(request: Request, *, blur: float = 0.06) -> Heatmap:
    """Smooth noise of the seed and the image; tells nothing. blur: its spread as a share of the shorter side."""
    height, width = request.image.shape[:2]
    rng = np.random.default_rng(
        [request.seed, *request.image[:: max(height // 8, 1), :: max(width // 8, 1)].flat]
    )
    noise = Image.fromarray((rng.random((height, width)) * 255).astype(np.uint8))
    smooth = np.asarray(noise.filter(ImageFilter.GaussianBlur(blur * min(height, width))), dtype=np.float64)
    return np.asarray(smooth - smooth.min())


def mask(request: Request) -> Heatmap:
    """The object itself, 1 on it and 0 elsewhere, whatever the classifier looks at; 0 where there is none."""
    return request.mask.astype(np.float64)


def none(request: Request) -> None:
    """No heatmap."""
    return


BUILT_IN = {
    name: f"{__name__}:{name}"
    for name in ("occlusion", "joint", "single_scale", "lrp", "grad_cam", "random", "mask", "none")
}
"""The same table as in pyproject.toml, so that a clone on PYTHONPATH has them, too."""


def condition(name: str) -> Condition:
    """The condition by that name: ours, or one that an installed package gives. Raises ArgumentError."""
    if name in BUILT_IN:
        module, _, function = BUILT_IN[name].partition(":")
        found: Condition = getattr(importlib.import_module(module), function)
        return found
    others = {one.name: one for one in entry_points(group=GROUP)}
    if name not in others:
        known = sorted({*BUILT_IN, *others})
        raise ArgumentError(
            f"expected a condition among {', '.join(known)}, got {name!r}{nearest(name, known)}"
        )
    loaded: Condition = others[name].load()
    return loaded


def heatmap(name: str, request: Request, options: dict[str, Any] | None = None) -> Heatmap | None:
    """The heatmap of one condition, checked: (H, W) of finite numbers, or None for a condition that shows none."""
    try:
        found = condition(name)(request, **(options or {}))
    except TypeError as error:
        if options and "keyword" in str(error):
            raise ArgumentError(f"condition {name!r} was given {options}: {error}") from error
        raise
    if found is None:
        return None
    found = np.asarray(found, dtype=np.float64)
    if found.shape != request.image.shape[:2] or not np.isfinite(found).all():
        raise ArgumentError(
            f"expected condition {name!r} to give a finite heatmap of shape {request.image.shape[:2]}, got "
            f"{found.shape}"
        )
    return found


RULE_SETS = ("epsilon-plus-flat", "epsilon-plus", "epsilon")
"""For VGG. epsilon-plus-flat (Lapuschkin et al.'s composite; zennit's EpsilonPlusFlat): epsilon on linear layers, alpha
1 beta 0 on convolutions, flat on the first. epsilon-plus: alpha 1 beta 0 on the first, too. epsilon: everywhere."""

EPSILON = 1e-6


def relevances(classifier: Studied, image: NDArray[np.uint8], target: int, rules: str) -> NDArray[np.float64]:
    """Relevance (3, size, size) of every input of the network; without biases it sums to the target's logit."""
    attr = optional("captum.attr")
    inputs = classifier.inputs(image[None]).requires_grad_()
    _set_rules(classifier.network, rules)
    try:
        found = attr.LRP(classifier.network).attribute(inputs, target=target)
    except TypeError as error:  # Captum's word for a layer without a rule
        raise ArgumentError(
            f"expected a network of convolutions, pooling, ReLU and linear layers for lrp: {error}"
        ) from error
    pixels: NDArray[np.float64] = found[0].detach().double().numpy()
    return pixels


def _set_rules(network: Any, rules: str) -> None:
    if rules not in RULE_SETS:
        raise ArgumentError(
            f"expected rules among {', '.join(RULE_SETS)}, got {rules!r}{nearest(rules, RULE_SETS)}"
        )
    torch, captum = optional("torch"), optional("captum.attr._utils.lrp_rules")

    class Flat(captum.PropagationRule):  # type: ignore[misc,name-defined]
        """Relevance in equal shares to all that an output reads (Lapuschkin et al., 2017), conserved at borders."""

        def forward_hook_weights(self, module: Any, inputs: Any, outputs: Any) -> None:
            ones = tuple(torch.ones_like(one.data) for one in inputs)
            module.activations[inputs[0].device] = ones
            self._manipulate_weights(module, inputs, outputs)

        def _manipulate_weights(self, module: Any, inputs: Any, outputs: Any) -> None:
            module.weight.data = torch.ones_like(module.weight.data)
            if module.bias is not None:
                module.bias.data = torch.zeros_like(module.bias.data)

    first = True
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and rules != "epsilon":
            flat = first and rules == "epsilon-plus-flat"
            module.rule = Flat() if flat else captum.Alpha1_Beta0_Rule(set_bias_to_zero=True)
            first = False
        elif isinstance(module, torch.nn.Conv2d | torch.nn.Linear | torch.nn.Flatten):
            module.rule = captum.EpsilonRule(EPSILON)


def _explained(request: Request, **arguments: Any) -> Heatmap:
    explanation = occlumap.explain(request.classifier, request.image, request.target, **arguments)
    return np.asarray(explanation.heatmap, dtype=np.float64)  # type: ignore[union-attr]


def _to_shape(values: NDArray[Any], shape: tuple[int, ...]) -> Heatmap:
    if values.shape == shape:
        return np.asarray(values, dtype=np.float64)
    picture = Image.fromarray(np.asarray(values, dtype=np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), dtype=np.float64)
