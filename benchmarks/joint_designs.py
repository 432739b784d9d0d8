"""Other ways to choose and to read masks than the joint method's first; writes docs/research/designs.md.

    python -m benchmarks.joint_designs measure mobilenet_v1_025_128 [PHOTOGRAPHS]   # goes to benchmarks/results
    # what an earlier run measured there of as many photographs is kept: only designs that it lacks are tried
    python -m benchmarks.joint_designs write

Photographs to tune on, references and judgement are those of benchmarks/trials.py; every design has the same
tree, prior and number of calls. Designs:

- complements: each mask is followed by its opposite (antithetic pairs).
- two segmentations: half of the masks on each of two trees, one model over the pieces of both.
- log-odds: the model is fitted to log(p / (1 - p)).
- Thompson: two fifths of the masks at random; then, in six rounds, a map is drawn from the posterior and the
segments that it ranks first, a random share of the image, are shown or hidden.
- keep 0.5 and 0.8 in turn, each with a scale and a noise of its own, by maximum likelihood.
- two fills in turn: blur and neighbours; and both of the last two together.
- two fills, a level each: the same masks and fills, and an intercept for each fill. This is the one that was kept; the
method now takes turns by the mask's hash.
- three fills, a level each: grey 128 too.
- smoothed: the heatmap as it is, blurred (Gaussian, sigma 4 % of the shorter side).
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import occlumap
from benchmarks import trials
from benchmarks.trials import ROOT, Case, Trial
from occlumap import fills
from occlumap.estimators.joint import NEARNESS, RATIOS, REACH, TREE_WEIGHTS, prior_covariance
from occlumap.samplers import KEEP, MASK_CUTS
from occlumap.segments import SegmentTree, merged, slic_labels

KIND = "joint-designs"
PAGE = ROOT / "docs/research/designs.md"
BUDGETS = (100, 300)
TWO_FILLS = ("blur", "neighbours")

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Board:
    """A photograph cut into pieces, with a prior of their densities, and the classifier's scores of masks."""

    def __init__(self, case: Case, labels: NDArray[np.integer], prior: Floats) -> None:
        self.case, self.labels, self.prior = case, labels, prior
        self.areas = np.bincount(labels.ravel())
        self.shares = self.areas / self.areas.sum()
        self._paint: dict[str, Callable[[Bools], NDArray[np.uint8]]] = {}

    def scores(self, kept: Bools, fill: str = "blur") -> Floats:
        """The classifier's scores of masks (n, pieces)."""
        if fill not in self._paint:
            self._paint[fill] = fills.mask_painter(fills.parse(fill), self.case.image)
        paint = self._paint[fill]
        images = []
        for row in kept:
            hidden = ~row[self.labels]
            images.append(np.where(hidden[..., None], paint(hidden), self.case.image))
        return self.case._scores(images)

    def heatmap(self, importance: Floats) -> NDArray[np.float32]:
        """Density of each piece, (H, W)."""
        return (importance / self.areas)[self.labels].astype(np.float32)


class Read(NamedTuple):
    """The joint method's own heatmap and tree, and the masks, scores and turns of fills that it asked."""

    heatmap: NDArray[np.float32]
    tree: SegmentTree
    kept: Bools
    scores: Floats
    turns: NDArray[np.int64]

    def first(self, budget: int) -> tuple[Bools, Floats, NDArray[np.int64]]:
        """Masks, scores and turns of so many calls, one of which is the image."""
        return self.kept[: budget - 1], self.scores[: budget - 1], self.turns[: budget - 1]


def read(case: Case, budget: int) -> Read:
    """What the joint method as it is asks and gives."""
    explanation = occlumap.explain(case.classifier, case.image, case.target, budget=budget)
    assert isinstance(explanation, occlumap.Explanation)
    assert explanation.posterior is not None
    masks, scores = explanation.measurements.masks, explanation.measurements.scores[:, 0]
    turns = masks.turns(len(fills.in_turn(fills.parse(explanation.settings["fill"]))))
    return Read(explanation.heatmap, explanation.posterior.tree, masks.kept, scores.astype(np.float64), turns)


