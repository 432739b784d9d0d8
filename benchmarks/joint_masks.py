"""Masks chosen and scores read in other ways than the joint method's, as it is now; writes docs/research/masks.md.

    python -m benchmarks.joint_masks measure mobilenet_v1_025_128 [PHOTOGRAPHS]   # goes to benchmarks/results
    # what an earlier run measured there of as many photographs is kept: only trials that it lacks are made
    python -m benchmarks.joint_masks write

Photographs to tune on, references and judgement are those of benchmarks/trials.py; every trial has the same tree,
prior, two fills in turn with a level each, and number of calls. Trials:

- quasi-random: the states of a cut's segments come from a scrambled Sobol sequence, not drawn independently.
- most uncertain: a third of the masks at random; then, in four rounds, those of eight times as many whose scores the
  model knows least, each chosen as if the ones before it were measured (greedy reduction of variance).
- halving: a third of the masks at random; then, twice, masks divide finely only the half of the image that matters most
  so far, then the quarter; the rest goes by the coarsest cut.
- pairs: the model knows products of two segments' states too; their part of the variance is the most likely of 0, a
  tenth, a third, 1 and 3 of that of sums. The heatmap is of the sums.
- guided upsampling: the heatmap as it is, filtered so that its edges are the image's (guided filter: He, Sun & Tang
  2013; window 8 % of the shorter side, regularisation 0.001 of the squared range of brightness).
"""

import sys

import numpy as np
from numpy.typing import NDArray

from benchmarks import trials
from benchmarks.joint_designs import (
    TWO_FILLS,
    Board,
    Bools,
    Floats,
    draw,
    fit_levels,
    likelihoods,
    scores_in_turn,
)
from benchmarks.trials import BASE, ROOT, Case, Trial
from occlumap.estimators.joint import RATIOS, detail_of, prior_covariance
from occlumap.samplers import KEEP, MASK_CUTS
from occlumap.segments import SegmentTree, merged, slic_labels

KIND = "joint-masks"
PAGE = ROOT / "docs/research/masks.md"
BUDGETS = (100, 300)
POOL = 8
ROUNDS = 4
PAIRS = (0.0, 0.1, 1 / 3, 1.0, 3.0)


class Asked:
    """A photograph's board and tree, and the masks and scores of it so far."""

    def __init__(self, case: Case) -> None:
        self.tree: SegmentTree = merged(case.image, slic_labels(case.image))
        prior = prior_covariance(self.tree, detail_of(case.image, self.tree))
        self.board = Board(case, self.tree.labels, prior)
        self.kept: Bools = np.empty((0, self.tree.leaves), np.bool_)
        self.scores: Floats = np.empty(0)

    def turns(self) -> NDArray[np.int64]:
        """Which fill each mask was hidden with."""
        return np.arange(len(self.kept)) // len(MASK_CUTS) % len(TWO_FILLS)

    def ask(self, kept: Bools) -> None:
        """Measure masks (n, leaves)."""
        old = len(self.kept)
        self.kept = np.concatenate([self.kept, kept])
        new = scores_in_turn(self.board, kept, self.turns()[old:], TWO_FILLS)
        self.scores = np.concatenate([self.scores, new])

    def importance(self) -> Floats:
        """What the model says of each leaf so far."""
        return fit_levels(self.board, self.kept, self.scores, self.turns())[0]

    def heatmap(self) -> NDArray[np.float32]:
        """The same as density, (H, W)."""
        return self.board.heatmap(self.importance())


def as_it_is(case: Case, budget: int) -> NDArray[np.float32]:
    asked = Asked(case)
    asked.ask(draw(asked.tree, budget, np.random.default_rng(0)))
    return asked.heatmap()


