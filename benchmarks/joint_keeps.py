"""How much of a mask stays visible, also by turns, for two measures at once; writes docs/research/keeps.md.

    python -m benchmarks.joint_keeps measure mobilenet_v1_025_128 [PHOTOGRAPHS]   # goes to benchmarks/results
    python -m benchmarks.joint_keeps write

Photographs to tune on, references and judgement are those of benchmarks/trials.py; every trial has the same tree,
prior, two fills in turn with a level each, and number of calls. Each is the mean of two draws of masks, since the
differences are small. Trials: the probability with which a segment stays visible, one or several in turn.
"""

import json
import sys
import warnings

import numpy as np

from benchmarks import trials
from benchmarks.joint_designs import draw
from benchmarks.joint_masks import Asked
from benchmarks.trials import BASE, RESULTS, ROOT, Case
from occlumap.errors import OcclumapWarning
from occlumap.samplers import KEEP

KIND = "joint-keeps"
PAGE = ROOT / "docs/research/keeps.md"
BUDGETS = (100, 300)
DRAWS = (0, 1)
TRIALS = {
    BASE: (KEEP,),
    "0.6": (0.6,),
    "0.65": (0.65,),
    "0.5 and 0.65": (0.5, 0.65),
    "0.5 and 0.8": (0.5, 0.8),
    "0.5, 0.65 and 0.8": (0.5, 0.65, 0.8),
}
JUDGES = {"gain": Case.gain, "regions": Case.region_prediction}


def measure(name: str, limit: int | None) -> None:
    """All photographs anew: {trial: {"gain 100": a number for each}}, written after each photograph."""
    warnings.simplefilter("ignore", OcclumapWarning)
    RESULTS.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, list[float]]] = {label: {} for label in TRIALS}
    for number, case in enumerate(trials.cases(name, limit), start=1):
        for label, keeps in TRIALS.items():
            for budget in BUDGETS:
                heatmaps = []
                for seed in DRAWS:
                    asked = Asked(case)
                    asked.ask(draw(asked.tree, budget, np.random.default_rng(seed), keeps))
                    heatmaps.append(asked.heatmap())
                for what, judge in JUDGES.items():
                    mean = float(np.mean([judge(case, heatmap) for heatmap in heatmaps]))
                    found[label].setdefault(f"{what} {budget}", []).append(mean)
        (RESULTS / f"{KIND}-{name}.json").write_text(json.dumps(found))
        print(f"{number} photographs", flush=True)


def write() -> None:
    about = (
        "Made by `benchmarks/joint_keeps.py`, which describes the trials: symmetric relevance gain of the joint method "
        f"as it is, which shows each segment with a probability of {KEEP}, and how well its sums predict what hiding "
        "one of 200 random rectangles costs (Spearman's correlation); and what another probability adds to both "
        "(paired over the photographs, 95 % bootstrap interval); higher is better. Photographs to tune on only; "
        "references mean colour, noise and another photograph."
    )
    names = {"gain": "gain", "regions": "region prediction"}
    columns = {f"{what} {budget}": f"{names[what]}, {budget} calls" for what in JUDGES for budget in BUDGETS}
    trials.write_tables(PAGE, KIND, "How much stays visible", about, columns)


if __name__ == "__main__":
    trials.run(sys.argv[1:], __doc__, measure, write)
