import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlumap.errors import ArgumentError
from occlumap.grid import Grid
from occlumap.measurements import Measurements
from occlumap.offsets import best, mean_heatmap, parse_best_k, vote
from occlumap.perturbations import removals
from occlumap.pyramid import (
    Pruning,
    assemble,
    complete_pyramids,
    information_density,
    leaf_bounds,
    paint_leaves,
    prune_greedy,
    prune_optimal,
    tree,
)
from tests.method.conftest import inside


@st.composite
def pyramids(draw):
    depth = draw(st.integers(1, 4))
    grid = Grid(draw(st.integers(2**depth, 40)), draw(st.integers(2**depth, 40)), depth)
    offset = draw(st.sampled_from(grid.offsets()))
    count = sum(len(grid.cells(scale, offset)) for scale in range(1, depth + 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return grid, assemble(grid, offset, rng.normal(0.1, 1, count))


def quadtree(scale_1, scale_2):
    grid = Grid(8, 8, 2)
    return grid, assemble(grid, (0, 0), np.array([*scale_1, *scale_2], float))


def test_a_parent_that_outweighs_its_children_takes_their_place():
    # paper, figure 14: A keeps its children (0.5 < 0.6), B does not (0.9 > 0.8)
    fine = np.zeros((4, 4))
    fine[0, :2], fine[1, :2] = [0.1, 0.1], [0.4, 0.0]
    fine[0, 2:], fine[1, 2:] = [0.3, 0.3], [0.1, 0.1]
    _, pyramid = quadtree([0.5, 0.9, 0, 0], fine.ravel())
    leaves = Pruning().leaves(pyramid, 1.0)
    assert leaves[0].tolist() == [[False, True], [False, False]]
    assert sorted(pyramid.importance[1][leaves[1]].tolist()) == [0.1, 0.1, 0.4]
    assert information_density(pyramid, leaves) == pytest.approx((0.9 + 0.6) / (16 + 3 * 4))
    heatmap = paint_leaves(pyramid, leaves)
    assert heatmap[0, 4] == heatmap[3, 7] == 0.9
    assert heatmap[2, 0] == 0.4
    assert heatmap[2, 2] == 0.0


def test_ties_keep_the_children_also_when_rounding_tilts_them():
    tenth = 0.1
    _, pyramid = quadtree([tenth + tenth + tenth, 0, 0, 0], [tenth, tenth, 0, 0, tenth, *[0] * 11])
    tilted = assemble(Grid(8, 8, 2), (0, 0), np.array([0.3 + 1e-12, 0, 0, 0, *pyramid.importance[1].ravel()]))
    for one in (pyramid, tilted):
        assert not prune_greedy(one, tolerance=1e-9)[0].any()
        assert not prune_optimal(one, tolerance=1e-9)[0].any()


def test_greedy_throws_grandchildren_away_that_optimal_keeps():
    grid = Grid(8, 8, 3)
    scale_3 = np.zeros((8, 8))
    scale_3[0, 0] = 0.9  # the grandchild carries more than its grandparent
    scale_1 = np.zeros((2, 2))
    scale_1[0, 0] = 0.5
    pyramid = assemble(grid, (0, 0), np.concatenate([scale_1.ravel(), np.zeros(16), scale_3.ravel()]))
    greedy, optimal = prune_greedy(pyramid, 1e-9), prune_optimal(pyramid, 1e-9)
    assert greedy[0][0, 0]
    assert not greedy[2][0, 0]
    assert optimal[2][0, 0]
    assert not optimal[0].any()


@settings(max_examples=80, deadline=None)
@given(pyramids())
def test_optimal_never_sums_lower_than_greedy(case):
    _, pyramid = case

    def total(masks):
        return sum(values[mask].sum() for values, mask in zip(pyramid.importance, masks, strict=True))

    assert total(prune_optimal(pyramid, 0.0)) >= total(prune_greedy(pyramid, 0.0)) - 1e-9


@settings(max_examples=60, deadline=None)
@given(pyramids(), st.sampled_from([prune_greedy, prune_optimal]))
def test_leaves_tile_the_image_before_near_zero_ones_go(case, prune):
    grid, pyramid = case
    covered = np.zeros((grid.height, grid.width), int)
    for a, b, c, d in leaf_bounds(pyramid, prune(pyramid, 0.0)):
        covered[a:b, c:d] += 1
    assert (covered == 1).all()


@settings(max_examples=60, deadline=None)
@given(pyramids())
def test_child_sums_add_every_child_once_row_by_row(case):
    _, pyramid = case
    for level in range(pyramid.depth - 1):
        rows, cols = pyramid.parents(level + 1)
        expected = np.zeros_like(pyramid.importance[level])
        for row, col in np.ndindex(pyramid.importance[level + 1].shape):
            expected[rows[row], cols[col]] += pyramid.importance[level + 1][row, col]
        np.testing.assert_array_equal(pyramid.child_sums(level, pyramid.importance[level + 1]), expected)


@settings(max_examples=40, deadline=None)
@given(pyramids())
def test_names_number_the_nodes_breadth_first(case):
    grid, pyramid = case
    nodes = tree(pyramid, Pruning(), 1.0, grid.pixels(pyramid.offset), 0.0).nodes
    waiting, walked = [0], []
    while waiting:
        walked.append(waiting.pop(0))
        waiting += nodes[walked[-1]].children
    assert walked == list(range(len(nodes)))
    for node in nodes:
        corners = [nodes[name].region[::2] for name in node.children]
        assert corners == sorted(corners)


@settings(max_examples=40, deadline=None)
@given(pyramids())
def test_the_tree_names_every_node_once_and_its_leaves_paint_the_heatmap(case):
    grid, pyramid = case
    pruning = Pruning()
    found = tree(pyramid, pruning, 1.0, grid.pixels(pyramid.offset), 0.0)
    assert [node.name for node in found.nodes] == list(range(len(found.nodes)))
    assert found.nodes[0].parent is None
    heatmap = np.zeros((grid.height, grid.width))
    for node in found.nodes[1:]:
        parent = found.nodes[node.parent]
        assert node.name in parent.children
        assert inside(node.region, parent.region)
        assert parent.scale == node.scale - 1
        assert (parent.state in ("leaf", "near-zero", "pruned")) == (node.state == "pruned")
        if node.state == "leaf":
            heatmap[node.region.slices] = node.importance
    np.testing.assert_array_equal(heatmap, paint_leaves(pyramid, pruning.leaves(pyramid, 1.0)))


@pytest.mark.parametrize(
    ("threshold", "least"), [("1%", 0.02), ("0%", 0.0), (0.5, 0.5), ("0.5", 0.5), (-1, -1.0)]
)
def test_a_threshold_is_a_share_or_an_importance(threshold, least):
    assert Pruning(threshold=threshold).least_importance(-2.0) == pytest.approx(least)


@pytest.mark.parametrize("threshold", ["x", "", "-1%", None, float("nan"), True, "1%%"])
def test_what_is_no_threshold_is_an_error(threshold):
    with pytest.raises(ArgumentError, match="expected threshold"):
        Pruning(threshold=threshold)


def test_a_share_of_an_original_score_of_0_is_an_error_that_says_what_to_do():
    with pytest.raises(ArgumentError, match="original score other than 0 .* threshold=0.01"):
        Pruning().least_importance(0.0)
    assert Pruning(threshold=0.01).least_importance(0.0) == 0.01


def test_best_k_keeps_the_order_of_equals_and_more_than_there_are_means_all():
    assert best([0.2, 0.5, 0.5, 0.1], 3) == [1, 2, 0]
    assert best([0.2, 0.5], 99) == best([0.2, 0.5], parse_best_k("all")) == [1, 0]


@pytest.mark.parametrize("best_k", [0, -3, 1.5, "five", None, True])
def test_best_k_below_1_is_an_error(best_k):
    with pytest.raises(ArgumentError, match="expected best_k"):
        parse_best_k(best_k)


def test_no_leaf_means_density_0():
    _, pyramid = quadtree([-1] * 4, [-1] * 16)
    assert information_density(pyramid, Pruning().leaves(pyramid, 1.0)) == 0.0


def test_pyramids_come_one_by_one():
    """At depth 7 all of them would be 3 GB."""
    grid = Grid(16, 16, 2)
    bounds = removals(grid.regions())
    scores = np.zeros((len(bounds), 1))
    measurements = Measurements((16, 16), bounds, scores, np.array([0]), np.array([1.0]), "", "")
    pyramids = complete_pyramids(measurements, grid, grid.offsets(), 0)
    assert next(pyramids).offset == (0, 0)
    assert [pyramid.offset for pyramid in pyramids] == grid.offsets()[1:]


def test_mean_heatmap_of_one_is_itself():
    heatmap = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_array_equal(mean_heatmap([heatmap]), heatmap)


def test_a_smallest_region_votes_for_the_leaf_with_most_importance_per_pixel():
    grid = Grid(4, 4, 1)
    plain = assemble(grid, (0, 0), np.array([0.4, 0, 0, 0.4]))
    shifted = assemble(grid, (1, 1), np.array([0, 0, 0, 0, 0.6, 0, 0, 0, 0.2]))
    # leaves: plain 2 x 2 with 0.1 a pixel; shifted the middle 2 x 2 with 0.15, the last corner pixel with 0.2
    heatmap, votes = vote(grid, [(p, Pruning().leaves(p, 1.0)) for p in (plain, shifted)])
    assert heatmap.tolist() == [
        [0.4, 0.4, 0.0, 0.0],
        [0.4, 0.6, 0.6, 0.0],
        [0.0, 0.6, 0.6, 0.4],
        [0.0, 0.0, 0.4, 0.2],
    ]
    assert votes == [5, 5]


def test_votes_on_equal_leaves_go_to_the_first_offset():
    grid = Grid(4, 4, 1)
    same = assemble(grid, (0, 0), np.full(4, 0.4))
    _, votes = vote(grid, [(same, Pruning().leaves(same, 1.0))] * 2)
    assert votes == [16, 0]
