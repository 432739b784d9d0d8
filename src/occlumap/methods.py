"""Methods: what each asks for, checked before any call is spent, and how it reads the answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import one_of, whole_number
from occlumap.errors import ArgumentError, BudgetError
from occlumap.estimators import Estimate
from occlumap.estimators.paper import paper
from occlumap.estimators.single_scale import single_scale
from occlumap.grid import MAX_DEPTH, OFFSETS, Grid
from occlumap.measurements import Measurements
from occlumap.offsets import SELECTIONS, parse_best_k
from occlumap.perturbations import removals
from occlumap.pyramid import Pruning
from occlumap.samplers import Sampler, cheapest_first, joint_leaves, least_calls, sliding_window, sweep

METHODS = ("paper", "single-scale")


@dataclass(frozen=True)
class Plan:
    """A method with its arguments, for images of one size.

    `settings`: what the result keeps. `total`: how many calls it will take at least.
    `sampler(targets)` and `estimate(measurements, target)`: its two halves, before and after measuring.
    `check(originals)`: ArgumentError for original scores of the targets with which it cannot work.
    """

    settings: dict[str, Any]
    total: int
    sampler: Callable[[list[int]], Sampler]
    estimate: Callable[[Measurements, int], Estimate]
    check: Callable[[NDArray[np.float64]], None]


@dataclass(frozen=True)
class PaperChoices:
    """The arguments of method "paper"; ArgumentError for what no image could make valid."""

    depth: int
    offsets: str
    best_k: int | str
    pruning: Pruning
    selection: str

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
        lambda originals: None,
    )


def _plain(value: object) -> object:
    """A window or stride as JSON holds it."""
    if value is None:
        return None
    return [int(v) for v in value] if isinstance(value, tuple | list) else int(value)  # type: ignore[call-overload]
