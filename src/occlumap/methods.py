"""Methods: what each asks for, checked before any call is spent, and how it reads the answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import one_of, whole_number
from occlumap.errors import ArgumentError, BudgetError, ImageError
from occlumap.estimators import Estimate
from occlumap.estimators.joint import LEAST_MASKS, detail_of, joint
from occlumap.estimators.paper import paper
from occlumap.estimators.single_scale import single_scale
from occlumap.fills import Image
from occlumap.grid import MAX_DEPTH, OFFSETS, Grid
from occlumap.measurements import Measurements
from occlumap.offsets import SELECTIONS, parse_best_k
from occlumap.perturbations import NO_RECTANGLES, Perturbations, SegmentMasks, removals
from occlumap.pyramid import Pruning
from occlumap.samplers import (
    Sampler,
    TreeMasks,
    cheapest_first,
    joint_leaves,
    least_calls,
    sliding_window,
    sweep,
)
from occlumap.segments import SegmentTree, grid_labels, merged, slic_labels

METHODS = ("joint", "paper", "single-scale")

MOST_LEAVES = 4000
"""With more segments the joint model would take minutes and gigabytes."""

JOINT_BUDGET = 300
"""Classifier calls of method "joint" unless said."""


@dataclass(frozen=True)
class Plan:
    """A method with its arguments, for images of one size.

    `settings`: what the result keeps. `total`: how many calls it will take at least.
    `sampler(targets)` and `estimate(measurements, target)`: its two halves, before and after measuring.
    `check(originals)`: ArgumentError for original scores of the targets with which it cannot work. `kind`: the kind of
    its perturbations. `tree`: of its segments, None for methods of rectangles; where there is one, there is a heatmap
    after any `least` perturbations.
    """

    settings: dict[str, Any]
    total: int
    sampler: Callable[[list[int]], Sampler]
    estimate: Callable[[Measurements, int], Estimate]
    check: Callable[[NDArray[np.float64]], None] = lambda originals: None
    kind: Perturbations = NO_RECTANGLES
    tree: SegmentTree | None = None


@dataclass(frozen=True)
class PaperChoices:
    """The arguments of method "paper"; ArgumentError for what no image could make valid."""

    depth: int = 4
    offsets: str = "all"
    best_k: int | str = 5
    pruning: Pruning = Pruning()  # noqa: RUF009 - frozen
    selection: str = "density"

    def __post_init__(self) -> None:
        whole_number("depth", self.depth, minimum=1, maximum=MAX_DEPTH)
        one_of("offsets", self.offsets, OFFSETS)
        parse_best_k(self.best_k)
        one_of("selection", self.selection, SELECTIONS)


def paper_plan(shape: tuple[int, int], choices: PaperChoices, budget: int | None = None) -> Plan:
    """Multi-scale occlusion (sections 4.3 to 4.12) of images of `shape` (H, W).

    Raises ImageError when the image is too small for the depth, BudgetError when not even one offset is
    affordable.
    """
    pruning, selection, best_k = choices.pruning, choices.selection, parse_best_k(choices.best_k)
    if budget is not None and selection == "adversarial":
        raise ArgumentError(
            "expected selection='density' or 'vote' with a budget, got 'adversarial', which spends one more call "
            "on each measured offset; leave out the budget"
        )
    grid = Grid(*shape, choices.depth)
    wanted = grid.offsets(choices.offsets)
    regions = grid.regions(wanted)
    if budget is not None and budget < 1 + len(regions):
        regions = cheapest_first(grid, wanted, budget - 1)
        if not len(regions):
            raise BudgetError(
                f"expected a budget of at least {least_calls(grid, wanted)} calls, which one offset at "
                f"depth={grid.depth} takes, got {budget}; raise the budget, or use a smaller depth"
            )

    def sampler(targets: list[int]) -> Sampler:
        all_regions = sweep(removals(regions))
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
        "method": "paper",
        "depth": grid.depth,
        "offsets": choices.offsets,
        "best_k": "all" if best_k is None else best_k,
        "pruning": pruning.rule,
        "selection": selection,
        "threshold": pruning.threshold,
    }
    return Plan(settings, 1 + len(regions), sampler, estimate, check)


def single_scale_plan(
    shape: tuple[int, int], window: object = None, stride: object = None, budget: int | None = None
) -> Plan:
    """Single-scale occlusion (section 4.2) of images of `shape` (H, W); see `samplers.sliding_window`.

    `window`: a fourth of the shorter side when None. Raises BudgetError when not every window is affordable.
    """
    window = max(1, min(shape) // 4) if window is None else window
    windows = sliding_window(shape, window, stride)
    if budget is not None and budget < 1 + len(windows):
        raise BudgetError(
            f"expected a budget of at least {1 + len(windows)} calls, which {len(windows)} windows take, got "
            f"{budget}; raise the budget, or use a larger window or stride"
        )
    return Plan(
        {"method": "single-scale", "window": _plain(window), "stride": _plain(stride)},
        1 + len(windows),
        lambda targets: sweep(windows),
        single_scale,
    )


def joint_plan(
    image: Image,
    regions: object = None,
    budget: int | None = None,
    seed: int = 0,
    step: int | None = None,
    fills: int = 1,
) -> Plan:
    """One Bayesian model over masks of a tree of segments (ours; docs/method.md).

    `regions`: "slic" (None), segments that follow the image; "grid", rectangles; a label map (H, W) of whole numbers;
    a SegmentTree. `budget`: `JOINT_BUDGET` when None. `step`: masks that are asked for at a time. `fills`: how many
    take turns. Raises ArgumentError for regions that are none of these or of another size, ImageError for an image of
    one segment, BudgetError for a budget that leaves fewer than two masks.
    """
    budget = JOINT_BUDGET if budget is None else budget
    if budget < 1 + LEAST_MASKS:
        raise BudgetError(
            f"expected a budget of at least {1 + LEAST_MASKS} calls, the image and {LEAST_MASKS} masks, got {budget}; "
            "raise it (100 calls give a rough heatmap, 300 a good one)"
        )
    tree, name = _segment_tree(image, "slic" if regions is None else regions)
    if tree.leaves < 2:
        if name in ("labels", "tree"):
            raise ArgumentError("expected regions with two labels or more, got 1; divide them further")
        raise ImageError(
            f"expected an image of two segments or more, got one of {image.shape[0]} x {image.shape[1]} pixels; use a "
            "larger image, or regions with more labels"
        )
    if tree.leaves > MOST_LEAVES:
        raise ArgumentError(_too_many(tree.leaves))
    masks = TreeMasks(tree, seed)
    count = masks.most(budget - 1)
    detail = detail_of(image, tree)

    def estimate(measurements: Measurements, target: int) -> Estimate:
        return joint(measurements, target, tree=tree, fills=fills, detail=detail)

    settings = {"method": "joint", "regions": name, "leaves": tree.leaves, "budget": budget}
    nothing = SegmentMasks(tree.labels, np.empty((0, tree.leaves), np.bool_))
    sampler = masks.sampler(count, step)
    return Plan(settings, 1 + count, lambda targets: sampler, estimate, kind=nothing, tree=tree)


def _too_many(count: int) -> str:
    return (
        f"expected regions of at most {MOST_LEAVES} segments, got {count}; merge them (some 200 serve best)"
    )


def _segment_tree(image: Image, regions: object) -> tuple[SegmentTree, str]:
    """The tree that `regions` asks for, and its name in the settings."""
    shape = (image.shape[0], image.shape[1])
    if isinstance(regions, SegmentTree):
        if regions.labels.shape != shape:
            raise ArgumentError(
                f"expected a tree over {shape[0]} x {shape[1]} pixels, what the classifier sees, got one over "
                f"{regions.labels.shape[0]} x {regions.labels.shape[1]}"
            )
        return regions, "tree"
    if isinstance(regions, np.ndarray):
        if regions.dtype.kind in "iu" and (count := len(np.unique(regions))) > MOST_LEAVES:
            raise ArgumentError(_too_many(count))  # told before they are merged, which takes long
        return merged(image, regions), "labels"
    if not isinstance(regions, str):
        raise ArgumentError(
            "expected regions to be 'slic', 'grid', a label map (an array of whole numbers, one for each pixel), or "
            f"an occlumap.segments.SegmentTree, got {type(regions).__name__}"
        )
    name = one_of("regions", regions, ("slic", "grid"))
    return merged(image, slic_labels(image) if name == "slic" else grid_labels(shape)), name


def _plain(value: object) -> object:
    """A window or stride as JSON holds it."""
    if value is None:
        return None
    return [int(v) for v in value] if isinstance(value, tuple | list) else int(value)  # type: ignore[call-overload]