def board_of(case: Case) -> tuple[Board, SegmentTree]:
    tree = merged(case.image, slic_labels(case.image))
    return Board(case, tree.labels, prior_covariance(tree)), tree


def draw(
    tree: SegmentTree, count: int, random: np.random.Generator, keeps: tuple[float, ...] = (KEEP,)
) -> Bools:
    """The joint method's masks: one cut after the other, each segment kept with a probability, these in turn too."""
    cuts = [tree.cut(number) for number in MASK_CUTS]
    rows: list[Bools] = []
    while len(rows) < count:
        at = len(rows)
        segments, keep = cuts[at % len(cuts)], keeps[at // len(cuts) % len(keeps)]
        row = (random.random(int(segments.max()) + 1) < keep)[segments]
        if not row.all():
            rows.append(row)
    return np.array(rows)


def likelihoods(values: Floats, projected: Floats, freedom: int) -> tuple[Floats, Floats]:
    """Of each of `RATIOS` the restricted log-likelihood, up to a constant, and the noise's variance.

    `values`: the eigenvalues of the masks' kernel; `projected`: the scores along its eigenvectors.
    """
    growth = 1 + RATIOS[:, None] * values
    noise = (projected**2 / growth).sum(axis=1) / freedom
    found = -0.5 * (freedom * np.log(np.maximum(noise, 1e-300)) + np.log(growth).sum(axis=1))
    return found, noise


def fit(board: Board, kept: Bools, scores: Floats) -> tuple[Floats, float, float]:
    """Posterior mean importance of each piece, s^2 and the noise's variance, by restricted maximum likelihood."""
    design = kept * board.shares
    centre = np.eye(len(kept)) - 1 / len(kept)
    values, vectors = np.linalg.eigh(centre @ (design @ board.prior @ design.T) @ centre)
    values = np.maximum(values, 0)
    projected = vectors.T @ (scores - scores.mean())
    likelihood, noise = likelihoods(values, projected, len(kept) - 1)
    best = int(likelihood.argmax())
    weights = centre @ (vectors @ (projected / (1 + RATIOS[best] * values))) * RATIOS[best]
    mean = board.shares * (board.prior @ (design.T @ weights))
    return mean, float(RATIOS[best] * noise[best]), float(noise[best])


def fit_levels(board: Board, kept: Bools, scores: Floats, groups: NDArray[np.int64]) -> tuple[Floats, float]:
    """Posterior mean importance of each piece with an intercept for each group of masks; and the greatest restricted
    log-likelihood, up to a constant of the image.
    """
    design, level = kept * board.shares, np.linalg.qr(np.eye(int(groups.max()) + 1)[groups])[0]
    centre = np.eye(len(kept)) - level @ level.T
    values, vectors = np.linalg.eigh(centre @ (design @ board.prior @ design.T) @ centre)
    values, freedom = np.maximum(values, 0), len(kept) - level.shape[1]
    projected = vectors.T @ (centre @ scores)
    likelihood, _ = likelihoods(values, projected, freedom)
    best = int(likelihood.argmax())
    weights = centre @ (vectors @ (projected / (1 + RATIOS[best] * values))) * RATIOS[best]
    importance: Floats = board.shares * (board.prior @ (design.T @ weights))
    return importance, float(likelihood[best])


def fit_groups(board: Board, kept: Bools, scores: Floats, groups: NDArray[np.int64]) -> Floats:
    """The same with an intercept, a scale and a noise for each group of masks, most likely ones."""
    from scipy.optimize import minimize

    design, count = kept * board.shares, int(groups.max()) + 1
    kernel = design @ board.prior @ design.T
    level, spread = np.eye(count)[groups], scores.var() + 1e-12
    typical = np.trace(kernel) / len(kept)

    def parts(at: Floats) -> tuple[float, Floats, Floats]:
        scale = np.concatenate([[1.0], np.exp(at[1 + count :])])[groups]
        s2 = float(np.exp(at[0]) * spread / typical)
        return (
            s2,
            scale,
            s2 * kernel * scale[:, None] * scale + np.diag(np.exp(at[1 : 1 + count])[groups] * spread),
        )

    def minus_likelihood(at: Floats) -> float:
        _, _, covariance = parts(at)
        root = np.linalg.cholesky(covariance)
        y, columns = np.linalg.solve(root, scores), np.linalg.solve(root, level)
        inner = columns.T @ columns
        rest = y - columns @ np.linalg.solve(inner, columns.T @ y)
        penalty = (
            0.5 * float((at[1 + count :] ** 2).sum()) / 0.7**2
        )  # scales differ by a factor of 2, not of 20
        return float(
            np.log(np.diag(root)).sum() + 0.5 * rest @ rest + 0.5 * np.linalg.slogdet(inner)[1] + penalty
        )

    start = np.concatenate([[0.0], np.full(count, -1.5), np.zeros(count - 1)])
    bounds = [(-5, 5)] + [(-9, 1)] * count + [(-2, 2)] * (count - 1)
    found = minimize(minus_likelihood, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": 15}).x
    s2, scale, covariance = parts(found)
    inverse = np.linalg.inv(covariance)
    levels = np.linalg.solve(level.T @ inverse @ level, level.T @ inverse @ scores)
    weights = inverse @ (scores - level @ levels)
    importance: Floats = s2 * board.shares * (board.prior @ (design.T @ (scale * weights)))
    return importance


def as_it_is(case: Case, budget: int) -> NDArray[np.float32]:
    board, tree = board_of(case)
    kept = draw(tree, budget, np.random.default_rng(0))
    return board.heatmap(fit(board, kept, board.scores(kept))[0])


def complements(case: Case, budget: int) -> NDArray[np.float32]:
    board, tree = board_of(case)
    half = draw(tree, budget // 2, np.random.default_rng(0))
    kept = np.stack([half, ~half], axis=1).reshape(-1, half.shape[1])
    return board.heatmap(fit(board, kept, board.scores(kept))[0])


def two_segmentations(case: Case, budget: int) -> NDArray[np.float32]:
    one, other = merged(case.image, slic_labels(case.image)), merged(case.image, slic_labels(case.image, 150))
    both, pieces = np.unique(one.labels.astype(np.int64) * other.leaves + other.labels, return_inverse=True)
    labels = pieces.reshape(one.labels.shape)
    first, second = both // other.leaves, both % other.leaves
    areas = np.bincount(labels.ravel())
    places = np.indices(labels.shape).reshape(2, -1) / max(labels.shape)
    centres = (
        np.stack([np.bincount(labels.ravel(), weights=axis) for axis in places], axis=1) / areas[:, None]
    )
    near = np.exp(-((centres[:, None] - centres) ** 2).sum(axis=2) / (2 * REACH**2))
    of_trees = [tree.covariance(TREE_WEIGHTS)[np.ix_(at, at)] for tree, at in ((one, first), (other, second))]
    board = Board(case, labels, (of_trees[0] + of_trees[1]) / 2 + NEARNESS * near)
    random = np.random.default_rng(0)
    kept = np.concatenate(
        [draw(one, (budget + 1) // 2, random)[:, first], draw(other, budget // 2, random)[:, second]]
    )
    return board.heatmap(fit(board, kept, board.scores(kept))[0])


def log_odds(case: Case, budget: int) -> NDArray[np.float32]:
    board, tree = board_of(case)
    kept = draw(tree, budget, np.random.default_rng(0))
    scores = np.clip(board.scores(kept), 1e-3, 1 - 1e-3)
    return board.heatmap(fit(board, kept, np.log(scores / (1 - scores)))[0])


def thompson(case: Case, budget: int) -> NDArray[np.float32]:
    board, tree = board_of(case)
    random = np.random.default_rng(0)
    kept = draw(tree, budget * 2 // 5, random)
    scores = board.scores(kept)
    root = np.linalg.cholesky(
        board.prior + 1e-9 * np.trace(board.prior) / len(board.prior) * np.eye(len(board.prior))
    )
    for rounds_left in range(6, 0, -1):
        _, s2, noise = fit(board, kept, scores)
        design = kept * board.shares
        towards = s2 * board.prior @ design.T
        inverse = np.linalg.inv(design @ towards + max(noise, 1e-12) * np.eye(len(kept)))
        rows = []
        for _ in range((budget - len(kept)) // rounds_left):
            drawn = np.sqrt(s2) * (root @ random.standard_normal(len(root)))
            heard = design @ drawn + np.sqrt(noise) * random.standard_normal(len(kept))
            density = drawn + towards @ (inverse @ (scores - scores.mean() - heard + heard.mean()))
            order = np.argsort(-density)
            shown = np.zeros(len(root), bool)
            shown[order[np.cumsum(board.shares[order]) <= random.uniform(0.05, 0.95)]] = True
            rows.append(shown if random.random() < 0.5 else ~shown)
        new = np.array(rows)
        kept, scores = np.concatenate([kept, new]), np.concatenate([scores, board.scores(new)])
    return board.heatmap(fit(board, kept, scores)[0])


def keeps_in_turn(case: Case, budget: int) -> NDArray[np.float32]:
    board, tree = board_of(case)
    kept = draw(tree, budget, np.random.default_rng(0), (0.5, 0.8))
    groups = np.arange(budget) // len(MASK_CUTS) % 2
    return board.heatmap(fit_groups(board, kept, board.scores(kept), groups))


def scores_in_turn(board: Board, kept: Bools, turn: NDArray[np.int64], names: tuple[str, ...]) -> Floats:
    scores = np.empty(len(kept))
    for number, name in enumerate(names):
        scores[turn == number] = board.scores(kept[turn == number], name)
    return scores


def two_fills(case: Case, budget: int) -> NDArray[np.float32]:
    board, tree = board_of(case)
    kept = draw(tree, budget, np.random.default_rng(0))
    turn = np.arange(budget) // len(MASK_CUTS) % 2
    return board.heatmap(fit(board, kept, scores_in_turn(board, kept, turn, TWO_FILLS))[0])


def fills_with_levels(*names: str) -> Trial:
    def design(case: Case, budget: int) -> NDArray[np.float32]:
        board, tree = board_of(case)
        kept = draw(tree, budget, np.random.default_rng(0))
        turn = np.arange(budget) // len(MASK_CUTS) % len(names)
        return board.heatmap(fit_levels(board, kept, scores_in_turn(board, kept, turn, names), turn)[0])

    return design


def smoothed(case: Case, budget: int) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(as_it_is(case, budget), 0.04 * min(case.image.shape[:2]))


def keeps_and_fills(case: Case, budget: int) -> NDArray[np.float32]:
    board, tree = board_of(case)
    kept = draw(tree, budget, np.random.default_rng(0), (0.5, 0.8))
    turn = np.arange(budget) // len(MASK_CUTS)
    scores = scores_in_turn(board, kept, turn // 2 % 2, TWO_FILLS)
    return board.heatmap(fit_groups(board, kept, scores, turn % 4))


DESIGNS: dict[str, Trial] = {
    "as it is": as_it_is,
    "complements": complements,
    "two segmentations": two_segmentations,
    "log-odds": log_odds,
    "Thompson": thompson,
    "keep 0.5 and 0.8 in turn": keeps_in_turn,
    "two fills in turn": two_fills,
    "two keep rates and two fills": keeps_and_fills,
    "two fills, a level each": fills_with_levels(*TWO_FILLS),
    "three fills, a level each": fills_with_levels(*TWO_FILLS, "constant:128"),
    "smoothed": smoothed,
}


def measure(name: str, limit: int | None) -> None:
    trials.measure(KIND, name, limit, DESIGNS, BUDGETS)


def write() -> None:
    about = (
        "Made by `benchmarks/joint_designs.py`, which describes them: symmetric relevance gain of the joint method's "
        "first design, and what another adds to it at the same calls (paired over the photographs, 95 % bootstrap "
        "interval); higher is better. Photographs to tune on only; references mean colour, noise and another "
        "photograph. What gains with one classifier and not with the others was dropped; two fills, each with a level "
        "of its own, were kept. The prior did not know of detail yet (priors.md); what was tried since is in masks.md."
    )
    trials.write(PAGE, KIND, "Other ways to choose and to read masks", about, BUDGETS)


if __name__ == "__main__":
    trials.run(sys.argv[1:], __doc__, measure, write)
