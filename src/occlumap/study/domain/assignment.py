"""Which cell and which order a participant gets: the fewest first, ties by a seeded chance."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A cell ("occlusion:shown") and the class whose block of tasks comes first."""

    cell: str
    first_class: str


def order_on_return(
    taken: Mapping[str, int], own: str, orders: Sequence[str], quota: int, *, may_change: bool
) -> str | None:
    """The order for somebody who comes back to a cell after the lease ended; None when there is no room.

    `taken`: how many others completed or hold a live lease in the cell, by order. No order takes more than its share of
    the `quota`, so that orders stay balanced; `may_change`: no task is begun yet, and another order will do.

    >>> order_on_return({"cat": 1}, "cat", ["cat", "horse"], quota=2, may_change=True)
    'horse'
    """
    if sum(taken.get(order, 0) for order in orders) >= quota:
        return None
    share = -(-quota // len(orders))
    if taken.get(own, 0) < share:
        return own
    return min(orders, key=lambda order: taken.get(order, 0)) if may_change else None


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
