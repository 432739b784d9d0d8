"""Heatmap conditions of a study: each a function from a Request to a heatmap (H, W), positive speaks for the class.

Ours are named in BUILT_IN; an installed package adds its own by the entry point group `occlumap.conditions`.
A condition takes options by keyword, which the configuration of a stimulus set gives; `none` shows no heatmap and
gives None.
"""

import contextlib
import copy
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import occlumap
from occlumap._arrays import refuse_masked
from occlumap._checks import nearest, one_of
from occlumap._extras import from_extra
from occlumap.errors import ArgumentError, ClassifierError, OcclumapError
from occlumap.explain import without_go_on
from occlumap.stimuli.lrp import RULE_SETS, check_conserves, relevances
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

    In the network's own square, brought back to the image's shape. Raises ArgumentError for a network whose relevance
    is not conserved, by `check_conserves` on the first image.
    """
    classifier, image, target = request.classifier, request.image, request.target
    one_of("rules", rules, RULE_SETS)
    if rules not in classifier.conserving:  # once for a network
        check_conserves(classifier, image, target, rules)
        classifier.conserving.add(rules)
    return _to_shape(relevances(classifier, image, target, rules).sum(axis=0), image.shape[:2])


def grad_cam(request: Request) -> Heatmap:
    """Grad-CAM by Captum, of the last convolution (Selvaraju et al., 2017)."""
    torch, attr = from_extra("stimuli", "torch", "stimuli"), from_extra("stimuli", "captum.attr", "stimuli")
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
    """Smooth noise of the seed and the image, above its median; tells nothing, with about as much red as a method.

    blur: its spread (0..1) as a share of the shorter side.
    """
    if isinstance(blur, bool) or not isinstance(blur, int | float) or not 0 <= blur <= 1:
        raise ArgumentError(f"expected blur to be a number from 0 to 1, got {blur!r}")
    height, width = request.image.shape[:2]
    rng = np.random.default_rng(
        [request.seed, *request.image[:: max(height // 8, 1), :: max(width // 8, 1)].flat]
    )
    noise = Image.fromarray((rng.random((height, width)) * 255).astype(np.uint8))
    smooth = np.asarray(noise.filter(ImageFilter.GaussianBlur(blur * min(height, width))), dtype=np.float64)
    return np.asarray(smooth - np.median(smooth))


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
    """The condition by that name: ours, or one that an installed package gives.

    Raises ArgumentError for a name that there is not, or that several packages, or a package and we, give.
    """
    declared = list(entry_points(group=GROUP))
    others = {one.name: one for one in declared}
    places = {one.value for one in declared if one.name == name}
    places |= {BUILT_IN[name]} if name in BUILT_IN else set()
    if len(places) > 1:
        raise ArgumentError(
            f"expected one condition {name!r}, got {' and '.join(sorted(places))}, by entry points of {GROUP!r}: which "
            "is meant is unknown; give the package's another name, or take the package away"
        )
    if name in BUILT_IN:
        module, _, function = BUILT_IN[name].partition(":")
        found: Condition = getattr(importlib.import_module(module), function)
        return found
    if name not in others:
        known = sorted({*BUILT_IN, *others})
        raise ArgumentError(
            f"expected a condition among {', '.join(known)}, got {name!r}{nearest(name, known)}"
        )
    try:
        with _settings_put_back():
            loaded: Condition = others[name].load()
    except (Exception, SystemExit) as error:
        raise ArgumentError(
            f"expected the condition {name!r} at {others[name].value}, as a package's entry point says; loading it "
            f"raised {type(error).__name__}: {error}"
        ) from error
    return loaded


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raise ArgumentError for a condition that does not exist, or an option that it does not have."""
    function = condition(name)
    try:
        known = inspect.signature(function).parameters.values()
    except ValueError:  # some functions written in C tell none
        return
    if any(one.kind is one.VAR_KEYWORD for one in known):
        return
    names = [one.name for one in list(known)[1:]]
    for one in options:
        if one not in names:
            raise ArgumentError(
                f"expected options of condition {name!r} among {', '.join(names) or '(it has none)'}, got {one!r}"
                f"{nearest(one, names)}"
            )


class _AskedError(OcclumapError):
    """A condition came so far that it asks the network: its options are such as it can use."""


class _Unasked:
    """In the place of a classifier, while values are looked at."""

    def __call__(self, batch: NDArray[np.uint8]) -> None:
        raise _AskedError

    @property
    def network(self) -> None:
        raise _AskedError

    conserving = network


