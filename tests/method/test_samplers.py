import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlumap import Measurements
from occlumap.forest import plant
from occlumap.grid import Grid
from occlumap.offsets import information_density
from occlumap.perturbations import removals
from occlumap.pyramid import Pruning, assemble
from occlumap.samplers import least_calls, promising_offsets
from tests.reference import budget as twin


def measured(grid, bounds, scores, original=1.0):
    """Measurements of `bounds` with these scores of class 0."""
    scores = np.asarray(scores, float).reshape(-1, 1)
    return Measurements(
        (grid.height, grid.width), removals(bounds), scores, np.array([0]), np.array([original]), "", ""
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.data(), st.sampled_from(["greedy", "optimal"]))
def test_a_forest_is_pruned_and_ranked_as_its_trees_are(depth, data, rule):
    grid = Grid(data.draw(st.integers(2**depth, 40)), data.draw(st.integers(2**depth, 40)), depth)
    offsets = data.draw(st.lists(st.sampled_from(grid.offsets()), min_size=1, max_size=9))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    forest = plant(grid, offsets)
    forest = forest.with_importances([rng.normal(0.1, 1, len(bounds)) for bounds in forest.rectangles])
    leaves = Pruning(rule).leaves(forest, 1.0)
    densities = forest.densities(leaves)
    for index, offset in enumerate(offsets):
        own = [np.flatnonzero(trees == index) for trees in forest.trees]
        for level, cells in enumerate(own):
            bounds = forest.rectangles[level][forest.places[level][cells]]
            np.testing.assert_array_equal(bounds, grid.cells(level + 1, offset))
        values = np.concatenate([forest.importance[level][cells] for level, cells in enumerate(own)])
        pyramid = assemble(grid, offset, values)
        expected = Pruning(rule).leaves(pyramid, 1.0)
        for level, cells in enumerate(own):
            np.testing.assert_array_equal(leaves[level][cells], expected[level].ravel())
        assert densities[index] == information_density(pyramid, expected)


@pytest.mark.parametrize(
    ("seed", "height", "width", "depth", "rule"),
    [(0, 12, 12, 2, "greedy"), (1, 9, 14, 2, "optimal"), (2, 10, 8, 3, "greedy")],
)
def test_the_next_offset_is_the_plain_twins(seed, height, width, depth, rule):
    grid, rng = Grid(height, width, depth), np.random.default_rng(seed)
    scores = {tuple(bounds): 1 - rng.normal(0.05, 0.2) for bounds in grid.regions().tolist()}
    sampler = promising_offsets(grid, grid.offsets(), [0], Pruning(rule))
    asked, left = [], len(scores) * 2 // 3
    for _ in range(6):
        wanted = sampler(measured(grid, asked, [scores[bounds] for bounds in asked]), left)
        cells = list(dict.fromkeys(tuple(bounds) for bounds in wanted.bounds.tolist()))
        importances = {bounds: 1.0 - scores[bounds] for bounds in asked}
        assert set(cells) == twin.next_cells(importances, 1.0, height, width, depth, left, rule)
        asked += cells
        left -= len(cells)
    assert len(asked) > len(scores) // 3


def test_the_next_offset_depends_on_the_measurements_alone():
    grid, rng = Grid(16, 16, 3), np.random.default_rng(5)
    bounds = grid.regions([(0, 0), (3, 5), (1, 1)])
    ones = [
        measured(grid, bounds[:count], 1 - rng.normal(0.1, 0.3, count)) for count in (84, 120, len(bounds))
    ]
    used = promising_offsets(grid, grid.offsets(), [0], Pruning())
    for measurements in (ones[2], ones[0], ones[2], ones[1], ones[1]):  # none goes on from the one before
        fresh = promising_offsets(grid, grid.offsets(), [0], Pruning())
        assert used(measurements, 500).keys() == fresh(measurements, 500).keys()


def test_several_targets_take_turns():
    grid, rng = Grid(16, 16, 2), np.random.default_rng(6)
    bounds = grid.regions([(0, 0)])
    scores = 1 - rng.normal(0.1, 0.3, (len(bounds), 2))

    def wanted(targets, bounds):
        both = Measurements(
            (16, 16), removals(bounds), scores[: len(bounds)], np.array([0, 1]), np.ones(2), "", ""
        )
        return promising_offsets(grid, grid.offsets(), targets, Pruning())(both, None).keys()

    assert wanted([0, 1], bounds) == wanted([0], bounds) != wanted([1, 0], bounds) == wanted([1], bounds)
    second = np.concatenate([bounds, np.frombuffer(b"".join(wanted([0], bounds)), np.int32).reshape(-1, 4)])
    scores = 1 - rng.normal(0.1, 0.3, (len(second), 2))
    assert wanted([0, 1], second) == wanted([1], second) != wanted([0], second)


def test_the_least_budget_is_that_of_the_cheapest_offset():
    assert least_calls(Grid(16, 16, 2), [(0, 0)]) == 1 + 4 + 16
    assert least_calls(Grid(16, 16, 2), [(1, 1), (0, 1)]) == 1 + 6 + 20
