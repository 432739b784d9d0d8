"""explain: choose what to hide, measure it, estimate the heatmap; wires the steps, decides nothing else."""

import inspect
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import nearest, one_of, whole_number
from occlumap.classifiers import Classifier, name_of
from occlumap.errors import ArgumentError, OcclumapWarning, TargetError, UnknownArgumentError
from occlumap.estimators import Estimate
from occlumap.estimators.paper import paper
from occlumap.estimators.single_scale import single_scale
from occlumap.explanation import Explanation
from occlumap.fills import Image, parse
from occlumap.grid import OFFSETS, Grid
from occlumap.measurements import Measurements
from occlumap.measuring import Measurer, Progress
from occlumap.offsets import SELECTIONS, check_best_k
from occlumap.perturbations import removals
from occlumap.pyramid import Pruning
from occlumap.regions import Frame, Region
from occlumap.samplers import Sampler, joint_leaves, promising_offsets, sliding_window, sweep

METHODS = ("paper", "single-scale")
FOREIGN_KEYWORDS = {
    "baseline": "fill",
    "baselines": "fill",
    "n_samples": "budget",
    "nsamples": "budget",
    "num_samples": "budget",
    "n_masks": "budget",
    "max_evals": "budget",
    "sliding_window_shapes": "window",
    "window_size": "window",
    "patch_size": "window",
    "strides": "stride",
    "label": "target",
    "labels": "target",
    "class_idx": "target",
    "model": "classifier",
    "inputs": "image",
    "input": "image",
    "perturbations_per_eval": "batch_size",
    "max_depth": "depth",
    "k": "best_k",
    "random_state": "seed",
}
"""What other libraries call our arguments (Captum, SHAP, LIME, DIANNA, RISE)."""

SMALL_SCORE = 0.05
"""An original score below this share of the scale of scores is warned about."""

Target = int | str