def check_values(name: str, options: Mapping[str, Any], side: int) -> None:
    """Raise an error of ours for a value that one of our conditions cannot use on any image of up to `side` pixels.

    No image is read for it: each runs on a blank one until it asks the network. Of a package's condition nothing is
    known before its first heatmap.
    """
    if name not in BUILT_IN:
        return
    side = 32 if name == "joint" else side  # its segments take time, and no option hangs on the image
    blank = Request(
        np.zeros((side, side, 3), np.uint8), 0, cast(Studied, _Unasked()), np.zeros((side, side), dtype=bool)
    )
    with contextlib.suppress(_AskedError, ClassifierError):
        heatmap(name, blank, dict(options))


def heatmap(name: str, request: Request, options: dict[str, Any] | None = None) -> Heatmap | None:
    """The heatmap of one condition, checked: (H, W) of finite numbers, or None for a condition that shows none.

    A package's condition gets a copy of all that it could change for others (network, image, mask, options), and
    torch's settings are put back after it. Whatever a condition raises that is no error of ours becomes an
    ArgumentError, with its own as the cause.
    """
    options = options or {}
    check_options(name, options)
    try:
        if name in BUILT_IN:
            given = condition(name)(request, **options)
        else:
            own, own_options = _copied(request, options)
            with _settings_put_back():
                given = condition(name)(own, **own_options)
        found = None if given is None else _numbers(given)
    except ArgumentError as error:
        raise ArgumentError(f"condition {name!r}: {error}") from error
    except OcclumapError:
        raise
    except (Exception, SystemExit) as error:
        chosen = ", ".join(f"{key}: {value}" for key, value in options.items())
        raise ArgumentError(
            f"condition {name!r} {f'with options {chosen} ' if chosen else ''}raised {type(error).__name__}: {error}"
        ) from error
    if found is None:
        if name == "none":
            return None
        raise ArgumentError(
            f"expected condition {name!r} to give a heatmap, got None: only the condition none shows none; where "
            "nothing speaks for the class give zeros, as many as the image has pixels"
        )
    if found.shape != request.image.shape[:2]:
        raise ArgumentError(
            f"expected condition {name!r} to give a heatmap of shape {request.image.shape[:2]}, got {found.shape}"
        )
    wrong = found[~np.isfinite(found)]
    if wrong.size:
        raise ArgumentError(
            f"expected condition {name!r} to give finite numbers, got {wrong.size} of {found.size} that are not "
            f"({', '.join(sorted({str(one) for one in wrong}))}), which no colour can show; mend the condition (a "
            "division by 0, say), change its options, or leave it out"
        )
    return found


def _copied(request: Request, options: dict[str, Any]) -> tuple[Request, dict[str, Any]]:
    try:
        return copy.deepcopy((request, options))
    except Exception as error:  # whatever a network of the user's does when it is copied
        raise ArgumentError(
            "expected a network that copy.deepcopy can copy, as a package's condition may change only its own; it "
            f"raised {type(error).__name__}: {error}"
        ) from error


@contextlib.contextmanager
def _settings_put_back() -> Iterator[None]:
    """What whoever runs inside sets for all of torch and NumPy is as before at the end; their generators go on."""
    torch = sys.modules.get("torch")  # where it is not imported nobody of ours computes by it
    before = [] if torch is None else [getattr(torch, getter)() for getter, _ in _SETTINGS]
    with np.errstate():
        try:
            yield
        finally:
            for value, (getter, setter) in zip(before, _SETTINGS, strict=False):
                if getattr(torch, getter)() != value:
                    getattr(torch, setter)(value)


_SETTINGS = (
    ("get_default_dtype", "set_default_dtype"),
    ("is_grad_enabled", "set_grad_enabled"),
    ("get_num_threads", "set_num_threads"),
    ("get_float32_matmul_precision", "set_float32_matmul_precision"),
    ("are_deterministic_algorithms_enabled", "use_deterministic_algorithms"),
)


def _numbers(given: object) -> Heatmap:
    """What a condition gave as float64. Raises ArgumentError for what is no array of real numbers."""
    refuse_masked("a heatmap", given, "fill it (numpy.ma.filled), with 0, say")
    found = np.asarray(given)
    if found.dtype.kind == "c":
        raise ArgumentError("expected real numbers, got complex ones; give their size (np.abs), say")
    if found.dtype.kind not in "biuf":
        raise ArgumentError(f"expected real numbers, got an array of {found.dtype}")
    return found.astype(np.float64)


def _explained(request: Request, **arguments: Any) -> Heatmap:
    try:
        explanation = occlumap.explain(request.classifier, request.image, request.target, **arguments)
    except BaseException as error:
        without_go_on(error)  # nobody here keeps the measurements
        raise
    return np.asarray(explanation.heatmap, dtype=np.float64)  # type: ignore[union-attr]


def _to_shape(values: NDArray[Any], shape: tuple[int, ...]) -> Heatmap:
    if values.shape == shape:
        return np.asarray(values, dtype=np.float64)
    picture = Image.fromarray(np.asarray(values, dtype=np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), dtype=np.float64)
