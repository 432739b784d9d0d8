import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlumap.errors import ArgumentError
from occlumap.posterior import SegmentPosterior
from occlumap.segments import grid_labels, merged


def made(
    seed: int, shape: tuple[int, int] = (9, 12), leaves: int = 12, spread: float = 0.1
) -> SegmentPosterior:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (*shape, 3), np.uint8)
    tree = merged(image, grid_labels(shape, leaves))
    factor = random.normal(0, spread, (tree.leaves, tree.leaves))
    return SegmentPosterior(tree, random.normal(0, 1, tree.leaves), factor @ factor.T)


@given(st.integers(0, 50))
def test_nodes_are_a_tree_of_sums_breadth_first(seed):
    posterior = made(seed)
    nodes = posterior.nodes()
    assert [node.name for node in nodes] == list(range(2 * posterior.tree.leaves - 1))
    assert nodes[0].parent is None
    walk = [0]
    for name in walk:
        walk.extend(nodes[name].children)
    assert walk == list(range(len(nodes)))
    for node in nodes:
        inside = np.isin(posterior.tree.labels, node.segments)
        rows, cols = np.nonzero(inside)
        assert node.region == (rows.min(), rows.max() + 1, cols.min(), cols.max() + 1)
        assert node.area == inside.sum()
        assert posterior.importance(inside) == pytest.approx((node.importance, node.std))
        children = [nodes[child] for child in node.children]
        if children:
            assert all(child.parent == node.name for child in children)
            assert sum(child.importance for child in children) == pytest.approx(node.importance)
            assert children[0].importance >= children[1].importance


@given(st.integers(0, 50), st.sampled_from([0.01, 0.1, 1.0]))
def test_the_leaves_that_matter_tile_the_image_and_credibly_differ_from_their_siblings(seed, spread):
    posterior = made(seed, spread=spread)
    nodes = posterior.nodes(least=0.2)
    ends = [node for node in nodes if node.state in ("leaf", "near-zero")]
    assert sorted(label for node in ends for label in node.segments) == list(range(posterior.tree.leaves))
    for node in nodes:
        if node.state == "near-zero":
            assert abs(node.importance) <= 0.2
        above = None if node.parent is None else nodes[node.parent].state
        assert (node.state == "pruned") == (above in ("leaf", "near-zero", "pruned"))


def test_siblings_are_told_apart_only_when_they_differ_by_more_than_chance():
    tree = merged(np.zeros((2, 4, 3), np.uint8), np.array([[0, 0, 1, 1]] * 2))
    told = SegmentPosterior(tree, np.array([1.0, 0.0]), np.eye(2) * 0.1)
    assert [node.state for node in told.nodes()] == ["inner", "leaf", "near-zero"]
    alike = SegmentPosterior(tree, np.array([1.0, 0.9]), np.eye(2) * 0.1)
    assert [node.state for node in alike.nodes()] == ["leaf", "pruned", "pruned"]


def test_the_heatmap_sums_to_the_importances():
    posterior = made(3)
    labels = posterior.tree.labels
    sums = np.bincount(labels.ravel(), weights=posterior.heatmap().ravel())
    assert sums == pytest.approx(posterior.mean, rel=1e-5)
    stds = np.sqrt(np.diag(posterior.covariance)) / posterior.tree.areas
    assert posterior.std() == pytest.approx(stds[labels], rel=1e-5)


def test_a_scale_shows_the_mean_of_its_segments():
    posterior = made(4)
    tree = posterior.tree
    assert posterior.at_scale(tree.leaves) == pytest.approx(posterior.heatmap(), rel=1e-5)
    whole = posterior.at_scale(1)
    assert (whole == whole[0, 0]).all()
    assert whole.sum() == pytest.approx(posterior.mean.sum())


def test_a_part_of_a_segment_counts_by_its_share():
    tree = merged(np.zeros((1, 4, 3), np.uint8), np.array([[0, 0, 1, 1]]))
    posterior = SegmentPosterior(tree, np.array([1.0, 4.0]), np.diag([0.04, 0.16]))
    part = posterior.importance(np.array([[False, True, True, True]]))
    assert part == pytest.approx((4.5, (0.25 * 0.04 + 0.16) ** 0.5))


@given(st.integers(0, 50))
def test_how_leaves_share_what_masks_hide_together_is_not_known(seed):
    posterior = made(seed, (20, 24), 120, spread=0.01)
    tree, segments = posterior.tree, posterior.tree.cut(50)
    for segment in range(50):
        held = segments == segment
        of_all = posterior.covariance[held][:, held].sum()
        assert posterior.spread[held][:, held].sum() == pytest.approx(of_all)
        total = posterior.mean[held].sum() ** 2 + of_all
        for leaf in np.flatnonzero(held):
            share = tree.areas[leaf] / tree.areas[held].sum()
            added = posterior.spread[leaf, leaf] - posterior.covariance[leaf, leaf]
            assert added == pytest.approx(total * share * (1 - share) / 2)
    apart = segments[:, None] != segments
    assert (posterior.spread == posterior.covariance)[apart].all()


def test_uncertainty_runs_from_nothing_to_all():
    posterior = made(5)
    sure = SegmentPosterior(posterior.tree, posterior.mean, np.zeros_like(posterior.covariance))
    unsure = SegmentPosterior(posterior.tree, np.zeros_like(posterior.mean), posterior.covariance)
    nothing = SegmentPosterior(posterior.tree, unsure.mean, sure.covariance)
    assert sure.uncertainty() == 0
    assert unsure.uncertainty() == pytest.approx(1)
    assert nothing.uncertainty() == 1
    assert 0 < posterior.uncertainty() < 1


@pytest.mark.parametrize("part", [np.ones((9, 11), bool), np.ones((9, 12)), "cat"])
def test_a_part_that_is_no_mask_is_refused(part):
    with pytest.raises(ArgumentError, match=r"bool mask of shape \(9, 12\)"):
        made(0).importance(part)
