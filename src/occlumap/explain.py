"""explain: choose what to hide, measure it, estimate the heatmap; wires the steps, decides nothing else."""

import copy
import dataclasses
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

from occlumap._checks import nearest, one_of, positive_number, seconds, whole_number
from occlumap.caveats import caveats
from occlumap.classifiers import Classifier, name_of, requests_of
from occlumap.errors import ArgumentError, MeasuringError, OcclumapWarning, UnknownArgumentError
from occlumap.estimators import Estimate
from occlumap.estimators.joint import LEAST_MASKS
from occlumap.explanation import Explanation
from occlumap.fills import Fill, Image, in_turn, parse
from occlumap.fills import name_of as fill_name_of
from occlumap.measurements import Measurements
from occlumap.measuring import AUTO, Measurer, Progress
from occlumap.methods import METHODS, PaperChoices, Plan, joint_plan, paper_plan, single_scale_plan
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
    "segments": "regions",
    "segmentation_fn": "regions",
    "feature_mask": "regions",
    "perturbations_per_eval": "batch_size",
    "n_jobs": "workers",
    "num_workers": "workers",
    "max_depth": "depth",
    "k": "best_k",
    "random_state": "seed",
}
"""What other libraries call our arguments (Captum, SHAP, LIME, DIANNA, RISE)."""

OF_METHOD = {
    "paper": ("depth", "offsets", "best_k", "pruning", "selection", "threshold"),
    "single-scale": ("window", "stride"),
    "joint": ("regions", "tolerance", "time_limit"),
}
"""The arguments that only one method has."""

DEFAULT_FILLS = {"paper": "neighbours", "single-scale": "neighbours", "joint": "blur+neighbours"}

LOOK_EVERY = 32
"""Masks between two looks at the tolerance; the first explanation of `explain_iter` comes after so many."""

GO_ON = "what had been measured is in .measurements of this error: explain(..., resume=error.measurements) goes on"
"""Noted on every error that ends a run which has measured something."""


def without_go_on(error: BaseException) -> None:
    """Take GO_ON off an error, for a reader whom it would mislead."""
    if GO_ON in getattr(error, "__notes__", ()):
        error.__notes__.remove(GO_ON)


