"""SegmentPosterior: what is known of the importance of every segment of a tree, and how surely."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from occlumap._arrays import refuse_masked, told
from occlumap._threads import one_thread
from occlumap.errors import ArgumentError
from occlumap.regions import Region
from occlumap.segments import MASK_CUTS, SegmentTree

CREDIBLE = 1.96
"""Standard deviations by which two sibling segments must differ per pixel to be told apart: 95 % both ways."""


class Importance(NamedTuple):
    """What hiding a part of the image costs: the posterior's mean and standard deviation, in units of the score."""

    mean: float
    std: float


class Fit(NamedTuple):
    """How well importances that add up explain the scores; each mask predicted from all the others.

    `explained`: 1 - squared error of these predictions / variance of the scores, over the masks; 1 is perfect, 0 or
    less no better than their mean. `noise`: standard deviation of what no sum explains, in units of the score.
    `intervals`: for 50, 80 and 95 %, how many predicted standard deviations hold that share of the masks.
    """

    explained: float
    noise: float
    intervals: tuple[float, float, float]


class SegmentNode(NamedTuple):
    """One node of a tree of segments, for reading and drawing.

    `name` numbers the nodes breadth first, root 0, the more important child first. `region`: the rectangle round it.
    `segments`: the leaves that it holds, as in the tree's labels. `area`: its pixels. `state`: "inner"; "leaf", a
    segment that stands for all in it, since its parts do not credibly differ; "near-zero", such a one whose importance
    is next to nothing; "pruned", below one of these.
    """

    name: int
    region: Region
    segments: tuple[int, ...]
    area: int
    importance: float
    std: float
    parent: int | None
    children: tuple[int, ...]
    state: str


