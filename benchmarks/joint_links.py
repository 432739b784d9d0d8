"""What the joint method's model might assume of scores, and what more calls would bring; writes docs/research/links.md.

    python -m benchmarks.joint_links measure mobilenet_v1_025_128 [PHOTOGRAPHS]   # goes to benchmarks/results
    python -m benchmarks.joint_links write

Every trial but the last reads the same masks and scores, those of the method itself. Photographs to tune on, references
and judgement are those of benchmarks/trials.py. Trials:

- root: sums explain the square root of the score.
- logistic: sums explain the log-odds of the score's mean, whose variance is p (1 - p) (quasi-likelihood, fitted by
  iterated weighted least squares with the likeliest prior of each round: Breslow & Clayton 1993); or, least squares, is
  the same for all.
- logistic, and as it is: the mean of both heatmaps, each over its standard deviation.
- noise of p (1 - p): sums explain the score, and scores near 0 and 1 are surer than others.
- centre: densities vary with the root of .1 + a Gaussian of the distance to the image's centre; the number is its
  standard deviation as a share of the sides.
- 3,000 calls: the method as it is, with so many.
"""

import json
import sys
import warnings

import numpy as np
from numpy.typing import NDArray

from benchmarks import trials
from benchmarks.joint_designs import Board, Bools, Floats, fit_levels, likelihoods, read
from benchmarks.trials import BASE, RESULTS, ROOT
from occlumap.errors import OcclumapWarning
from occlumap.estimators.joint import RATIOS, detail_of, prior_covariance

KIND = "joint-links"
PAGE = ROOT / "docs/research/links.md"
BUDGETS = (100, 300)
MANY = 3000
ROUNDS, STEP = 12, 0.7
LEAST = 1e-3
"""Of p (1 - p), and of p at the start: nothing is infinitely sure."""


def fit_weighted(
    board: Board, kept: Bools, scores: Floats, groups: NDArray[np.int64], weights: Floats
) -> tuple[Floats, Floats]:
    """Posterior mean importance of each piece, and what it says of each mask, where noise has variance 1 / weight."""
    root = np.sqrt(weights / weights.mean())
    levels = np.eye(int(groups.max()) + 1)[groups]
    design, level = kept * board.shares * root[:, None], np.linalg.qr(levels * root[:, None])[0]
    centre = np.eye(len(kept)) - level @ level.T
    values, vectors = np.linalg.eigh(centre @ (design @ board.prior @ design.T) @ centre)
    values, projected = np.maximum(values, 0), vectors.T @ (centre @ (scores * root))
    likelihood, _ = likelihoods(values, projected, len(kept) - level.shape[1])
    ratio = RATIOS[int(likelihood.argmax())]
    solved = centre @ (vectors @ (projected / (1 + ratio * values))) * ratio
    importance: Floats = board.shares * (board.prior @ (design.T @ solved))
    sums = kept @ importance
    intercepts = np.linalg.lstsq(levels * root[:, None], (scores - sums) * root, rcond=None)[0]
    return importance, levels @ intercepts + sums


def fit_logistic(
    board: Board, kept: Bools, scores: Floats, groups: NDArray[np.int64], *, same_noise: bool = False
) -> Floats:
    """Posterior mean importance of each piece for the log-odds of the mean score."""
    start = np.clip((scores + scores.mean()) / 2, LEAST, 1 - LEAST)
    odds = np.log(start / (1 - start))
    for _ in range(ROUNDS):
        mean = 1 / (1 + np.exp(-odds))
        slope = np.maximum(mean * (1 - mean), LEAST)
        working, weights = odds + (scores - mean) / slope, slope**2 if same_noise else slope
        importance, said = fit_weighted(board, kept, working, groups, weights)
        odds = np.clip(odds + STEP * (said - odds), -9, 9)
    return importance


def importances(
    board: Board, kept: Bools, scores: Floats, groups: NDArray[np.int64], centres: Floats
) -> dict[str, Floats]:
    """Of each piece, by the name of the trial. `centres`: of the pieces from the image's, (pieces, 2), in sides."""
    even = np.ones(len(scores))
    as_it_is, _ = fit_levels(board, kept, scores, groups)
    logistic = fit_logistic(board, kept, scores, groups)
    _, said = fit_weighted(board, kept, scores, groups, even)
    spread = np.clip(said, 0.02, 0.98)
    both = [one / (one / board.areas).std() for one in (as_it_is, logistic) if one.any()]
    found = {
        BASE: as_it_is,
        "root": fit_weighted(board, kept, np.sqrt(np.maximum(scores, 0)), groups, even)[0],
        "logistic": logistic,
        "logistic, least squares": fit_logistic(board, kept, scores, groups, same_noise=True),
        "logistic, and as it is": np.sum(both, axis=0) if both else as_it_is,
        "noise of p (1 - p)": fit_weighted(board, kept, scores, groups, 1 / (spread * (1 - spread)))[0],
    }
    for width in (0.25, 0.4):
        scale = np.sqrt(np.exp(-(centres**2).sum(axis=1) / (2 * width**2)) + 0.1)
        central = Board(board.case, board.labels, board.prior * scale[:, None] * scale)
        found[f"centre {width}"], _ = fit_levels(central, kept, scores, groups)
    return found


def measure(name: str, limit: int | None) -> None:
    """All photographs anew: {trial: {budget: a number for each}}, written after each photograph."""
    warnings.simplefilter("ignore", OcclumapWarning)
    RESULTS.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, list[float]]] = {}
    for number, case in enumerate(trials.cases(name, limit), start=1):
        asked = read(case, MANY)
        tree = asked.tree
        board = Board(case, tree.labels, prior_covariance(tree, detail_of(case.image, tree)))
        centres = tree.centres() / tree.labels.shape - 0.5
        many = case.gain(asked.heatmap)
        for budget in BUDGETS:
            for label, importance in importances(board, *asked.first(budget), centres).items():
                gain = case.gain(board.heatmap(importance))
                found.setdefault(label, {}).setdefault(str(budget), []).append(gain)
            found.setdefault(f"{MANY:,} calls", {}).setdefault(str(budget), []).append(many)
        (RESULTS / f"{KIND}-{name}.json").write_text(json.dumps(found))
        print(f"{number} photographs", flush=True)


def write() -> None:
    about = (
        "Made by `benchmarks/joint_links.py`, which describes the trials: symmetric relevance gain of the joint method "
        "as it is, and what another reading of the same masks and scores adds to it (paired over the photographs, 95 % "
        "bootstrap interval); higher is better. Photographs to tune on only; references mean colour, noise and another "
        f"photograph. The last row is the method as it is with {MANY:,} calls: what there is to gain by more of them."
    )
    trials.write(PAGE, KIND, "What sums of importances explain", about, BUDGETS)


if __name__ == "__main__":
    trials.run(sys.argv[1:], __doc__, measure, write)