def explain(
    classifier: Classifier,
    image: Any,
    target: Target | Sequence[Target] | None = None,
    method: str = "joint",
    depth: int | None = None,
    offsets: str | None = None,
    best_k: int | str | None = None,
    fill: object = None,
    seed: int = 0,
    batch_size: int | str = 32,
    *,
    budget: int | None = None,
    tolerance: float | None = None,
    time_limit: float | None = None,
    regions: object = None,
    pruning: str | None = None,
    selection: str | None = None,
    threshold: str | float | None = None,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    workers: int | None = None,
    call_timeout: float | None = None,
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
    method: "joint" (ours: one Bayesian model over masks of a tree of segments; docs/method.md), "paper"
        (multi-scale, sections 4.3 to 4.12) or "single-scale" (section 4.2). The arguments of one method are
        refused with another; None means the default.
    depth, offsets, best_k, pruning, selection, threshold: of the paper's method. Scales below the root (4);
        "none", "four" or "all" offsets ("all"); how many of the best are averaged (5), "all" or more than
        there are meaning all; "greedy" (4.5) or "optimal"; "density" (4.12), "adversarial" (4.11) or "vote"
        (8.1); leaves at or below it go, "1%" of the original score or a number.
    fill: "neighbours", "constant:169", "constant:255,0,0", "mean", "blur", "inpaint:telea", a fill object, a
        colour, or any f(image, mask) -> image; None for the method's own ("neighbours", and "blur+neighbours" for
        joint: fills with + between take turns from mask to mask).
    seed: of the masks of joint; the other methods draw no random numbers.
    batch_size: images per classifier call at most (fewer where a batch would pass 64 MB, or memory runs out; two
        batches are in memory at once), or "auto": it doubles, from 8, as long as that makes an image at least a tenth
        faster.
    workers: threads that call the classifier at once; it must allow that. The result is the same for any number.
        None: as many as the classifier has `replicas` (`adapters.replicas`, `adapters.in_processes`), else 1.
    call_timeout: seconds that one classifier call may take; ClassifierError after them.
    budget: classifier calls at most, the original image included. "paper" takes the cheapest offsets first;
        300 for "joint" when None.
    tolerance: of joint; calls end early when the heatmap's uncertainty (`Explanation.uncertainty`, 0..1) is at
        most this; with several targets, when all are. Looked at every 32 masks.
    time_limit: of joint; seconds after which no further batch is begun (32 masks with a tolerance). The heatmap
        of what was measured by then is given, so this is the one setting with which results depend on the
        machine's speed.
    regions: of joint; "slic" (segments that follow the image), "grid", a label map (H, W) of whole numbers over
        what the classifier sees, or an `occlumap.segments.SegmentTree`.
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
    run that had begun to measure, KeyboardInterrupt too, has what was measured in `.measurements`, and with
    "joint" the heatmap so far in `.explanation`, an Explanation or a list as it would have been returned.

    >>> import numpy as np
    >>> def brightness_top_left(batch):
    ...     return batch[:, :4, :4].mean(axis=(1, 2, 3))[:, None] / 255
    >>> picture = np.zeros((16, 16, 3), np.uint8)
    >>> picture[:4, :4] = 255
    >>> explanation = explain(brightness_top_left, picture, method="paper", depth=2, fill="constant:0", best_k=1)
    >>> explanation.heatmap[0, 0], explanation.heatmap[8, 8]
    (np.float32(1.0), np.float32(0.0))
    """
    arguments = dict(locals())
    _refuse(arguments.pop("unknown"))
    *_, found = _run(arguments, anytime=False)
    return found


def explain_iter(*arguments: Any, **settings: Any) -> Iterator[Explanation | list[Explanation]]:
    """Better and better explanations: what `explain` gives after 32 masks, 64, 128, ..., and at the end.

    Arguments, results and errors are those of `explain`; the last explanation is what it would return. Methods
    other than "joint" give only that one.

    >>> def brightness(batch):
    ...     return batch.mean(axis=(1, 2, 3))[:, None] / 255
    >>> picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    >>> [len(found.measurements) for found in explain_iter(brightness, picture, method="joint", budget=100)]
    [32, 64, 99]
    """
    given = inspect.signature(explain).bind(*arguments, **settings)
    given.apply_defaults()
    _refuse(given.arguments.pop("unknown"))
    return _run(given.arguments, anytime=True)


def _run(arguments: dict[str, Any], anytime: bool) -> Iterator[Explanation | list[Explanation]]:
    """Explanations as they get better, one at the end unless `anytime`; `arguments` are those of `explain`.

    What can be refused before a call is spent is refused now, not at the first step.
    """
    started = time.perf_counter()
    classifier, target, resume, progress = (
        arguments[name] for name in ("classifier", "target", "resume", "progress")
    )
    if not callable(classifier):
        raise ArgumentError(
            "expected classifier to be a callable from a batch (n, H, W, 3) to scores, got "
            f"{reprlib.repr(classifier) if isinstance(classifier, str) else type(classifier).__name__}; the "
            "classifier comes first, then the image (occlumap.load gives one by name)"
        )
    class_names(classifier)
    requests_before, cached_before = requests_of(classifier), getattr(classifier, "reused", None)
    _check_resume(resume)
    if progress is not None and not callable(progress):
        raise ArgumentError(
            f"expected progress to be a function of (done, total), got {type(progress).__name__}"
        )
    chosen = _of_method(arguments)
    tolerance = chosen.pop("tolerance", None)
    if tolerance is not None:
        tolerance = positive_number("tolerance", tolerance, 1.0, "up to 1, a share of the heatmap,")
    time_limit = chosen.pop("time_limit", None)
    time_limit = None if time_limit is None else seconds("time_limit", time_limit)
    pixels, frame, notes = _read(arguments["image"], getattr(classifier, "input_size", None))
    method, fill = arguments["method"], arguments["fill"]
    filling = parse(DEFAULT_FILLS[method] if fill is None else fill)
    seed = whole_number("seed", arguments["seed"], minimum=0)
    batch_size = arguments["batch_size"]
    if batch_size != AUTO:
        if isinstance(batch_size, str):
            raise ArgumentError(f'expected batch_size to be a whole number or "{AUTO}", got {batch_size!r}')
        batch_size = whole_number("batch_size", batch_size, minimum=1)
    budget = arguments["budget"]
    budget = None if budget is None else whole_number("budget", budget, minimum=1)
    workers = arguments["workers"]
    workers = whole_number(
        "workers", getattr(classifier, "replicas", 1) if workers is None else workers, minimum=1
    )
    call_timeout = arguments["call_timeout"]
    call_timeout = None if call_timeout is None else seconds("call_timeout", call_timeout)
    step = LOOK_EVERY if anytime or tolerance is not None else None
    # with a tolerance the looks must not depend on the batches
    if time_limit is not None and tolerance is None:
        in_time = (LOOK_EVERY if batch_size == AUTO else batch_size) * workers
        step = in_time if step is None else min(step, in_time)
    plan = _plan(
        method,
        pixels,
        chosen,
        budget,
        seed,
        step,
        filling,
    )
    measurer = Measurer(
        classifier,
        pixels,
        filling,
        batch_size=batch_size,
        workers=workers,
        call_timeout=call_timeout,
        budget=budget,
        progress=progress,
        kind=plan.kind,
    )

    def measured() -> Iterator[Explanation | list[Explanation]]:
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

        def explanations(measurements: Measurements, ended: str | None = None) -> list[Explanation]:
            settings = {"budget": budget, **plan.settings, "fill": fill_name_of(filling)}
            if plan.tree is not None:
                settings |= {"tolerance": tolerance, "time_limit": time_limit}
            provenance = {
                "image_sha256": measurements.image_sha256,
                "image_notes": list(notes),
                "classifier": name_of(classifier),
                "seed": seed,
                "calls": measurer.calls,
                "resumed": measurer.reused,
                "seconds": round(time.perf_counter() - started, 3),
                "versions": _versions(),
            }
            if requests_before is not None:
                now = requests_of(classifier) or requests_before
                provenance["requests"], provenance["retries"] = (
                    after - before for after, before in zip(now, requests_before, strict=True)
                )
            if isinstance(cached_before, int):
                provenance["cached"] = classifier.reused - cached_before
            if batch_size == AUTO:
                provenance["batch_size"] = measurer.batch_size
            if ended is not None:
                provenance["ended_by"] = ended
            return [
                _explanation(
                    plan.estimate(measurements, index),
                    index,
                    None if names is None else names[index],
                    row,
                    measurements,
                    pixels,
                    frame,
                    settings,
                    provenance,
                )
                for index in targets
            ]

        def as_asked(found: list[Explanation]) -> Explanation | list[Explanation]:
            return found if several else found[0]

        try:
            sampler = plan.sampler(targets)
            measurements, ended, shown = measurer.asked(), None, 0
            while len(wanted := sampler(measurements)):
                calls = measurer.calls
                measurements = measurer.measure(wanted)
                if plan.tree is None:
                    continue
                late = time_limit is not None and time.perf_counter() - started >= time_limit
                if late and measurer.calls > calls and len(measurements) >= LEAST_MASKS:
                    ended = "time_limit"
                if tolerance is not None and all(
                    explanation.uncertainty <= tolerance for explanation in explanations(measurements)
                ):
                    ended = "tolerance"
                if ended:
                    break
                if anytime and len(measurements) >= max(LOOK_EVERY, 2 * shown) and len(sampler(measurements)):
                    shown = len(measurements)
                    yield as_asked(explanations(measurements))
            found = explanations(measurements, ended)
            if resume is not None and len(resume) and not measurer.reused:
                warnings.warn(
                    f"none of the {len(resume)} measurements in resume was of use: this run asked for others (another "
                    "seed, other regions, or an earlier stop?)",
                    OcclumapWarning,
                    stacklevel=2 if anytime else 3,
                )
            for explanation in found:
                for text in explanation.warnings:
                    warnings.warn(text, OcclumapWarning, stacklevel=2 if anytime else 3)  # whoever called
        except BaseException as error:
            error.measurements = known = measurer.everything()  # type: ignore[attr-defined]
            if len(known):
                error.add_note(GO_ON)
            if plan.tree is not None and len(known) >= LEAST_MASKS and not isinstance(error, GeneratorExit):
                try:
                    error.explanation = as_asked(explanations(known, type(error).__name__))  # type: ignore[attr-defined]
                except BaseException as second:  # a second Ctrl-C, or what the error is about
                    second.measurements = known  # type: ignore[attr-defined]
                    if not isinstance(second, Exception):
                        raise
            if isinstance(error, StopIteration):  # of `progress`; a generator may not let it out
                stopped = MeasuringError("progress raised StopIteration")
                stopped.measurements = known
                raise stopped from error
            raise
        yield as_asked(found)

    return measured()


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


def _of_method(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that belong to the chosen method and are not None; ArgumentError for those of another."""
    method = one_of("method", arguments["method"], METHODS)
    for owner, names in OF_METHOD.items():
        for name in names:
            if owner != method and arguments[name] is not None:
                raise ArgumentError(
                    f"expected {name} only with method={owner!r}, got it with method={method!r}, which has "
                    f"{', '.join(OF_METHOD[method])}; leave it out, or choose the other method"
                )
    return {name: arguments[name] for name in OF_METHOD[method] if arguments[name] is not None}


