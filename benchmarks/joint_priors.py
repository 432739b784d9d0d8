"""What the joint method's prior should know of an image before a call is spent; writes docs/research/priors.md.

    python -m benchmarks.joint_priors measure mobilenet_v1_025_128 [PHOTOGRAPHS]   # goes to benchmarks/results
    python -m benchmarks.joint_priors write

Every prior reads the same masks and scores, those of the method itself. It is judged twice: by the likelihood of the
scores (restricted, log; of the first 300 calls), which tells more surely than any heatmap what the data support, and by
the symmetric relevance gain of its heatmaps. Photographs to tune on, references and judgement are those of
benchmarks/trials.py. Priors:

- no detail: all leaves are thought to matter as much, as before.
- detail: densities vary with the root of a leaf's detail, its distance to the blurred image; other powers of it; the
  gradient of the brightness, or the distance to the image's mean colour, in its place.
- a level of all: 2 is added to all of P, so that all leaves are alike to some degree.
- alike colours: 2 x exp(-d^2 / (2 x 20^2)) is added to P, d the distance in CIE Lab.
"""

import json
import sys
import warnings

import numpy as np

from benchmarks import trials
from benchmarks.joint_designs import Board, Floats, fit_levels, read
from benchmarks.trials import BASE, RESULTS, ROOT, Case
from occlumap.errors import OcclumapWarning
from occlumap.estimators import joint
from occlumap.segments import SegmentTree

KIND = "joint-priors"
PAGE = ROOT / "docs/research/priors.md"
BUDGETS = (100, 300)
LIKELIHOOD = "log-likelihood"


def priors(case: Case, tree: SegmentTree) -> dict[str, Floats]:
    """P by the name of the prior."""
    from skimage.color import rgb2lab

    plain = joint.prior_covariance(tree)

    def of_leaves(pixels: Floats) -> Floats:
        return np.bincount(tree.labels.ravel(), weights=pixels.ravel()) / tree.areas

    def scaled(covariance: Floats, detail: Floats, power: float = 0.5) -> Floats:
        scale = (detail / (detail @ tree.areas / tree.areas.sum()) + joint.LEAST_DETAIL) ** power
        return covariance * scale[:, None] * scale

    image = case.image.astype(np.float64)
    gradient = of_leaves(np.hypot(*np.gradient(image.mean(axis=2))))
    from_mean = of_leaves(np.sqrt(((image - image.mean(axis=(0, 1))) ** 2).sum(axis=2)))
    detail = joint.detail_of(case.image, tree)
    lab = rgb2lab(case.image)
    colours = np.stack([of_leaves(lab[..., channel]) for channel in range(3)], axis=1)
    alike = 2 * np.exp(-((colours[:, None] - colours) ** 2).sum(axis=2) / (2 * 20**2))
    return {
        BASE: joint.prior_covariance(tree, detail),
        "no detail": plain,
        "detail, fourth root": scaled(plain, detail, 0.25),
        "detail, power 0.75": scaled(plain, detail, 0.75),
        "gradient": scaled(plain, gradient),
        "distance to the mean colour": scaled(plain, from_mean),
        "detail and a level of all": scaled(plain + 2, detail),
        "detail and alike colours": scaled(plain + alike, detail),
    }


def measure(name: str, limit: int | None) -> None:
    """All photographs anew: {prior: {what: a number for each}}, written after each photograph."""
    warnings.simplefilter("ignore", OcclumapWarning)
    RESULTS.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, list[float]]] = {}
    for number, case in enumerate(trials.cases(name, limit), start=1):
        asked = read(case, max(BUDGETS))
        for label, prior in priors(case, asked.tree).items():
            of_prior, board = found.setdefault(label, {}), Board(case, asked.tree.labels, prior)
            for budget in BUDGETS:
                importance, likelihood = fit_levels(board, *asked.first(budget))
                of_prior.setdefault(str(budget), []).append(case.gain(board.heatmap(importance)))
            of_prior.setdefault(LIKELIHOOD, []).append(likelihood)
        (RESULTS / f"{KIND}-{name}.json").write_text(json.dumps(found))
        print(f"{number} photographs", flush=True)


def write() -> None:
    about = (
        "Made by `benchmarks/joint_priors.py`, which describes the priors: symmetric relevance gain of the joint "
        "method as it is, and what another prior adds to it and to the log-likelihood of 300 calls' scores (paired "
        "over the photographs, 95 % bootstrap interval); higher is better. Photographs to tune on only, the same masks "
        "and scores for all priors; references mean colour, noise and another photograph."
    )
    columns = {**{str(budget): f"{budget:,} calls" for budget in BUDGETS}, LIKELIHOOD: LIKELIHOOD}
    trials.write_tables(PAGE, KIND, "What the prior knows of the image", about, columns)


if __name__ == "__main__":
    trials.run(sys.argv[1:], __doc__, measure, write)