def explain(
    classifier: Classifier,
    image: Any,
    target: Target | Sequence[Target] | None = None,
    method: str = "paper",
    depth: int = 4,
    offsets: str = "all",
    best_k: int | str = 5,
    fill: object = "neighbours",
    seed: int = 0,
    batch_size: int = 32,
    *,
    budget: int | None = None,
    pruning: str = "greedy",
    selection: str = "density",
    threshold: str | float = "1%",
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    resume: Measurements | None = None,
    progress: Progress | None = None,
    **unknown: object,
) -> Explanation | list[Explanation]:
    """Which parts of `image` made `classifier` give class `target` its score.

    Parameters
    ----------
    classifier: any callable from a uint8 batch (n, H, W, 3) to scores (n, classes). If it has an
        `input_size` (height, width), the image's centre is brought to that size first.
    image: a path, a file, a PIL image, or an array (H, W), (H, W, 3), (H, W, 4); uint8, uint16, float 0..1.
    target: a class index, a class name (if the classifier has `classes`), a list of these (gives a list
        of Explanations from the same calls), or None for the top class.
    method: "paper" (multi-scale, sections 4.3 to 4.12) or "single-scale" (section 4.2).
    depth, offsets, best_k, pruning, selection, threshold: of the paper's method. Scales below the root;
        "none", "four" or "all" offsets; how many of the best are averaged, "all" or more than there are
        meaning all; "greedy" (4.5) or "optimal"; "density" (4.12), "adversarial" (4.11) or "vote" (8.1);
        leaves at or below it go, "1%" of the original score or a number.
    fill: "neighbours", "constant:169", "constant:255,0,0", "mean", "blur", "inpaint:telea", a fill object, a
        colour, or any f(image, mask) -> image; None for the method's own ("neighbours").
    seed: kept in the result; neither method draws random numbers.
    batch_size: images per classifier call at most (fewer where a batch would pass 64 MB).
    budget: classifier calls at most, the original image included. "paper" finds out which offsets pay.
    window, stride: of "single-scale", in pixels, one number or (rows, columns); a fourth of the shorter
        side and half the window when None.
    resume: measurements of the same image, fill, targets and classifier, as `.measurements` of an error or
        an Explanation has them; they are not measured again, and count towards the budget.
    progress: called as progress(done, total) after each batch.

    Raises
    ------
    UnknownArgumentError, ArgumentError, BudgetError, ImageError, TargetError before calls are spent;
    ClassifierError, ScoreError with `.measurements` when the classifier fails.

    >>> import numpy as np
    >>> def brightness_top_left(batch):
    ...     return batch[:, :4, :4].mean(axis=(1, 2, 3))[:, None] / 255
    >>> picture = np.zeros((16, 16, 3), np.uint8)
    >>> picture[:4, :4] = 255
    >>> explanation = explain(brightness_top_left, picture, depth=2, fill="constant:0", best_k=1)
    >>> explanation.heatmap[0, 0], explanation.heatmap[8, 8]
    (np.float32(1.0), np.float32(0.0))
    """
    _refuse(unknown)
    started = time.perf_counter()
    if not callable(classifier):
        raise ArgumentError(
            f"expected classifier to be a callable from a batch (n, H, W, 3) to scores, got {classifier!r}; the "
            "classifier comes first, then the image (occlumap.load gives one by name)"
        )
    pixels, frame, notes = _read(image, getattr(classifier, "input_size", None))
    filling = parse("neighbours" if fill is None else fill)
    plan = _plan(
        method,
        pixels.shape[:2],
        depth,
        offsets,
        best_k,
        budget,
        pruning,
        selection,
        threshold,
        window,
        stride,
    )
    seed = whole_number("seed", seed, minimum=0)
    measurer = Measurer(classifier, pixels, filling, batch_size=batch_size, budget=budget, progress=progress)

    row = measurer.measure_original()
    several = isinstance(target, list | tuple)
    wanted_targets: list[Any] = list(target) if isinstance(target, list | tuple) else [target]
    targets = _resolve(wanted_targets, row, classifier)
    plan.check(row[targets])
    measurer.aim(list(dict.fromkeys(targets)), resume)
    sampler = plan.sampler(targets)
    measurer.total = plan.total
    measurements = measurer.measure(removals(np.empty((0, 4), np.int32)))
    try:
        while len(wanted := sampler(measurements, measurer.left)):
            measurements = measurer.measure(wanted)
        estimates = [plan.estimate(measurements, index) for index in targets]
    except BaseException as error:
        if getattr(error, "measurements", None) is None:  # stopped while choosing or estimating
            error.measurements = measurements  # type: ignore[attr-defined]
        raise

    provenance = {
        "image_sha256": measurements.image_sha256,
        "image_notes": list(notes),
        "classifier": name_of(classifier),
        "seed": seed,
        "calls": measurer.calls,
        "seconds": round(time.perf_counter() - started, 3),
        "versions": _versions(),
    }
    settings = {**plan.settings, "fill": str(filling), "budget": measurer.budget}
    explanations = []
    for index, estimate in zip(targets, estimates, strict=True):
        said = _warnings(estimate.heatmap, float(row[index]), row, measurements)
        for text in said:
            warnings.warn(text, OcclumapWarning, stacklevel=2)
        explanations.append(
            Explanation(
                estimate.heatmap,
                pixels,
                frame,
                index,
                _class_name(classifier, index),
                float(row[index]),
                measurements,
                settings,
                estimate.offsets,
                estimate.densities,
                provenance,
                said,
            )
        )
    return explanations if several else explanations[0]


@dataclass(frozen=True)
class _Plan:
    """What a method asks for and how it reads the answers."""

    settings: dict[str, Any]
    total: int | None
    sampler: Callable[[list[int]], Sampler]
    estimate: Callable[[Measurements, int], Estimate]
    check: Callable[[NDArray[np.float64]], None]


