"""SegmentTree: parts of an image that follow what it shows, merged two by two into a tree; its cuts are the scales."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._arrays import refuse_masked, told
from occlumap._checks import whole_number
from occlumap.errors import ArgumentError
from occlumap.fills import Image

LEAVES = 200
"""About how many leaves a tree of an image has (`../shared/spec/method.md`, section 8)."""

POSITION = 40.0
"""How far apart two opposite ends of the image lie, in units of Lab colour, when segments are merged."""

MASK_CUTS = (8, 16, 30, 50)
"""How many segments the cuts have whose segments masks hide, one cut for each mask, in turn; what shares a segment
of the last is hidden and shown together in every mask."""

Labels = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class SegmentTree:
    """n segments of an image, the leaves, and how they merge into one.

    `labels`: (H, W) int32, the leaf of each pixel, 0..n - 1, each of them there. `merges`: (n - 1, 2) int64; row i
    joins two nodes into node n + i. Nodes 0..n - 1 are the leaves, the last one is the whole image. The order of the
    rows counts: what is merged last is coarsest, and `cut` undoes the last rows first, as in SciPy's linkage. A tree
    that was built in another order, by recursion for one, is put in order by `by_size()`.

    Raises ArgumentError for labels and merges that make no such tree.

    >>> tree = SegmentTree(np.array([[0, 0, 1, 2]], np.int32), np.array([[1, 2], [0, 3]]))
    >>> tree.cut(2)
    array([0, 1, 1])
    """

    labels: Labels
    merges: NDArray[np.int64]

    def __post_init__(self) -> None:
        try:
            labels, merges = np.asarray(self.labels), np.asarray(self.merges)
        except ValueError as error:  # rows of different lengths
            raise ArgumentError(
                f"expected labels (H, W) and merges (leaves - 1, 2) as arrays of whole numbers: {error}"
            ) from error
        for what, given in (("labels", self.labels), ("merges", self.merges)):
            refuse_masked(what, given, "fill it")
        if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "iu":
            raise ArgumentError(
                f"expected labels as whole numbers (H, W), got {labels.dtype} of shape {labels.shape}"
            )
        if merges.ndim != 2 or merges.shape[1] != 2 or (merges.size and merges.dtype.kind not in "iu"):
            raise ArgumentError(
                "expected merges as whole numbers (leaves - 1, 2), two nodes for each merge, got "
                f"{merges.dtype} of shape {merges.shape}"
            )
        count = len(merges) + 1
        if not np.array_equal(np.unique(labels), np.arange(count)):
            raise ArgumentError(
                f"expected labels 0..{count - 1}, each of them there, as {count - 1} merges join {count} leaves; got "
                f"{len(np.unique(labels))} different ones from {labels.min()} to {labels.max()}"
            )
        made = np.arange(count, 2 * count - 1)[:, None]
        if not np.array_equal(np.sort(merges, axis=None), np.arange(2 * count - 2)) or (merges >= made).any():
            raise ArgumentError(
                "expected merges (leaves - 1, 2) in which every node but the last is joined once, and after it was "
                "made (as in SciPy's linkage), got others"
            )
        for name, own in (
            ("labels", labels.astype(np.int32)),
            ("merges", merges.astype(np.int64).reshape(-1, 2)),
        ):
            own.setflags(write=False)
            object.__setattr__(self, name, own)

    @property
    def leaves(self) -> int:
        """Number of leaves."""
        return len(self.merges) + 1

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each leaf, (leaves,)."""
        areas: NDArray[np.int64] = np.bincount(self.labels.ravel(), minlength=self.leaves).astype(np.int64)
        return areas

    @cached_property
    def parents(self) -> NDArray[np.int64]:
        """The parent of each node, (2 leaves - 1,); -1 for the root."""
        parents = np.full(2 * self.leaves - 1, -1, np.int64)
        parents[self.merges] = (self.leaves + np.arange(len(self.merges)))[:, None]
        return parents

    @cached_property
    def members(self) -> NDArray[np.bool_]:
        """Which leaves each node holds, (2 leaves - 1, leaves)."""
        members = np.zeros((2 * self.leaves - 1, self.leaves), np.bool_)
        members[: self.leaves] = np.eye(self.leaves, dtype=np.bool_)
        for number, (one, other) in enumerate(self.merges.tolist(), start=self.leaves):
            members[number] = members[one] | members[other]
        return members

    def by_size(self) -> "SegmentTree":
        """The same tree with its merges in order of the pixels that they make, smallest first.

        So a cut has segments of like size, whatever the order in which the tree was built.

        >>> tree = SegmentTree(np.array([[0, 1, 2, 3]], np.int32), np.array([[0, 1], [4, 2], [5, 3]]))
        >>> balanced = SegmentTree(tree.labels, np.array([[0, 1], [2, 3], [4, 5]])).by_size()
        >>> balanced.cut(2)
        array([0, 0, 1, 1])
        """
        sizes = np.concatenate([self.areas, self.members[self.leaves :] @ self.areas])
        order = np.argsort(sizes[self.leaves :], kind="stable")  # a parent is larger than its children
        number = np.arange(2 * self.leaves - 1)
        number[self.leaves + order] = self.leaves + np.arange(len(order))
        return SegmentTree(self.labels, number[self.merges[order]])

    def cut(self, count: int) -> NDArray[np.int64]:
        """The segment of each leaf, (leaves,), when the tree is cut into `count` segments, or all that there are.

        Segments are numbered by their first leaf.
        """
        count = min(whole_number("count", count, minimum=1), self.leaves)
        roots = np.arange(2 * self.leaves - 1)
        for number in range(2 * self.leaves - count - 1, self.leaves - 1, -1):  # the last merges are undone
            roots[self.merges[number - self.leaves]] = roots[number]
        _, first, segments = np.unique(roots[: self.leaves], return_index=True, return_inverse=True)
        order = np.argsort(np.argsort(first))
        found: NDArray[np.int64] = order[segments]
        return found

    def covariance(self, weights: Mapping[int, float]) -> NDArray[np.float64]:
        """(leaves, leaves): the sum of the weights of those cuts in which two leaves lie in the same segment.

        `weights`: a weight by the number of segments of a cut. So what is near in the tree is alike.
        """
        covariance = np.zeros((self.leaves, self.leaves))
        for count, weight in weights.items():
            segments = self.cut(count)
            covariance += weight * (segments[:, None] == segments)
        return covariance

    def centres(self) -> NDArray[np.float64]:
        """Row and column of each leaf's mean pixel, (leaves, 2)."""
        rows, cols = np.indices(self.labels.shape).reshape(2, -1)
        sums = [np.bincount(self.labels.ravel(), weights=axis) for axis in (rows, cols)]
        return np.stack(sums, axis=1) / self.areas[:, None]


