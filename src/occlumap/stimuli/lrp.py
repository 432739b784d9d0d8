"""Layer-wise relevance propagation by Captum with named rule sets, and the check that its relevance is conserved."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import nearest
from occlumap._extras import from_extra
from occlumap.errors import ArgumentError
from occlumap.stimuli.network import Studied

RULE_SETS = ("epsilon-plus-flat", "epsilon")
"""For VGG. epsilon-plus-flat (Lapuschkin et al.'s composite; zennit's EpsilonPlusFlat): epsilon on linear layers, alpha
1 beta 0 on convolutions, flat on the first, whose inputs have both signs: Captum's alpha 1 beta 0 takes positive
weights alone, which is that rule for inputs of 0 and more only. epsilon: everywhere."""

EPSILON = 1e-6
PASSED_ON = frozenset(
    {
        "adaptive_max_pool2d",
        "cat",
        "chunk",
        "clone",
        "concat",
        "concatenate",
        "contiguous",
        "dropout",
        "dropout2d",
        "flatten",
        "get",
        "getitem",
        "max_pool2d",
        "max_pool2d_with_indices",
        "permute",
        "relu",
        "reshape",
        "split",
        "squeeze",
        "transpose",
        "unflatten",
        "unsqueeze",
        "view",
    }
)
"""Operations between layers through which a gradient carries relevance as LRP does. That of a mean does not: it goes to
positions of activation 0, too, and the sum stays right."""
TOLERANCE = 0.01
"""Relevance and what biases took may sum to the logit less or more this share; a VGG's are off by 0.00001."""


def relevances(classifier: Studied, image: NDArray[np.uint8], target: int, rules: str) -> NDArray[np.float64]:
    """Relevance (3, size, size) of every input of the network; without biases it sums to the target's logit.

    Raises ArgumentError for unknown rules and for a network with a layer that has none.
    """
    return _propagated(classifier.network, classifier.inputs(image[None]), target, rules)[0]


def check_conserves(classifier: Studied, image: NDArray[np.uint8], target: int, rules: str) -> None:
    """Raise ArgumentError unless the image's relevance and what the biases took of it sum to the logit of `target`.

    By numbers, in double precision, in a copy of the network: Captum's LRP sees layers, so what a network computes
    between them (a residual sum, a product, an attention) is not propagated. Operations other than PASSED_ON are
    refused by name; what is hidden from that the sum shows.
    """
    network = copy.deepcopy(classifier.network).double().eval()
    inputs = classifier.inputs(image[None]).double()
    logit = _logit(network, inputs, target)
    pixels, kept = _propagated(network, inputs, target, rules)
    between = [one for one in _between(network, inputs) if one not in PASSED_ON]
    if between:
        raise ArgumentError(
            f"expected a network whose relevance LRP conserves, position by position, got {', '.join(between)} between "
            f"its layers ({classifier.__name__}): LRP follows layers that are modules, so its heatmaps would be wrong. "
            "Write it as a module (a mean over all positions as nn.AdaptiveAvgPool2d(1) and nn.Flatten()); where there "
            "is none, as for a sum or a product, take another condition, such as grad_cam"
        )
    total, absorbed = float(pixels.sum()), kept * logit
    if abs(total + absorbed - logit) > TOLERANCE * max(abs(logit), abs(total), abs(absorbed), 1e-6):
        raise ArgumentError(
            f"expected a network whose relevance LRP conserves, got a logit of {logit:.4g}, and relevance that sums to "
            f"{total:.4g}, with {absorbed:.4g} left in biases ({classifier.__name__}, rules {rules}): it computes "
            "what LRP does not follow (another activation than ReLU, two convolutions that read the image, a sum or a "
            "product in a hook); its heatmaps would be wrong, so take another condition, such as grad_cam"
        )


@dataclass(frozen=True)
class Conservation:
    """How far sums of relevance are from the logit, as shares of it: the biases took that much.

    images: of how many. median_gap, largest_gap: of |sum - logit| / |logit|.
    """

    images: int
    median_gap: float
    largest_gap: float


def conservation(
    classifier: Studied, images: Sequence[tuple[NDArray[np.uint8], int]], rules: str
) -> Conservation:
    """Of the studied model, with its biases, over (image, target); at least one."""
    gaps = []
    for image, target in images:
        logit = _logit(classifier.network, classifier.inputs(image[None]), target)
        total = float(relevances(classifier, image, target, rules).sum())
        gaps.append(abs(total - logit) / max(abs(logit), 1e-9))
    return Conservation(len(gaps), round(float(np.median(gaps)), 4), round(max(gaps), 4))


def _logit(network: Any, inputs: Any, target: int) -> float:
    with from_extra("stimuli", "torch", "stimuli").no_grad():
        return float(network(inputs)[0, target])