def quasi_random(case: Case, budget: int) -> NDArray[np.float32]:
    from scipy.stats.qmc import Sobol

    asked = Asked(case)
    count = -(-budget // len(MASK_CUTS))
    of_cuts = []
    for number in MASK_CUTS:
        segments = asked.tree.cut(number)
        points = Sobol(int(segments.max()) + 1, rng=np.random.default_rng(number))
        of_cuts.append((points.random_base2((count - 1).bit_length())[:count] < KEEP)[:, segments])
    asked.ask(np.stack(of_cuts, axis=1).reshape(-1, asked.tree.leaves)[:budget])
    return asked.heatmap()


def ratio_of(asked: Asked) -> float:
    """The most likely s^2 / variance of the noise for the scores so far."""
    design, level = levelled(asked)
    values, vectors = np.linalg.eigh(design @ asked.board.prior @ design.T)
    projected = vectors.T @ (asked.scores - level @ (level.T @ asked.scores))
    return float(
        RATIOS[likelihoods(np.maximum(values, 0), projected, len(design) - level.shape[1])[0].argmax()]
    )


def levelled(asked: Asked) -> tuple[Floats, Floats]:
    """Masks as shares of the image, centred within each fill; and an orthonormal base of the fills' levels."""
    level = np.linalg.qr(np.eye(len(TWO_FILLS))[asked.turns()])[0]
    design = asked.kept * asked.board.shares
    return design - level @ (level.T @ design), level


def most_uncertain(case: Case, budget: int) -> NDArray[np.float32]:
    asked, random = Asked(case), np.random.default_rng(0)
    asked.ask(draw(asked.tree, budget // 3, random))
    for rounds_left in range(ROUNDS, 0, -1):
        wanted = (budget - len(asked.kept)) // rounds_left
        pool = draw(asked.tree, POOL * wanted, random)
        design, _ = levelled(asked)
        prior = ratio_of(asked) * asked.board.prior  # in units of the noise's variance
        gain = np.linalg.solve(design @ prior @ design.T + np.eye(len(design)), design @ prior)
        seen = (pool - asked.kept.mean(axis=0)) * asked.board.shares
        spread = seen @ (prior - prior @ design.T @ gain) @ seen.T  # covariance of what the pool would score
        chosen = []
        for _ in range(wanted):
            variance = np.diag(spread).copy()
            variance[chosen] = -1
            best = int(variance.argmax())
            chosen.append(best)
            spread = spread - np.outer(spread[best], spread[best]) / (1 + spread[best, best])
        asked.ask(pool[chosen])
    return asked.heatmap()


def halving(case: Case, budget: int) -> NDArray[np.float32]:
    asked, random = Asked(case), np.random.default_rng(0)
    asked.ask(draw(asked.tree, budget // 3, random))
    coarse, fine = asked.tree.cut(min(MASK_CUTS)), asked.tree.cut(max(MASK_CUTS))
    for rounds_left, share in ((2, 0.5), (1, 0.25)):
        order = np.argsort(-np.abs(asked.importance() / asked.board.areas), kind="stable")
        alive = np.zeros(len(order), np.bool_)
        alive[order[np.cumsum(asked.board.shares[order]) <= share]] = True
        parts = np.unique(np.where(alive, fine + coarse.max() + 1, coarse), return_inverse=True)[1]
        count = (budget - len(asked.kept)) // rounds_left
        asked.ask((random.random((count, int(parts.max()) + 1)) < KEEP)[:, parts])
    return asked.heatmap()


def pairs(case: Case, budget: int) -> NDArray[np.float32]:
    asked = Asked(case)
    asked.ask(draw(asked.tree, budget, np.random.default_rng(0)))
    design, level = levelled(asked)
    centred = asked.scores - level @ (level.T @ asked.scores)
    sums = design @ asked.board.prior @ design.T
    products = sums**2 * (np.trace(sums) / np.trace(sums**2))
    best, weights = -np.inf, np.zeros(len(design))
    for part in PAIRS:
        kernel = sums + part * products
        kernel = kernel - level @ (level.T @ kernel)
        kernel = kernel - (kernel @ level) @ level.T
        values, vectors = np.linalg.eigh(kernel)
        values, projected = np.maximum(values, 0), vectors.T @ centred
        found, _ = likelihoods(values, projected, len(design) - level.shape[1])
        if found.max() > best:
            best, ratio = float(found.max()), RATIOS[found.argmax()]
            weights = vectors @ (projected / (1 + ratio * values)) * ratio
    return asked.board.heatmap(asked.board.shares * (asked.board.prior @ (design.T @ weights)))


def guided_upsampling(case: Case, budget: int) -> NDArray[np.float32]:
    from scipy.ndimage import uniform_filter

    heatmap, guide = as_it_is(case, budget).astype(np.float64), case.image.mean(axis=2) / 255
    size = 2 * round(0.04 * min(guide.shape)) + 1

    def mean(values: Floats) -> Floats:
        return uniform_filter(values, size, mode="nearest")

    slope = (mean(guide * heatmap) - mean(guide) * mean(heatmap)) / (
        mean(guide**2) - mean(guide) ** 2 + 0.001
    )
    offset = mean(heatmap) - slope * mean(guide)
    return (mean(slope) * guide + mean(offset)).astype(np.float32)


TRIALS: dict[str, Trial] = {
    BASE: as_it_is,
    "quasi-random": quasi_random,
    "most uncertain": most_uncertain,
    "halving": halving,
    "pairs": pairs,
    "guided upsampling": guided_upsampling,
}


def measure(name: str, limit: int | None) -> None:
    trials.measure(KIND, name, limit, TRIALS, BUDGETS)


def write() -> None:
    about = (
        "Made by `benchmarks/joint_masks.py`, which describes the trials: symmetric relevance gain of the joint method "
        "as it is now, with masks drawn by the trial (so not those of the other pages), and what another choice or "
        "reading of masks adds to it at the same calls (paired over the "
        "photographs, 95 % bootstrap interval); higher is better. Photographs to tune on only; references mean colour, "
        "noise and another photograph. None shows a gain, so none was kept."
    )
    trials.write(PAGE, KIND, "Masks chosen by what is known, and scores read in pairs", about, BUDGETS)


if __name__ == "__main__":
    trials.run(sys.argv[1:], __doc__, measure, write)