@dataclass(frozen=True, eq=False)
class SegmentPosterior:
    """Importance of each leaf of a tree: Gaussian, `mean` (leaves,) and `covariance` (leaves, leaves), float64.

    In units of the score. Sums predict: hiding a set of leaves costs the sum of their means, as far as parts do not
    act together. `covariance` is the model's, of what masks tell; of parts finer than they hide, `spread` tells more.
    """

    tree: SegmentTree
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def heatmap(self) -> NDArray[np.float32]:
        """Importance of each pixel, (H, W): a leaf's, shared out evenly over its pixels."""
        return self._painted(self.mean)

    def std(self) -> NDArray[np.float32]:
        """Standard deviation of `heatmap`, (H, W), pixel by pixel."""
        return self._painted(np.sqrt(np.diag(self.spread)))

    @cached_property
    def spread(self) -> NDArray[np.float64]:
        """(leaves, leaves): `covariance`, and how little is known of the leaves that every mask hides together.

        Masks tell what a segment of the finest of MASK_CUTS costs, not how that is shared among its leaves. The shares
        are thought to be Dirichlet with the areas as means and a sum of 1, so that all may lie in one; the model's
        prior, that what is near is alike, alone would make narrow intervals of them.
        """
        groups = self.tree.cut(MASK_CUTS[-1])
        of_group = np.equal.outer(groups, np.arange(int(groups.max()) + 1)).astype(np.float64)
        areas = self.tree.areas / (self.tree.areas @ of_group)[groups]
        with one_thread():
            variances = np.einsum("ig,ij,jg->g", of_group, self.covariance, of_group, optimize=True)
            squares = (self.mean @ of_group) ** 2 + np.maximum(variances, 0)
            shares = np.diag(areas) - np.outer(areas, areas) * (of_group @ of_group.T)
        found: NDArray[np.float64] = self.covariance + squares[groups] / 2 * shares
        return found

    def at_scale(self, count: int) -> NDArray[np.float64]:
        """Importance of each pixel, (H, W), when the tree is cut into `count` segments."""
        segments = self.tree.cut(count)
        share = np.bincount(segments, weights=self.mean) / np.bincount(segments, weights=self.tree.areas)
        painted: NDArray[np.float64] = share[segments][self.tree.labels]
        return painted

    @cached_property
    def total(self) -> float:
        """What hiding the whole image costs, by the sums."""
        return float(self.mean.sum())

    def _painted(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        density: NDArray[np.float32] = (values / self.tree.areas).astype(np.float32)
        painted: NDArray[np.float32] = density[self.tree.labels]
        return painted

    def uncertainty(self) -> float:
        """How much of the heatmap may be chance, 0..1: root of its mean variance / mean expected square.

        By the model's covariance, which calls lessen. 1 where nothing is known: all importances 0, and no variance.
        """
        density = self.mean / self.tree.areas
        variance = np.diag(self.covariance) / self.tree.areas**2
        total = float((self.tree.areas * (density**2 + variance)).sum())
        return math.sqrt(float((self.tree.areas * variance).sum()) / total) if total > 0 else 1.0

    def importance(self, part: NDArray[np.bool_]) -> Importance:
        """What hiding `part`, a bool mask (H, W), costs; segments that it cuts count by their share in it."""
        refuse_masked("a mask", part, "say of each pixel whether it is in: part.filled(False)")
        if not isinstance(part, np.ndarray) or part.dtype != np.bool_ or part.shape != self.tree.labels.shape:
            raise ArgumentError(f"expected a bool mask of shape {self.tree.labels.shape}, got {told(part)}")
        inside = np.bincount(self.tree.labels[part], minlength=self.tree.leaves)
        share: NDArray[np.float64] = inside / self.tree.areas
        return Importance(float(share @ self.mean), math.sqrt(max(0.0, float(share @ self.spread @ share))))

    def whole_image(self, kept: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
        """The score that sums predict with nothing hidden, from masks (n, leaves) and their scores (n,)."""
        return float(scores.mean() + (1 - kept.mean(axis=0)) @ self.mean)

    @cached_property
    def _of_nodes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each node of the tree, in its own numbering."""
        members = self.tree.members.astype(np.float64)
        with one_thread():
            variances = np.einsum("ni,ij,nj->n", members, self.spread, members, optimize=True)
            return members @ self.mean, np.sqrt(np.maximum(variances, 0))

    def _told_apart(self) -> NDArray[np.bool_]:
        """For each merge of the tree, whether its two sides, or the parts of one of them, credibly differ."""
        leaves, members = self.tree.leaves, self.tree.members
        areas = members @ self.tree.areas
        apart = np.zeros(2 * leaves - 1, np.bool_)
        for number, (one, other) in enumerate(self.tree.merges.tolist(), start=leaves):
            contrast = members[one] / areas[one] - members[other] / areas[other]
            spread = math.sqrt(max(0.0, float(contrast @ self.spread @ contrast)))
            differ = abs(float(contrast @ self.mean)) > CREDIBLE * spread
            apart[number] = differ or apart[one] or apart[other]
        return apart

    def nodes(self, least: float = 0.0) -> tuple[SegmentNode, ...]:
        """Every node, from the whole image to the leaves; `least`: importances of at most this size are near zero.

        Pruning, ours: in a model of sums a parent never outweighs its children, so the paper's rule (4.5) would prune
        nothing. A parent stands for its parts where nothing below it credibly differs, in importance per pixel.
        """
        with one_thread():
            apart = self._told_apart()
        return tuple(self._nodes(apart, least))

    def _nodes(self, apart: NDArray[np.bool_], least: float) -> Iterator[SegmentNode]:
        means, stds = self._of_nodes
        leaves = self.tree.leaves
        queue: list[tuple[int, int | None, bool]] = [(2 * leaves - 2, None, False)]
        names = 0
        for name, (node, parent, below) in enumerate(queue):
            below_or_leaf = below or not apart[node]
            if below:
                state = "pruned"
            elif apart[node]:
                state = "inner"
            else:
                state = "leaf" if abs(means[node]) > least else "near-zero"
            children: list[int] = [] if node < leaves else self.tree.merges[node - leaves].tolist()
            children.sort(key=lambda child: (-means[child], child))
            queue.extend((child, name, below_or_leaf) for child in children)
            held = np.flatnonzero(self.tree.members[node])
            yield SegmentNode(
                name,
                self._boxes[node],
                tuple(held.tolist()),
                int(self.tree.areas[held].sum()),
                float(means[node]),
                float(stds[node]),
                parent,
                tuple(range(names + 1, names + 1 + len(children))),
                state,
            )
            names += len(children)

    @cached_property
    def _boxes(self) -> list[Region]:
        """The rectangle round each node, in the tree's own numbering."""
        rows, cols = np.indices(self.tree.labels.shape).reshape(2, -1)
        flat, count = self.tree.labels.ravel(), self.tree.leaves
        edges = np.zeros((2 * count - 1, 4), np.int64)
        edges[:, [0, 2]] = np.iinfo(np.int64).max
        for column, axis in ((0, rows), (2, cols)):
            np.minimum.at(edges[:, column], flat, axis)
            np.maximum.at(edges[:, column + 1], flat, axis + 1)
        for number, pair in enumerate(self.tree.merges, start=count):
            edges[number, [0, 2]] = edges[pair][:, [0, 2]].min(axis=0)
            edges[number, [1, 3]] = edges[pair][:, [1, 3]].max(axis=0)
        return [Region(*row) for row in edges.tolist()]
