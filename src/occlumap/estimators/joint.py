"""One Bayesian linear model over all masks of a tree of segments; its prior is the tree (`docs/method.md`; ours).

score of a mask = b of its fill + sum over visible leaves of their importance + noise. The importance of a leaf is its
density x its area; densities are Gaussian with mean 0 and covariance s^2 P, where P says that leaves are alike which
share segments of coarse cuts, or lie close, and that those with little detail matter less. Each b is free. s and the
noise are the most likely ones for this image's scores (restricted maximum likelihood: Patterson & Thompson 1971),
searched on a fixed grid of their ratio.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from occlumap._threads import one_thread
from occlumap.errors import ArgumentError
from occlumap.estimators import Estimate
from occlumap.fills import Blur, Image
from occlumap.measurements import Measurements
from occlumap.posterior import Fit, SegmentPosterior
from occlumap.segments import SegmentTree

TREE_WEIGHTS = {12: 1.0, 25: 1.0, 50: 1.0, 100: 0.5, 10**6: 0.25}
"""How much two leaves are alike that share a segment of the cut with so many; the last cut is the leaves."""

NEARNESS = 2.0
"""How much two leaves are alike that lie in the same place."""

REACH = 0.25
"""At what distance, as a share of the image's longer side, that has fallen to exp(-1/2)."""

LEAST_DETAIL = 0.1
"""Added to the detail of each leaf, so that one of a single colour may matter too; the mean detail is 1."""

RATIOS = np.geomspace(1e-3, 1e9, 145)
"""The ratios s^2 / variance of the noise that are tried."""

LEAST_MASKS = 2
"""With fewer masks nothing is estimated."""

SAME = 1e-12
"""Scores that differ by no more than this share of the largest are the same but for rounding."""

LEAST_OF_A_FILL = 8
"""With fewer masks of one of the fills that take turns, all share one b."""

LEVELS = (0.5, 0.8, 0.95)


def detail_of(image: Image, tree: SegmentTree) -> NDArray[np.float64]:
    """How far each leaf of `image`, uint8 (H, W, 3), is from the blurred image, (leaves,); 1 in the mean of the pixels.

    All 1 for an image of one colour.
    """
    blurred = Blur().prepare_mask(image)(np.ones(tree.labels.shape, np.bool_))
    lost = np.abs(image.astype(np.float64) - blurred).mean(axis=2)
    mean = float(lost.mean())
    if mean == 0:
        return np.ones(tree.leaves)
    found: NDArray[np.float64] = np.bincount(tree.labels.ravel(), weights=lost.ravel()) / tree.areas / mean
    return found


