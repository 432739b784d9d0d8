"""What the joint method was meant to reach and what it reaches; writes docs/research/targets.md.

    python -m benchmarks.targets    # reads what benchmarks/faithfulness.py measured or kept

Only photographs that it was not tuned on (benchmarks/split.py), paired, with the 95 % bootstrap interval of the mean
difference over photographs; every figure is a mean over the references that no method of the run hid with.
"""

import sys
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from benchmarks.faithfulness import RESULTS, ROOT, Values, unpack, untuned
from benchmarks.split import bounds, interval

PAGE = ROOT / "docs/research/targets.md"
MODELS = ("mobilenet_v1_025_128", "mobilenet_v1_050_160", "efficientnet-lite0")
CONTROLS = ("random", "centre", "edges", "constant")
ALLOWED = 0.02
"""Not below: the interval's lower end is above minus this."""


class Target(NamedTuple):
    """The joint method at `ours` calls beside `others` (None: every peer) at `theirs`."""

    name: str
    run: str
    ours: int
    theirs: int
    above: bool = True
    metric: str = "srg"
    crops: str = "centre"
    others: tuple[str, ...] | None = None

    def beside(self, method: str, budget: int) -> bool:
        """Whether this is one to compare with; maps of controls are none of the peers."""
        peer = method != "joint" and method not in CONTROLS and "~" not in method
        return budget == self.theirs and (peer if self.others is None else method in self.others)


def targets() -> Iterator[Target]:
    """All that compare."""
    for run in MODELS:
        for budget in (100, 300, 1000):
            yield Target(f"at {budget:,} calls above every peer at the same", run, budget, budget)
        yield Target("at 300 calls above every peer at 1,000", run, 300, 1000)
        yield Target("at 100 calls above the centre control", run, 100, 0, others=("centre",))
        yield Target("at 100 calls not below any peer at 300", run, 100, 300, above=False)
        yield Target("at 100 calls not below any peer at 1,000 (the stretch)", run, 100, 1000, above=False)
        yield Target(
            "region prediction at 300 calls above LIME's and KernelSHAP's at 1,000",
            run,
            300,
            1000,
            metric="region_spearman",
            others=("lime", "shap_kernel"),
        )
    yield Target(
        "off-centre crops, at 300 calls not below the best peer at the same",
        "off-centre",
        300,
        300,
        above=False,
        crops="off-centre",
    )
    yield Target(
        "grid pointing, at 300 calls not below the best peer at the same",
        "more-metrics",
        300,
        300,
        above=False,
        metric="grid_pointing",
    )


@cache
def values(run: str, metric: str, crops: str) -> Values:
    """Empty where the run was not made."""
    unpack(run)
    folder = RESULTS / run
    if not (folder / "summary.csv").exists():
        return {}
    return untuned(folder, metric, crops)


def lines_of(target: Target) -> Iterator[str]:
    """One row of the table."""
    found = values(target.run, target.metric, target.crops)
    others = [key for key in found if target.beside(*key)]
    ours = found.get(("joint", target.ours))
    if not ours or not others:
        yield f"| {target.name} | {target.run} | - | not measured | |"
        return
    least = 0.0 if target.above else -ALLOWED
    differences = {}
    for key in others:
        photos = sorted(ours.keys() & found[key].keys())
        differences[key] = np.array([ours[photo] - found[key][photo] for photo in photos])
    closest = sorted(others, key=lambda key: bounds(differences[key])[0])
    short = [key for key in closest if bounds(differences[key])[0] <= least]
    shown = short or closest[:1]
    verdict = "reached" if not short else f"not shown beside {len(short)} of {len(others)}"
    cells = "; ".join(f"`{method}` {interval(differences[method, budget])}" for method, budget in shown)
    yield f"| {target.name} | {target.run} | {len(ours)} | {verdict} | {cells} |"


def spearman() -> Iterator[str]:
    for run in MODELS:
        ours = values(run, "region_spearman", "centre").get(("joint", 300))
        if ours:
            mean = float(np.mean(list(ours.values())))
            yield (
                f"| region prediction at 300 calls: Spearman at least 0.7 | {run} | {len(ours)} | "
                f"{'reached' if mean >= 0.7 else 'missed'} | {mean:.3f} |"
            )


def write() -> None:
    lines = [
        "# What the joint method was to reach, and what it reaches",
        "",
        "Made by `benchmarks/targets.py` from what `benchmarks/faithfulness.py` measured "
        "([../figures/faithfulness.md](../figures/faithfulness.md)), on the photographs that the method was not tuned "
        "on, paired. Symmetric relevance gain where nothing else is said. Above: the 95 % bootstrap interval of the "
        f"mean difference lies above 0; not below: above -{ALLOWED}. The last column holds the peers beside "
        "which that is not shown, or else the one that comes closest. Nothing is corrected for the number of peers "
        "and targets, and intervals of few photographs are too narrow: [../benchmark.md](../benchmark.md) says what "
        "remains after a correction.",
        "",
        "| target | run | n | | joint - the other |",
        "| --- | --- | --- | --- | --- |",
        *(line for target in targets() for line in lines_of(target)),
        *spearman(),
    ]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(__doc__)
    write()
