"""What might predict better what hiding a region costs than the joint method does; writes docs/research/regions.md.

    python -m benchmarks.joint_regions measure mobilenet_v1_025_128 [PHOTOGRAPHS]   # goes to benchmarks/results
    # what an earlier run measured there of as many photographs is kept: only trials that it lacks are made
    python -m benchmarks.joint_regions write

Photographs to tune on and references are those of benchmarks/trials.py; a heatmap is judged by Spearman's correlation
of its sums over 200 random rectangles with what hiding each costs (`evaluation.fidelity.region_prediction`), mean over
the references. Such a rectangle is hidden alone, where the masks hide half of the image: every trial goes some way from
one to the other. Each has the same tree, prior, two fills in turn and number of calls. Trials:

- keep 0.65, 0.8, 0.9: the probability that a mask keeps a segment, 0.5 in the method.
- single segments: a third of the masks hide one segment of the finest cut each, all in one model.
- the original: its score counts as one mask more, with nothing hidden, as much as thirty others.
- log-odds: the model is fitted to log(p / (1 - p)).
- smoothed: Gaussian, sigma 4 % of the shorter side.
- a constant: the heatmap's mean is added to it, so that a region's area counts.
- positive: evidence against the class is 0.
"""

import sys

import numpy as np
from numpy.typing import NDArray

from benchmarks import trials
from benchmarks.joint_designs import draw, fit_levels
from benchmarks.joint_masks import Asked, as_it_is
from benchmarks.trials import BASE, ROOT, Case, Trial
from occlumap.samplers import MASK_CUTS

KIND = "joint-regions"
PAGE = ROOT / "docs/research/regions.md"
BUDGETS = (100, 300)


def keeping(probability: float) -> Trial:
    def trial(case: Case, budget: int) -> NDArray[np.float32]:
        asked = Asked(case)
        asked.ask(draw(asked.tree, budget, np.random.default_rng(0), (probability,)))
        return asked.heatmap()

    return trial


def single_segments(case: Case, budget: int) -> NDArray[np.float32]:
    asked, random = Asked(case), np.random.default_rng(0)
    fine = asked.tree.cut(max(MASK_CUTS))
    alone = random.permutation(int(fine.max()) + 1)[: budget // 3]
    asked.ask(np.array([fine != segment for segment in alone]))
    asked.ask(draw(asked.tree, budget - len(alone), random))
    return asked.heatmap()


def with_the_original(case: Case, budget: int, weight: int = 30) -> NDArray[np.float32]:
    asked = Asked(case)
    asked.ask(draw(asked.tree, budget - 1, np.random.default_rng(0)))
    whole = np.ones((1, asked.tree.leaves), np.bool_)
    score = asked.board.scores(whole)
    kept = np.concatenate([asked.kept, whole.repeat(weight, axis=0)])
    turns = np.concatenate([asked.turns(), np.arange(weight) % (int(asked.turns().max()) + 1)])
    importance, _ = fit_levels(asked.board, kept, np.concatenate([asked.scores, score.repeat(weight)]), turns)
    return asked.board.heatmap(importance)


def log_odds(case: Case, budget: int) -> NDArray[np.float32]:
    asked = Asked(case)
    asked.ask(draw(asked.tree, budget, np.random.default_rng(0)))
    scores = np.clip(asked.scores, 1e-3, 1 - 1e-3)
    asked.scores = np.log(scores / (1 - scores))
    return asked.heatmap()


def smoothed(case: Case, budget: int) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(as_it_is(case, budget), 0.04 * min(case.image.shape[:2]))


def with_a_constant(case: Case, budget: int) -> NDArray[np.float32]:
    heatmap = as_it_is(case, budget)
    return heatmap + heatmap.mean()


def positive(case: Case, budget: int) -> NDArray[np.float32]:
    return np.maximum(as_it_is(case, budget), 0)


TRIALS: dict[str, Trial] = {
    BASE: as_it_is,
    "keep 0.65": keeping(0.65),
    "keep 0.8": keeping(0.8),
    "keep 0.9": keeping(0.9),
    "single segments": single_segments,
    "the original": with_the_original,
    "log-odds": log_odds,
    "smoothed": smoothed,
    "a constant": with_a_constant,
    "positive": positive,
}


def measure(name: str, limit: int | None) -> None:
    trials.measure(KIND, name, limit, TRIALS, BUDGETS, Case.region_prediction)


def write() -> None:
    about = (
        "Made by `benchmarks/joint_regions.py`, which describes the trials: Spearman's correlation of the joint "
        "method's sums over 200 random rectangles with what hiding each costs, and what another choice or reading of "
        "masks adds to it at the same calls (paired over the photographs, 95 % bootstrap interval); higher is better. "
        "Photographs to tune on only; references mean colour, noise and another photograph. None gains with all three "
        "classifiers; the heatmap without its negative part, which gains a little with two, would no longer be signed."
    )
    trials.write(PAGE, KIND, "What predicts the cost of hiding a region", about, BUDGETS)


if __name__ == "__main__":
    trials.run(sys.argv[1:], __doc__, measure, write)
