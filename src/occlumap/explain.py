"""explain: choose what to hide, measure it, estimate the heatmap; wires the steps, decides nothing else."""

import copy
import inspect
import platform
import reprlib
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import nearest, one_of, whole_number
from occlumap.caveats import caveats
from occlumap.classifiers import Classifier, name_of
from occlumap.errors import ArgumentError, OcclumapWarning, UnknownArgumentError
from occlumap.estimators import Estimate
from occlumap.explanation import Explanation
from occlumap.fills import Image, parse
from occlumap.fills import name_of as fill_name_of
from occlumap.measurements import Measurements
from occlumap.measuring import Measurer, Progress
from occlumap.methods import METHODS, PaperChoices, Plan, paper_plan, single_scale_plan
from occlumap.pyramid import Pruning
from occlumap.regions import Frame, Region
from occlumap.targets import Target, class_names, resolve_targets

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

GO_ON = "what had been measured is in .measurements of this error: explain(..., resume=error.measurements) goes on"
"""Noted on every error that ends a run which has measured something."""


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
    budget: classifier calls at most, the original image included. "paper" takes the cheapest offsets first.
    window, stride: of "single-scale", in pixels, one number or (rows, columns); a fourth of the shorter
        side and half the window when None.
    resume: measurements of the same image, fill, targets and classifier, as `.measurements` of an error or
        an Explanation has them; they are not measured again, and count towards the budget. One of them is,
        to see that classifier and fill are the same; that call counts in the result's `calls`, not towards
        the budget.
    progress: called as progress(done, total) after each batch, and once for what `resume` brought.

    Raises
    ------
    UnknownArgumentError, ArgumentError, BudgetError, ImageError before any call is spent; TargetError, and
    ArgumentError for an original score of 0 or for measurements of something else in `resume`, before any
    call but those that find it out; ClassifierError, ScoreError when the classifier fails. Whatever ends a
    run that had begun to measure, KeyboardInterrupt too, has what was measured in `.measurements`.

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
            "expected classifier to be a callable from a batch (n, H, W, 3) to scores, got "
            f"{reprlib.repr(classifier) if isinstance(classifier, str) else type(classifier).__name__}; the "
            "classifier comes first, then the image (occlumap.load gives one by name)"
        )
    class_names(classifier)
    _check_resume(resume)
    if progress is not None and not callable(progress):
        raise ArgumentError(
            f"expected progress to be a function of (done, total), got {type(progress).__name__}"
        )
    pixels, frame, notes = _read(image, getattr(classifier, "input_size", None))
    filling = parse("neighbours" if fill is None else fill)
    seed = whole_number("seed", seed, minimum=0)
    measurer = Measurer(classifier, pixels, filling, batch_size=batch_size, budget=budget, progress=progress)
    choices = PaperChoices(depth, offsets, best_k, Pruning(pruning, threshold), selection)
    plan = _plan(method, (pixels.shape[0], pixels.shape[1]), choices, window, stride, measurer.budget)

    with _keeping(resume):
        row = measurer.measure_original()
    names = class_names(classifier, len(row))
    several = isinstance(target, list | tuple)
    wanted_targets: list[Any] = list(target) if isinstance(target, list | tuple) else [target]
    targets = resolve_targets(wanted_targets, row, names)
    plan.check(row[targets])
    with _keeping(resume):
        measurer.aim(list(dict.fromkeys(targets)), resume)
    measurer.total = plan.total
    try:
        sampler = plan.sampler(targets)
        measurements = measurer.asked()
        while len(wanted := sampler(measurements)):
            measurements = measurer.measure(wanted)
        estimates = [plan.estimate(measurements, index) for index in targets]
        settings = {**plan.settings, "fill": fill_name_of(filling), "budget": measurer.budget}
        provenance = {
            "image_sha256": measurements.image_sha256,
            "image_notes": list(notes),
            "classifier": name_of(classifier),
            "seed": seed,
            "calls": measurer.calls,
            "resumed": 0 if resume is None else len(resume),
            "seconds": round(time.perf_counter() - started, 3),
            "versions": _versions(),
        }
        explanations = [
            _explanation(
                estimate,
                index,
                None if names is None else names[index],
                row,
                measurements,
                pixels,
                frame,
                settings,
                provenance,
            )
            for index, estimate in zip(targets, estimates, strict=True)
        ]
        for explanation in explanations:
            for text in explanation.warnings:
                warnings.warn(text, OcclumapWarning, stacklevel=2)
    except BaseException as error:
        error.measurements = known = measurer.everything()  # type: ignore[attr-defined]
        if len(known):
            error.add_note(GO_ON)
        raise
    return explanations if several else explanations[0]