def _plan(
    method: str,
    shape: tuple[int, ...],
    depth: int,
    offsets: str,
    best_k: int | str,
    budget: int | None,
    rule: str,
    selection: str,
    threshold: str | float,
    window: object,
    stride: object,
) -> _Plan:
    """Every argument of a method checked, before any call is spent."""
    one_of("method", method, METHODS)
    if method == "single-scale":
        window = max(1, min(shape) // 4) if window is None else window
        windows = sliding_window((shape[0], shape[1]), window, stride)
        return _Plan(
            {"method": method, "window": _plain(window), "stride": _plain(stride)},
            1 + len(windows),
            lambda targets: sweep(windows),
            single_scale,
            lambda originals: None,
        )
    if window is not None or stride is not None:
        raise ArgumentError(
            "expected window and stride only with method='single-scale'; method='paper' has depth"
        )
    grid = Grid(shape[0], shape[1], depth)
    wanted = grid.offsets(one_of("offsets", offsets, OFFSETS))
    check_best_k(best_k)
    pruning = Pruning(rule, threshold)
    one_of("selection", selection, SELECTIONS)
    if budget is not None and selection == "adversarial":
        raise ArgumentError(
            "expected selection='density' or 'vote' with a budget, got 'adversarial', which spends one more call "
            "on each measured offset; leave out the budget"
        )
    everything = grid.regions(wanted)
    enough = budget is None or budget >= 1 + len(everything)

    def sampler(targets: list[int]) -> Sampler:
        if not enough:
            return promising_offsets(grid, wanted, targets, pruning)
        all_regions = sweep(removals(everything))
        if selection != "adversarial":
            return all_regions
        return joint_leaves(grid, wanted, targets, pruning, all_regions)

    def estimate(measurements: Measurements, target: int) -> Estimate:
        return paper(
            measurements,
            target,
            grid=grid,
            offsets=wanted,
            best_k=best_k,
            pruning=pruning,
            selection=selection,
        )

    def check(originals: NDArray[np.float64]) -> None:
        for original in originals.tolist():
            pruning.least_importance(original)

    settings = {
        "method": method,
        "depth": grid.depth,
        "offsets": offsets,
        "best_k": best_k if isinstance(best_k, str) else int(best_k),
        "pruning": rule,
        "selection": selection,
        "threshold": threshold if isinstance(threshold, str) else float(threshold),
    }
    total = 1 + len(everything) if enough else budget
    return _Plan(settings, None if selection == "adversarial" else total, sampler, estimate, check)


def _plain(value: object) -> object:
    """A window or stride as JSON holds it."""
    if value is None:
        return None
    return [int(v) for v in value] if isinstance(value, tuple | list) else int(value)  # type: ignore[call-overload]


def _refuse(unknown: dict[str, object]) -> None:
    for keyword in unknown:
        ours = FOREIGN_KEYWORDS.get(keyword.lower())
        hint = f"; did you mean {ours}?" if ours else nearest(keyword, _ARGUMENTS)
        raise UnknownArgumentError(f"explain() has no argument {keyword!r}{hint}")


def _read(image: object, input_size: tuple[int, int] | None) -> tuple[Image, Frame | None, tuple[str, ...]]:
    """The image as the classifier gets it, where it lies in what was given, and notes on reading it."""
    from occlumap import images

    photograph = images.read(image)
    if input_size is None:
        return photograph.pixels, None, photograph.notes
    pixels, frame = images.fit(photograph.pixels, input_size)
    whole = Frame(pixels.shape[0], pixels.shape[1], Region(0, pixels.shape[0], 0, pixels.shape[1]))
    return pixels, None if frame == whole else frame, photograph.notes


def _resolve(targets: Sequence[Target | None], row: NDArray[np.float64], classifier: Classifier) -> list[int]:
    """Class indices of targets given as index, name or None (the top class); TargetError for others."""
    if not targets:
        raise TargetError(
            "expected at least one target, got an empty list; leave target out for the top class"
        )
    names = getattr(classifier, "classes", None)
    if names is not None and len(names) != len(row):
        raise TargetError(
            f"expected {len(row)} class names for {len(row)} scores, got {len(names)} in .classes"
        )
    return [resolve_target(target, row, names) for target in targets]


def resolve_target(target: Target | None, row: NDArray[np.float64], names: Sequence[str] | None) -> int:
    """The class index that `target` means, given the original image's scores (classes,) and their names.

    A name matches a class whole or by one of its comma-separated synonyms, in any case of letters.

    >>> resolve_target("tabby", np.zeros(2), ["tiger cat", "tabby, tabby cat"])
    1
    """
    if target is None:
        return int(np.argmax(row))
    if isinstance(target, bool | np.bool_) or not isinstance(target, int | np.integer | str):
        raise TargetError(f"expected target to be a class index, a class name or None, got {target!r}")
    if not isinstance(target, str):
        if not 0 <= int(target) < len(row):
            raise TargetError(f"expected a class index from 0 to {len(row) - 1}, got {int(target)}")
        return int(target)
    if names is None:
        raise TargetError(
            f"expected a class index from 0 to {len(row) - 1}, got the name {target!r}, and the classifier has no "
            "names; give it an attribute `classes`, a list of names"
        )
    wanted = target.strip().lower()
    whole = [index for index, name in enumerate(names) if name.strip().lower() == wanted]
    parts: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        for part in name.split(","):
            parts.setdefault(part.strip().lower(), []).append(index)
    found = whole or parts.get(wanted, [])
    if len(found) > 1:
        listed = ", ".join(f"{index} ({names[index]})" for index in found)
        raise TargetError(
            f"expected a name of one class, got {target!r}, which fits {listed}; give the index"
        )
    if not found:
        raise TargetError(f"expected the name of a class, got {target!r}{_similar(wanted, parts, names)}")
    return found[0]


def _similar(wanted: str, parts: dict[str, list[int]], names: Sequence[str]) -> str:
    containing = [part for part in parts if wanted and wanted in part][:3]
    if containing:
        return f"; did you mean {', '.join(f'{names[parts[part][0]]!r}' for part in containing)}?"
    return nearest(wanted, parts) or "; no class has a similar name"


def _class_name(classifier: Classifier, index: int) -> str | None:
    names = getattr(classifier, "classes", None)
    return None if names is None else str(names[index])


def _warnings(
    heatmap: NDArray[np.float32], original: float, row: NDArray[np.float64], measurements: Measurements
) -> tuple[str, ...]:
    """What a reader of the heatmap should know (paper section 7.3 for the first)."""
    said = []
    values, counts = np.unique(heatmap, return_counts=True)
    if len(values) == 1 and values[0] == 0:
        said.append(
            "the heatmap is zero everywhere: hiding any measured region costs the target next to nothing. Try "
            "larger regions (a smaller depth), another fill, or another target"
        )
    elif counts.max() > 0.9 * heatmap.size and values[counts.argmax()] != 0:
        share = 100 * counts.max() / heatmap.size
        said.append(
            f"one value covers {share:.0f} % of the image: the heatmap singles nothing out. Try another depth or fill"
        )
    seen = np.concatenate([row, measurements.scores.ravel()])
    scale = 1.0 if seen.min() >= 0 and seen.max() <= 1 else float(np.abs(seen).max())
    if abs(original) < SMALL_SCORE * scale:
        said.append(
            f"the original score is only {original:.3g} (scores go up to {scale:.3g}): there is little to lose, so "
            "importances mean little. Explain a class that the classifier sees in the image"
        )
    return tuple(said)


def _versions() -> dict[str, str]:
    from occlumap import __version__

    return {"occlumap": __version__, "numpy": np.__version__, "python": platform.python_version()}


_ARGUMENTS = [name for name in inspect.signature(explain).parameters if name != "unknown"]
