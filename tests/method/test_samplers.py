import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlumap.grid import Grid
from occlumap.samplers import cheapest_first, least_calls
from tests.reference import budget as twin


def as_set(bounds):
    return {tuple(one) for one in bounds.tolist()}


@pytest.mark.parametrize(("height", "width", "depth"), [(12, 12, 2), (9, 14, 2), (10, 8, 3), (4, 5, 2)])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 1.0])
def test_a_budget_pays_for_what_the_plain_twin_pays_for(height, width, depth, share):
    grid = Grid(height, width, depth)
    most = int(share * len(grid.regions()))
    regions, start = cheapest_first(grid, grid.offsets(), most), 0
    for added in twin.cheapest_first(height, width, depth, most):
        assert as_set(regions[start : start + len(added)]) == added
        start += len(added)
    assert start == len(regions) <= most


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.data())
def test_a_budget_is_never_passed_and_all_that_is_paid_for_is_of_complete_offsets(depth, data):
    grid = Grid(data.draw(st.integers(2**depth, 30)), data.draw(st.integers(2**depth, 30)), depth)
    offsets = data.draw(st.lists(st.sampled_from(grid.offsets()), min_size=1, max_size=9, unique=True))
    most = data.draw(st.integers(0, len(grid.regions(offsets)) + 2))
    paid = as_set(regions := cheapest_first(grid, offsets, most))
    assert len(paid) == len(regions) <= most
    complete = [own for own in (as_set(grid.regions([offset])) for offset in offsets) if own <= paid]
    assert paid == set().union(*complete)
    if most >= len(everything := as_set(grid.regions(offsets))):
        assert paid == everything


def test_a_larger_budget_begins_as_a_smaller_one():
    grid = Grid(16, 16, 3)
    smaller, larger = (cheapest_first(grid, grid.offsets(), most) for most in (200, 500))
    np.testing.assert_array_equal(larger[: len(smaller)], smaller)
    assert len(larger) > len(smaller) > 84


def test_a_budget_takes_memory_for_different_regions_not_for_those_of_every_offset():
    """At depth 6 the offsets have 23 million regions (over 360 MB of bounds), 130,000 of them different."""
    grid = Grid(224, 224, 6)
    tracemalloc.start()
    try:
        assert 0 < len(cheapest_first(grid, grid.offsets(), 9000)) <= 9000
        assert tracemalloc.get_traced_memory()[1] < 60 * 2**20
    finally:
        tracemalloc.stop()


def test_the_cheapest_offsets_come_first():
    """Shifted by a whole smallest cell, an offset shares its finest cells with the first, and here its corners too."""
    grid = Grid(16, 16, 2)
    first = as_set(grid.regions([(0, 0)]))
    second = as_set(cheapest_first(grid, grid.offsets(), 25)) - first
    assert second == as_set(grid.regions([(2, 2)])) - first


def test_the_least_budget_is_that_of_the_cheapest_offset():
    assert least_calls(Grid(16, 16, 2), [(0, 0)]) == 1 + 4 + 16
    assert least_calls(Grid(16, 16, 2), [(1, 1), (0, 1)]) == 1 + 6 + 20
