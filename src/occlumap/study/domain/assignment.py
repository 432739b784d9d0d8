"""Which cell and which order a participant gets: the fewest first, ties by a seeded chance."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A cell ("occlusion:shown") and the class whose block of tasks comes first."""

    cell: str
    first_class: str


def assign(
    taken: Mapping[tuple[str, str], int], cells: Sequence[str], orders: Sequence[str], quota: int, seed: int
) -> Place | None:
    """The place for the next participant, None when every cell is full.

    `taken`: how many completed or hold a live lease, by (cell, order); what is missing counts 0. A cell takes `quota`.
    Among the cells with the fewest one is drawn by `seed`, and in it, likewise, an order: so cells, and the orders
    inside
    a cell, never differ by more than one as long as nobody leaves, and completed cells are equal when all quotas close.

    >>> assign({("a", "cat"): 1}, ["a", "b"], ["cat", "horse"], quota=2, seed=0).cell
    'b'
    """
    chance = random.Random(seed)  # noqa: S311 - fairness, not secrecy
    in_cell = {cell: sum(taken.get((cell, order), 0) for order in orders) for cell in cells}
    open_cells = [cell for cell in cells if in_cell[cell] < quota]
    if not open_cells:
        return None
    fewest = min(in_cell[cell] for cell in open_cells)
    cell = chance.choice([cell for cell in open_cells if in_cell[cell] == fewest])
    least = min(taken.get((cell, order), 0) for order in orders)
    return Place(cell, chance.choice([order for order in orders if taken.get((cell, order), 0) == least]))