def prior_covariance(tree: SegmentTree, detail: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """P, (leaves, leaves): how alike the densities of two leaves are thought to be, up to the factor s^2.

    `detail`: see `detail_of`; densities vary with its root. The same for all leaves when None.
    """
    centres = tree.centres() / max(tree.labels.shape)
    apart = ((centres[:, None] - centres) ** 2).sum(axis=2)
    near: NDArray[np.float64] = np.exp(-apart / (2 * REACH**2))
    alike = tree.covariance(TREE_WEIGHTS) + NEARNESS * near
    if detail is None:
        return alike
    scale = np.sqrt(detail + LEAST_DETAIL)
    return alike * scale[:, None] * scale


def joint(
    measurements: Measurements,
    target: int,
    *,
    tree: SegmentTree,
    fills: int = 1,
    detail: NDArray[np.float64] | None = None,
) -> Estimate:
    """The heatmap of class `target`, signed, with its posterior and its fit.

    `fills`: how many took turns; `detail`: of each leaf, see `detail_of`. Deterministic to the bit: the linear algebra
    runs on one thread. Raises ArgumentError for fewer masks than `LEAST_MASKS`, or masks of other segments than the
    tree's.
    """
    masks = measurements.masks
    if not np.array_equal(masks.labels, tree.labels):
        raise ArgumentError("expected masks of the tree's own segments, got masks of others")
    if len(masks) < LEAST_MASKS:
        raise ArgumentError(f"expected at least {LEAST_MASKS} measured masks, got {len(masks)}; measure more")
    scores = measurements.scores[:, measurements.column(target)]
    turns = masks.turns(fills)
    if np.bincount(turns, minlength=fills).min() < LEAST_OF_A_FILL:
        turns = np.zeros_like(turns)
    with one_thread():
        posterior, fit = _solve(masks.kept, scores, turns, tree, prior_covariance(tree, detail))
    return Estimate(posterior.heatmap(), posterior=posterior, fit=fit)


class _Likely(NamedTuple):
    """The most likely ratio s^2 / variance of the noise, and that variance."""

    ratio: float
    noise: float


def _solve(
    kept: NDArray[np.bool_],
    scores: NDArray[np.float64],
    turns: NDArray[np.int64],
    tree: SegmentTree,
    prior: NDArray[np.float64],
) -> tuple[SegmentPosterior, Fit]:
    shares = tree.areas / tree.areas.sum()
    # densities = root @ theta, theta ~ N(0, s^2 I); centring the masks of each fill stands for its free b
    root = np.linalg.cholesky(prior + 1e-9 * np.trace(prior) / len(prior) * np.eye(len(prior)))
    design = (kept * shares) @ root
    centred = scores.copy()
    for turn in range(int(turns.max()) + 1):
        design[turns == turn] -= design[turns == turn].mean(axis=0)
        centred[turns == turn] -= scores[turns == turn].mean()
    of_each = np.bincount(turns)
    if np.abs(centred).max() <= SAME * np.abs(scores).max():
        centred = np.zeros_like(centred)
    eigenvalues, vectors = np.linalg.eigh(design.T @ design)
    eigenvalues = np.maximum(eigenvalues, 0)
    projected = vectors.T @ (design.T @ centred)
    total = float(centred @ centred)
    likely = _most_likely(eigenvalues, projected, total, len(scores) - len(of_each))
    shrunk = 1 / (eigenvalues + 1 / likely.ratio)
    basis = shares[:, None] * (root @ vectors)  # from the eigenvectors' weights to importances of leaves
    mean = basis @ (shrunk * projected)
    covariance = (basis * (likely.noise * shrunk)) @ basis.T
    # what the model leaves of each score, and 1 - its leverage, in the masks' own axes: as 1 minus a number close to 1
    # both would be lost to rounding where masks are few
    seen = eigenvalues > SAME * eigenvalues.max(initial=0.0)
    axes = (design @ vectors[:, seen]) / np.sqrt(eigenvalues[seen])
    left = 1 / (1 + likely.ratio * eigenvalues[seen])
    spare = np.zeros(len(scores))
    residual = axes @ (left * (axes.T @ centred))
    if axes.shape[1] < len(scores) - len(of_each):
        spare = np.maximum(1 - 1 / of_each[turns] - (axes * axes).sum(axis=1), 0)
        residual += centred - axes @ (axes.T @ centred)
    unexplained = np.maximum((axes * axes) @ left + spare, np.finfo(np.float64).tiny)
    return SegmentPosterior(tree, mean, covariance), _fit(
        residual / unexplained, unexplained, centred * (of_each / (of_each - 1))[turns], likely.noise
    )


def _most_likely(
    eigenvalues: NDArray[np.float64], projected: NDArray[np.float64], total: float, freedom: int
) -> _Likely:
    growth = 1 + RATIOS[:, None] * eigenvalues
    rest = np.maximum(total - (RATIOS[:, None] * projected**2 / growth).sum(axis=1), 1e-12 * total)
    noise = rest / freedom
    if total == 0:
        return _Likely(float(RATIOS[0]), 0.0)
    likelihood = -0.5 * (freedom * np.log(noise) + np.log(growth).sum(axis=1))
    best = int(likelihood.argmax())
    return _Likely(float(RATIOS[best]), float(noise[best]))


def _fit(
    left_out: NDArray[np.float64],
    unexplained: NDArray[np.float64],
    of_mean_alone: NDArray[np.float64],
    noise: float,
) -> Fit:
    """How far each score is from what the model says without it (closed form of leaving one out).

    `unexplained`: 1 - the leverage of each mask. `of_mean_alone`: how far it is from the mean of the others of its
    fill.
    """
    total = float(of_mean_alone @ of_mean_alone)
    if total == 0:
        return Fit(0.0, 0.0, (0.0, 0.0, 0.0))  # nothing varies, nothing is explained
    predicted_std = np.sqrt(noise / unexplained)
    ratios = np.abs(left_out) / predicted_std
    low, middle, high = np.quantile(ratios, LEVELS).tolist()
    return Fit(1 - float(left_out @ left_out) / total, float(np.sqrt(noise)), (low, middle, high))