def slic_labels(image: Image, leaves: int = LEAVES) -> Labels:
    """Superpixels of scikit-image's SLIC (Achanta et al. 2012), (H, W); about `leaves`.

    A grid where SLIC finds fewer than a quarter of what was asked, or half as many again: in nothing but noise there is
    nothing to follow, in some 20 x 20 pixels each would be a segment. `image`: uint8 (H, W, 3).
    """
    from skimage.segmentation import slic

    shape = (image.shape[0], image.shape[1])
    labels: Labels = slic(image, n_segments=leaves, compactness=10, start_label=0).astype(np.int32)
    count, enough = int(labels.max()) + 1, min(leaves, shape[0] * shape[1]) / 4
    return labels if enough <= count <= 1.5 * leaves else grid_labels(shape, leaves)


def grid_labels(shape: tuple[int, int], leaves: int = LEAVES) -> Labels:
    """Rectangles of nearly equal size, as square as they come, (H, W); about `leaves`.

    >>> grid_labels((2, 4), 2)
    array([[0, 0, 1, 1],
           [0, 0, 1, 1]], dtype=int32)
    """
    height, width = shape
    side = (height * width / leaves) ** 0.5
    rows = max(1, min(height, round(height / side)))
    cols = max(1, min(width, round(leaves / rows)))
    rows = max(1, min(height, round(leaves / cols)))  # a side shorter than a cell leaves more for the other
    return _renumbered(
        (np.arange(height) * rows // height)[:, None] * cols + np.arange(width) * cols // width
    )


def _renumbered(labels: NDArray[np.integer[Any]]) -> Labels:
    """The same parts, numbered from 0 in the order of their labels."""
    _, renumbered = np.unique(labels, return_inverse=True)
    found: Labels = renumbered.reshape(labels.shape).astype(np.int32)
    return found


def merged(image: Image, labels: NDArray[np.integer[Any]]) -> SegmentTree:
    """The tree of `labels` (H, W): neighbours that are alike in colour and place merge first.

    Ward's criterion (Ward 1963) on mean Lab colour and position: next are always the two neighbours a, b with the
    least |a| |b| / (|a| + |b|) x squared distance of their means; of equals those made first.
    Labels may be any whole numbers.

    Raises ArgumentError for labels of another shape than the image, or with some masked.
    """
    if not isinstance(labels, np.ndarray) or labels.shape != image.shape[:2] or labels.dtype.kind not in "iu":
        raise ArgumentError(
            f"expected a label map of whole numbers of shape {image.shape[:2]}, one for each pixel that the classifier "
            f"sees, got {told(labels)}"
        )
    refuse_masked("a label map", labels, "give the rest a label of its own: labels.filled(-1)")
    leaf_of = _renumbered(np.asarray(labels))
    count = int(leaf_of.max()) + 1
    features = _features(image)
    sizes = np.bincount(leaf_of.ravel()).astype(np.float64).tolist()
    sums = [np.bincount(leaf_of.ravel(), weights=channel.ravel()) for channel in features]
    # lists, not arrays: for five numbers much faster
    means = [(row / size).tolist() for row, size in zip(np.stack(sums, axis=1), sizes, strict=True)]
    neighbours = _neighbours(leaf_of, count)

    def cost(one: int, other: int) -> tuple[float, int, int]:
        share = sizes[one] * sizes[other] / (sizes[one] + sizes[other])
        apart = sum([(a - b) * (a - b) for a, b in zip(means[one], means[other], strict=True)])
        return share * apart, one, other

    queue = [cost(one, other) for one in range(count) for other in neighbours[one] if one < other]
    heapq.heapify(queue)
    alive = set(range(count))
    merges: list[tuple[int, int]] = []
    while len(alive) > 1:
        _, one, other = heapq.heappop(queue)
        if one not in alive or other not in alive:
            continue
        made = count + len(merges)
        merges.append((one, other))
        alive -= {one, other}
        alive.add(made)
        sizes.append(sizes[one] + sizes[other])
        means.append(
            [
                (a * sizes[one] + b * sizes[other]) / sizes[made]
                for a, b in zip(means[one], means[other], strict=True)
            ]
        )
        around = (neighbours[one] | neighbours[other]) - {one, other}
        neighbours.append(around)
        for neighbour in around:
            neighbours[neighbour] -= {one, other}
            neighbours[neighbour].add(made)
            heapq.heappush(queue, cost(neighbour, made))
    return SegmentTree(leaf_of, np.array(merges, np.int64).reshape(-1, 2))


def _features(image: Image) -> NDArray[np.float64]:
    """Lab colour, row and column of each pixel, (5, H, W); positions from 0 to POSITION along the longer side."""
    from skimage.color import rgb2lab

    height, width = image.shape[:2]
    places = np.indices((height, width)) * (POSITION / max(height, width))
    return np.concatenate([np.moveaxis(rgb2lab(image), 2, 0), places])


def _neighbours(labels: Labels, count: int) -> list[set[int]]:
    """The labels that share a side with each label."""
    neighbours: list[set[int]] = [set() for _ in range(count)]
    for one, other in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        differ = one != other
        pairs = np.unique(one[differ].astype(np.int64) * count + other[differ])  # far faster than unique rows
        for a, b in zip(*(side.tolist() for side in np.divmod(pairs, count)), strict=True):
            neighbours[a].add(b)
            neighbours[b].add(a)
    return neighbours