def _between(network: Any, inputs: Any) -> list[str]:
    """The operations outside of layers from whose results a gradient flows, each once, by name."""
    torch = from_extra("stimuli", "torch", "stimuli")
    found: dict[str, None] = {}
    inside: list[Any] = []

    class Seen(torch.overrides.TorchFunctionMode):  # type: ignore[misc,name-defined]
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            parts = result if isinstance(result, tuple | list) else [result]
            if not inside and any(isinstance(one, torch.Tensor) and one.requires_grad for one in parts):
                found[function.__name__.strip("_")] = None
            return result

    layers = [one for one in network.modules() if not list(one.children())]
    hooks = [one.register_forward_pre_hook(lambda *_: inside.append(1)) for one in layers]
    hooks += [one.register_forward_hook(lambda *_: inside.clear(), prepend=True) for one in layers]
    try:
        with Seen():
            network(inputs)
    finally:
        for one in hooks:
            one.remove()
    return list(found)


def _first_convolution(network: Any, inputs: Any) -> Any:
    """That which runs first, whatever the order in which the network's layers were made; None where none runs."""
    torch = from_extra("stimuli", "torch", "stimuli")
    order: list[Any] = []
    hooks = [
        one.register_forward_pre_hook(lambda module, _: order.append(module))
        for one in network.modules()
        if isinstance(one, torch.nn.Conv2d)
    ]
    try:
        with torch.no_grad():
            network(inputs)
    finally:
        for one in hooks:
            one.remove()
    return order[0] if order else None


def _propagated(network: Any, inputs: Any, target: int, rules: str) -> tuple[NDArray[np.float64], float]:
    """The relevance of the inputs (3, size, size), and what layers kept for their biases, as a share of the logit."""
    attr = from_extra("stimuli", "captum.attr", "stimuli")
    kept: list[float] = []
    _set_rules(network, rules, kept, _first_convolution(network, inputs))
    try:
        found = attr.LRP(network).attribute(inputs.requires_grad_(), target=target)
    except (
        TypeError,
        RuntimeError,
        AttributeError,
        AssertionError,
    ) as error:  # Captum's for a layer without a rule
        raise ArgumentError(
            f"expected a network of convolutions, pooling, ReLU and linear layers for lrp: {error}"
        ) from error
    pixels: NDArray[np.float64] = found[0].detach().double().numpy()
    return pixels, sum(kept)


def _set_rules(network: Any, rules: str, kept: list[float], first: Any) -> None:
    """Give every layer its rule; each adds to `kept` what does not go on of its relevance, as a share of the logit."""
    if rules not in RULE_SETS:
        raise ArgumentError(
            f"expected rules among {', '.join(RULE_SETS)}, got {rules!r}{nearest(rules, RULE_SETS)}"
        )
    torch = from_extra("stimuli", "torch", "stimuli")
    captum = from_extra("stimuli", "captum.attr._utils.lrp_rules", "stimuli")

    class Counted(captum.PropagationRule):  # type: ignore[misc,name-defined]
        """Of an output's relevance its bias' share, and that of the term against division by 0, stays behind."""

        def forward_hook(self, module: Any, inputs: Any, outputs: Any) -> Any:
            self.bias = getattr(module, "bias", None)
            return super().forward_hook(module, inputs, outputs)

        def _create_backward_hook_output(self, outputs: Any) -> Any:
            propagate = super()._create_backward_hook_output(outputs)
            stable = torch.where(outputs < 0, -1.0, 1.0) * self.STABILITY_FACTOR
            bias = 0.0 if self.bias is None else self.bias.data.reshape(-1, *[1] * (outputs.ndim - 2))

            def hook(relevance: Any) -> Any:
                kept.append(float((relevance * (bias + stable) / (outputs + stable)).sum()))
                return propagate(relevance)

            return hook

    class Epsilon(Counted, captum.EpsilonRule):  # type: ignore[misc,name-defined]
        pass

    class Plus(Counted, captum.Alpha1_Beta0_Rule):  # type: ignore[misc,name-defined]
        pass

    class Flat(Counted):
        """Relevance in equal shares to all that an output reads (Lapuschkin et al., 2017), conserved at borders."""

        def forward_hook_weights(self, module: Any, inputs: Any, outputs: Any) -> None:
            ones = tuple(torch.ones_like(one.data) for one in inputs)
            module.activations[inputs[0].device] = ones
            self._manipulate_weights(module, inputs, outputs)

        def _manipulate_weights(self, module: Any, inputs: Any, outputs: Any) -> None:
            module.weight.data = torch.ones_like(module.weight.data)
            if module.bias is not None:
                module.bias.data = torch.zeros_like(module.bias.data)

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and rules != "epsilon":
            module.rule = Flat() if module is first else Plus(set_bias_to_zero=True)
        elif isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.rule = Epsilon(EPSILON)
        elif isinstance(module, torch.nn.Flatten):
            module.rule = captum.EpsilonRule(EPSILON)