@contextmanager
def _keeping(resume: Measurements | None) -> Iterator[None]:
    """What ends a run before it goes on (a failing classifier, Ctrl-C) keeps what it was to go on from."""
    try:
        yield
    except ArgumentError:  # it cannot go on from these
        raise
    except BaseException as error:
        if resume is not None and len(resume):
            error.measurements = resume  # type: ignore[attr-defined]
            error.add_note(GO_ON)
        raise


def _check_resume(resume: object) -> None:
    if resume is None or isinstance(resume, Measurements):
        return
    advice = "pass occlumap.Measurements.load(path)"
    if isinstance(resume, Explanation):
        advice = "pass explanation.measurements"
    raise ArgumentError(
        f"expected resume to be an occlumap.Measurements, got {type(resume).__name__}; {advice}"
    )


def _plan(
    method: str,
    shape: tuple[int, int],
    choices: PaperChoices,
    window: object,
    stride: object,
    budget: int | None,
) -> Plan:
    if one_of("method", method, METHODS) == "single-scale":
        return single_scale_plan(shape, window, stride, budget)
    if window is not None or stride is not None:
        raise ArgumentError(
            "expected window and stride only with method='single-scale'; method='paper' has depth"
        )
    return paper_plan(shape, choices, budget)


def _explanation(
    estimate: Estimate,
    target: int,
    name: str | None,
    row: NDArray[np.float64],
    measurements: Measurements,
    pixels: Image,
    frame: Frame | None,
    settings: dict[str, Any],
    provenance: dict[str, Any],
) -> Explanation:
    """One target's Explanation, in memory of its own: a change to one must not change its siblings."""
    original = float(row[target])
    return Explanation(
        estimate.heatmap,
        pixels.copy(),
        frame,
        target,
        name,
        original,
        measurements,
        copy.deepcopy(settings),
        estimate.offsets,
        estimate.densities,
        copy.deepcopy(provenance),
        caveats(estimate.heatmap, original, row, measurements),
    )


def _refuse(unknown: dict[str, object]) -> None:
    for keyword in unknown:
        ours = FOREIGN_KEYWORDS.get(keyword.lower())
        hint = f"; did you mean {ours}?" if ours else nearest(keyword, _ARGUMENTS)
        raise UnknownArgumentError(f"explain() has no argument {keyword!r}{hint}")


def _read(image: object, input_size: tuple[int, int] | None) -> tuple[Image, Frame | None, tuple[str, ...]]:
    """The image as the classifier gets it, where it lies in what was given, and notes on reading it."""
    from occlumap import images

    photograph = images.read(image, stacklevel=4)  # of whoever called explain
    if input_size is None:
        return photograph.pixels, None, photograph.notes
    pixels, frame = images.fit(photograph.pixels, input_size)
    whole = Frame(pixels.shape[0], pixels.shape[1], Region(0, pixels.shape[0], 0, pixels.shape[1]))
    return pixels, None if frame == whole else frame, photograph.notes


def _versions() -> dict[str, str]:
    from occlumap import __version__

    return {"occlumap": __version__, "numpy": np.__version__, "python": platform.python_version()}


_ARGUMENTS = [name for name in inspect.signature(explain).parameters if name != "unknown"]
