import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from occlumap.errors import ArgumentError
from occlumap.segments import POSITION, SegmentTree, grid_labels, merged, slic_labels

label_maps = arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 12))


def picture(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def plain_ward(image: np.ndarray, labels: np.ndarray) -> list[tuple[int, int]]:
    """As the docstring says it: at every step look at all pairs of neighbours."""
    from skimage.color import rgb2lab

    places = np.moveaxis(np.indices(labels.shape), 0, 2) * POSITION / max(labels.shape)
    features = np.concatenate([rgb2lab(image), places], axis=2)
    parts = {int(label): labels == label for label in np.unique(labels)}
    merges: list[tuple[int, int]] = []
    next_name = len(parts)

    def touch(one: np.ndarray, other: np.ndarray) -> bool:
        down = (one[:-1] & other[1:]) | (other[:-1] & one[1:])
        right = (one[:, :-1] & other[:, 1:]) | (other[:, :-1] & one[:, 1:])
        return bool(down.any() or right.any())

    while len(parts) > 1:
        pairs = [(a, b) for a in parts for b in parts if a < b]
        pairs = [pair for pair in pairs if touch(parts[pair[0]], parts[pair[1]])] or pairs
        costs = {}
        for a, b in pairs:
            one, other = parts[a], parts[b]
            apart = features[one].mean(axis=0) - features[other].mean(axis=0)
            costs[a, b] = one.sum() * other.sum() / (one.sum() + other.sum()) * (apart**2).sum()
        a, b = min(costs, key=lambda pair: costs[pair])
        merges.append((a, b))
        parts[next_name] = parts.pop(a) | parts.pop(b)
        next_name += 1
    return merges


@pytest.mark.parametrize("seed", range(5))
def test_merging_is_wards_between_neighbours(seed):
    image, labels = picture((12, 15), seed), grid_labels((12, 15), 16)
    assert merged(image, labels).merges.tolist() == [list(pair) for pair in plain_ward(image, labels)]


@given(label_maps)
def test_any_label_map_gives_a_tree_whose_cuts_are_nested(labels):
    tree = merged(picture(labels.shape), labels)
    assert tree.leaves == len(np.unique(labels))
    assert (tree.areas > 0).all()
    assert tree.areas.sum() == labels.size
    coarser = tree.cut(1)
    for count in range(1, tree.leaves + 1):
        finer = tree.cut(count)
        assert sorted(set(finer.tolist())) == list(range(count))
        assert (
            len({*zip(finer.tolist(), coarser.tolist(), strict=True)}) == count
        )  # each in one of the coarser
        coarser = finer
    assert tree.cut(tree.leaves + 5).tolist() == list(range(tree.leaves))


@given(label_maps)
def test_members_and_parents_agree(labels):
    tree = merged(picture(labels.shape), labels)
    for node, parent in enumerate(tree.parents.tolist()):
        if parent == -1:
            assert tree.members[node].all()
        else:
            assert node < parent
            assert (tree.members[parent] | ~tree.members[node]).all()


def test_a_covariance_says_how_many_cuts_two_leaves_share():
    tree = SegmentTree(np.array([[0, 1, 2, 3]], np.int32), np.array([[0, 1], [2, 3], [4, 5]]))
    covariance = tree.covariance({1: 1.0, 2: 0.5, 4: 0.25})
    assert covariance[0].tolist() == [1.75, 1.5, 1.0, 1.0]
    assert (covariance == covariance.T).all()


def test_centres_are_mean_pixels():
    tree = SegmentTree(np.array([[0, 0, 1], [0, 0, 1]], np.int32), np.array([[0, 1]]))
    assert tree.centres().tolist() == [[0.5, 0.5], [0.5, 2.0]]


def test_the_coarsest_cut_follows_the_colours():
    image = np.full((20, 20, 3), 30, np.uint8)
    image[5:15, 3:12] = 220
    tree = merged(image, grid_labels((20, 20), 400))
    two = tree.cut(2)[tree.labels]
    assert len(np.unique(two[5:15, 3:12])) == 1
    assert (two == two[5, 3]).sum() == 90


def test_labels_in_several_pieces_and_a_single_label_make_trees():
    labels = np.array([[0, 9, 1], [9, 9, 9], [2, 9, 3]])
    tree = merged(picture((3, 3)), labels)
    assert tree.leaves == 5
    apart = merged(picture((1, 3)), np.array([[4, 4, 4]]))
    assert apart.leaves == 1
    assert apart.merges.shape == (0, 2)


@pytest.mark.parametrize("shape", [(1, 2), (2, 2), (3, 7), (17, 40), (64, 64)])
@pytest.mark.parametrize("kind", ["uniform", "two colours", "noise"])
def test_an_image_that_hardly_divides_still_gets_a_tree(shape, kind):
    image = picture(shape)
    if kind != "noise":
        image[...] = 90
    if kind == "two colours":
        image[:, shape[1] // 2 :] = 200
    tree = merged(image, slic_labels(image))
    assert 2 <= tree.leaves <= shape[0] * shape[1]


@given(seed=st.integers(0, 10**6), leaves=st.integers(2, 12))
def test_the_order_in_which_a_tree_was_built_changes_nothing_once_it_is_put_in_order_of_size(seed, leaves):
    random = np.random.default_rng(seed)
    # sizes of which no two sets are equally large
    labels = np.repeat(np.arange(leaves), 2 ** np.arange(leaves))[None]
    nodes, parts, merges = list(range(leaves)), [{one} for one in range(leaves)], []
    while len(nodes) > 1:
        one, other = (nodes.pop(random.integers(len(nodes))) for _ in range(2))
        nodes.append(leaves + len(merges))
        merges.append((one, other))
        parts.append(parts[one] | parts[other])
    order, made = [], dict(enumerate(range(leaves)))
    left = list(range(leaves, 2 * leaves - 1))
    while left:  # the same merges in another order in which each comes after its parts
        ready = [node for node in left if all(part in made for part in merges[node - leaves])]
        node = ready[random.integers(len(ready))]
        left.remove(node)
        order.append([made[part] for part in merges[node - leaves]])
        made[node] = leaves + len(order) - 1
    one, other = (
        SegmentTree(labels, np.array(merges)).by_size(),
        SegmentTree(labels, np.array(order)).by_size(),
    )
    for count in range(1, leaves + 1):
        np.testing.assert_array_equal(one.cut(count), other.cut(count))
    held = {frozenset(np.flatnonzero(row).tolist()) for row in one.members}
    assert held == set(map(frozenset, parts))


def test_a_tree_with_something_left_out_is_refused():
    labels = np.ma.array([[0, 1]], mask=[[True, False]])
    with pytest.raises(ArgumentError, match="nothing left out"):
        SegmentTree(labels, np.array([[0, 1]]))


def test_few_pixels_are_not_each_a_segment():
    assert slic_labels(picture((20, 20))).max() + 1 <= 200


def test_slic_follows_what_the_image_shows():
    image = np.full((64, 64, 3), 40, np.uint8)
    image[20:44, 20:44] = (200, 30, 30)
    labels = slic_labels(image, 50)
    inside = np.unique(labels[20:44, 20:44])
    assert not np.isin(inside, np.unique(labels[:18])).any()
    assert sum((labels == label).sum() for label in inside) == 24 * 24


def test_a_grid_has_cells_of_nearly_equal_size():
    labels = grid_labels((50, 101), 200)
    assert 180 <= labels.max() + 1 <= 220
    assert grid_labels((1, 1000), 200).max() + 1 == 200
    assert grid_labels((1000, 2), 200).max() + 1 == 200
    areas = np.bincount(labels.ravel())
    assert areas.max() - areas.min() <= 10
    assert grid_labels((3, 3), 200).max() + 1 == 9


@pytest.mark.parametrize(
    ("labels", "merges", "message"),
    [
        ([[0, 1, 3]], [[0, 1], [2, 3]], "labels 0..2"),
        ([[0, 1, 2]], [[0, 1]], "labels 0..1"),
        ([[0, 1, 2]], [[0, 1], [0, 2]], "joined once"),
        ([[0, 1, 2]], [[0, 3], [1, 2]], "after it was made"),
        ([0, 1], [[0, 1]], r"whole numbers \(H, W\)"),
        ([[0.0, 1.0]], [[0, 1]], "whole numbers"),
        (np.empty((0, 3), np.int32), [[0, 1]], "whole numbers"),
        ([[0, 1]], [0, 1], r"merges as whole numbers \(leaves - 1, 2\).*shape \(2,\)"),
        ([[0, 1]], [[0.0, 1.0]], "merges as whole numbers.*float64"),
        ([[0, 1]], {0: 1}, "merges as whole numbers"),
    ],
)
def test_what_is_no_tree_is_refused(labels, merges, message):
    with pytest.raises(ArgumentError, match=message):
        SegmentTree(np.array(labels), np.array(merges))


@pytest.mark.parametrize(("labels", "merges"), [([[0, 1], [2]], [[0, 1]]), ([[0, 1, 2]], [[0, 1], [2]])])
def test_rows_of_different_lengths_are_no_tree(labels, merges):
    with pytest.raises(ArgumentError, match=r"labels \(H, W\) and merges \(leaves - 1, 2\)"):
        SegmentTree(labels, merges)


def test_a_label_map_with_pixels_left_out_is_refused():
    labels = np.ma.array(np.arange(16).reshape(4, 4), mask=np.eye(4, dtype=bool))
    with pytest.raises(ArgumentError, match="a label map with nothing left out.*masked"):
        merged(picture((4, 4)), labels)
    assert merged(picture((4, 4)), np.ma.array(labels.data)).leaves == 16


@pytest.mark.parametrize("labels", [np.zeros((3, 4), int), np.zeros((4, 4)), [[0]], np.zeros((4, 4), bool)])
def test_labels_that_do_not_fit_the_image_are_refused(labels):
    with pytest.raises(ArgumentError, match=r"label map of whole numbers of shape \(4, 4\)"):
        merged(picture((4, 4)), labels)