def _plan(
    method: str,
    pixels: Image,
    chosen: dict[str, Any],
    budget: int | None,
    seed: int,
    step: int | None,
    fill: Fill,
) -> Plan:
    shape = (pixels.shape[0], pixels.shape[1])
    if method == "joint":
        return joint_plan(pixels, chosen.get("regions"), budget, seed, step, len(in_turn(fill)))
    if method == "single-scale":
        return single_scale_plan(shape, chosen.get("window"), chosen.get("stride"), budget)
    pruning = Pruning(chosen.pop("pruning", "greedy"), chosen.pop("threshold", "1%"))
    return paper_plan(shape, PaperChoices(pruning=pruning, **chosen), budget)


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
    """One target's Explanation, its numbers in memory of their own: a change to one must not change its siblings."""
    original = float(row[target])
    return Explanation(
        estimate.heatmap,
        pixels.copy(),
        frame,
        target,
        name,
        original,
        dataclasses.replace(measurements, scores=measurements.scores.copy()),
        copy.deepcopy(settings),
        estimate.offsets,
        estimate.densities,
        copy.deepcopy(provenance),
        caveats(estimate, original, row, measurements, target),
        estimate.posterior,
        estimate.fit,
    )


def _refuse(unknown: dict[str, object]) -> None:
    for keyword in unknown:
        ours = FOREIGN_KEYWORDS.get(keyword.lower())
        hint = f"; did you mean {ours}?" if ours else nearest(keyword, _ARGUMENTS)
        raise UnknownArgumentError(f"explain() has no argument {keyword!r}{hint}")


def _read(image: object, input_size: tuple[int, int] | None) -> tuple[Image, Frame | None, tuple[str, ...]]:
    """The image as the classifier gets it, where it lies in what was given, and notes on reading it."""
    from occlumap import images

    photograph = images.read(image, stacklevel=5)  # of whoever called explain
    if input_size is None:
        return photograph.pixels, None, photograph.notes
    pixels, frame = images.fit(photograph.pixels, input_size)
    whole = Frame(pixels.shape[0], pixels.shape[1], Region(0, pixels.shape[0], 0, pixels.shape[1]))
    return pixels, None if frame == whole else frame, photograph.notes


def _versions() -> dict[str, str]:
    from occlumap import __version__

    return {"occlumap": __version__, "numpy": np.__version__, "python": platform.python_version()}


_ARGUMENTS = [name for name in inspect.signature(explain).parameters if name != "unknown"]
