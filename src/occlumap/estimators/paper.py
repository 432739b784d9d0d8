"""The paper's heatmap: trees of all offsets, pruned; the best k of them, averaged (sections 4.5 to 4.12)."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from occlumap.errors import ArgumentError
from occlumap.estimators import Estimate
from occlumap.grid import Grid, Offset
from occlumap.measurements import Measurements
from occlumap.offsets import best, mean_heatmap, vote
from occlumap.perturbations import joint_removals
from occlumap.pyramid import (
    Masks,
    Pruning,
    Pyramid,
    complete_pyramids,
    information_density,
    leaf_bounds,
    paint_leaves,
)


def paper(
    measurements: Measurements,
    target: int,
    *,
    grid: Grid,
    offsets: Sequence[Offset],
    best_k: int | None = 5,
    pruning: Pruning = Pruning(),  # noqa: B008 - frozen
    selection: str = "density",
) -> Estimate:
    """The heatmap of class `target`; offsets whose cells are not all measured do not count.

    `best_k`: None means all. `selection`: "density" averages the `best_k` trees of highest information density (4.12);
    "adversarial" those whose leaves, hidden together, cost most (4.11; their measurements must be in);
    "vote" lets every smallest region choose its offset (8.1, see `occlumap.offsets.vote`).

    Raises ArgumentError when no offset is complete.
    """
    original = float(measurements.original[measurements.column(target)])

    def trees(of: Sequence[Offset] = offsets) -> Iterator[tuple[Pyramid, Masks]]:
        """Each complete offset's pyramid and leaves; one is kept at a time, as all would fill the memory."""
        for pyramid in complete_pyramids(measurements, grid, of, target):
            yield pyramid, pruning.leaves(pyramid, original)

    complete = [(pyramid.offset, information_density(pyramid, leaves)) for pyramid, leaves in trees()]
    if not complete:
        raise ArgumentError(
            "expected measurements of all cells of at least one offset, got none; measure more"
        )
    whole, densities = [offset for offset, _ in complete], [density for _, density in complete]
    if selection == "vote":
        heatmap, votes = vote(grid, trees())
        # with no vote at all, that is with no leaf, the first offset stands for all: its tree says why
        chosen = [index for index in best(votes, None) if votes[index]] or [0]
    else:
        ranks = densities if selection == "density" else _joint_effects(measurements, target, trees())
        chosen = best(ranks, best_k)
        heatmap = mean_heatmap(paint_leaves(*one) for one in trees([whole[index] for index in chosen]))
    return Estimate(
        heatmap.astype(np.float32),
        tuple(whole[index] for index in chosen),
        tuple(densities[index] for index in chosen),
    )


def _joint_effects(
    measurements: Measurements, target: int, trees: Iterable[tuple[Pyramid, Masks]]
) -> list[float]:
    """What hiding all leaves of each tree at once costs; 0 for a tree without leaves."""
    known: dict[bytes, float] = dict(
        zip(measurements.perturbations.keys(), measurements.effect(target).tolist(), strict=True)
    )
    effects = []
    for pyramid, masks in trees:
        bounds: NDArray[np.int32] = leaf_bounds(pyramid, masks)
        effects.append(known[joint_removals([bounds]).keys()[0]] if len(bounds) else 0.0)
    return effects
