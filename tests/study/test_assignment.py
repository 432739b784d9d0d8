"""Who goes where, and what follows what: rules without a database."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("yaml")
from occlumap.study.domain import progress, reward
from occlumap.study.domain.assignment import assign

CELLS, ORDERS = ["a", "b", "c"], ["cat", "horse"]


@given(st.integers(1, 6), st.integers(0, 10_000))
def test_when_all_stay_cells_and_orders_never_differ_by_more_than_one(quota, seed):
    taken: dict[tuple[str, str], int] = {}
    for number in range(quota * len(CELLS)):
        place = assign(taken, CELLS, ORDERS, quota, seed + number)
        assert place is not None
        taken[place.cell, place.first_class] = taken.get((place.cell, place.first_class), 0) + 1
        in_cells = [sum(taken.get((cell, order), 0) for order in ORDERS) for cell in CELLS]
        assert max(in_cells) - min(in_cells) <= 1
        for cell in CELLS:
            counts = [taken.get((cell, order), 0) for order in ORDERS]
            assert max(counts) - min(counts) <= 1
    assert assign(taken, CELLS, ORDERS, quota, seed) is None


@given(st.lists(st.booleans(), min_size=1, max_size=80), st.integers(1, 4), st.integers(0, 1000))
def test_with_dropouts_every_cell_fills_and_none_overflows(stays, quota, seed):
    """A dropout gives its place back; when the quota closes, all cells have the same number of completed."""
    completed: dict[tuple[str, str], int] = {}
    for number, stay in enumerate([*stays, *[True] * quota * len(CELLS)]):
        place = assign(completed, CELLS, ORDERS, quota, seed + number)
        if place is None:
            break
        if stay:
            completed[place.cell, place.first_class] = completed.get((place.cell, place.first_class), 0) + 1
    assert [sum(completed.get((cell, order), 0) for order in ORDERS) for cell in CELLS] == [quota] * 3


def test_the_same_seed_gives_the_same_place():
    places = {assign({}, CELLS, ORDERS, 3, 7) for _ in range(5)}
    assert len(places) == 1
    assert {assign({}, CELLS, ORDERS, 3, seed).cell for seed in range(40)} == set(CELLS)


@given(st.integers(0, 4), st.integers(1, 14))
def test_every_step_follows_the_one_before_and_the_last_stays(pages, tasks):
    steps = progress.steps(pages, tasks)
    walked = [steps[0]]
    while walked[-1] != progress.LAST:
        walked.append(progress.after(walked[-1], steps))
    assert tuple(walked) == steps
    assert progress.after(progress.LAST, steps) == progress.LAST


def test_a_participant_sees_one_block_after_the_other_each_task_once():
    tasks = [(str(number), "cat" if number < 7 else "horse") for number in range(14)]
    order = progress.task_order(tasks, "horse", seed=5)
    assert sorted(order) == sorted(task for task, _ in tasks)
    assert [dict(tasks)[task] for task in order] == ["horse"] * 7 + ["cat"] * 7
    assert order == progress.task_order(tasks, "horse", seed=5)
    assert order != progress.task_order(tasks, "horse", seed=6)


def test_the_bonus_has_a_floor_and_a_cap():
    each = Decimal("0.50")
    assert [reward.bonus(right, 14, each) for right in (-1, 0, 9, 14, 99)] == [
        Decimal(value) for value in ("0.00", "0.00", "4.50", "7.00", "7.00")
    ]
    assert reward.maximum(Decimal("8.00"), 14, each) == Decimal("15.00")
