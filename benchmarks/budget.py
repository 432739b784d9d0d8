"""How much of the full best 5 a budget of calls finds; writes docs/figures/budget.md.

    .venv/bin/python benchmarks/budget.py [FOLDER]

Each photograph is measured once in full; the budgets then read those measurements and cost two calls each. With
FOLDER the complete results are kept there, and read where they are there already. Beside what `budget=` does
stand offsets in random order and, for as many calls, the exact result at depth 3.
Needs the extras onnx and demo; a minute or two for each photograph.
"""

import statistics
import sys
import warnings
from pathlib import Path

import numpy as np

import occlumap
from occlumap.estimators.paper import paper
from occlumap.grid import Grid

REPORT = Path(__file__).parents[1] / "docs" / "figures" / "budget.md"
DEPTH = 4
SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
DRAWS = 10
PHOTOGRAPHS = ("coffee", "chelsea", "camera", "astronaut", "rocket")


def correlation(first, second):
    """Pearson correlation of two heatmaps; 1 for equal ones."""
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def complete(classifier, photograph, file):
    """The exact result, read from `file` if it is there, and kept there if it is not None."""
    if file is not None and file.exists():
        return occlumap.Explanation.load(file)
    exact = occlumap.explain(classifier, photograph, depth=DEPTH, method="paper")
    if file is not None:
        exact.save(file)
    return exact


def at_random(grid, most, rng):
    """Offsets in random order, each taken if its regions are still affordable."""
    taken, chosen = set(), []
    for index in rng.permutation(4**grid.depth):
        offset = grid.offsets()[index]
        own = {tuple(bounds) for bounds in grid.regions([offset]).tolist()}
        if len(taken | own) <= most:
            taken |= own
            chosen.append(offset)
    return sorted(chosen)


def figures(offsets, densities, heatmap, exact):
    """What is reported: how many of the best 5, their density and the heatmap's correlation."""
    shared = len(set(offsets) & set(exact.offsets))
    density = statistics.fmean(densities) / statistics.fmean(exact.densities)
    return shared, density, correlation(heatmap, exact.heatmap)


def row(label, found):
    """One line of the table: means over `found`."""
    shared, density, similar = zip(*found, strict=True)
    return (
        f"| {label} | {statistics.fmean(shared):.1f} | {statistics.fmean(density):.2f} | "
        f"{statistics.fmean(similar):.3f} ({min(similar):.3f}) |"
    )


def main():
    from skimage import data

    warnings.simplefilter("ignore", occlumap.errors.OcclumapWarning)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    classifier = occlumap.load("efficientnet-lite0")
    cheapest, random = ({share: [] for share in SHARES} for _ in range(2))
    rng = np.random.default_rng(0)
    shallower = []
    for name in PHOTOGRAPHS:
        photograph = getattr(data, name)()
        exact = complete(classifier, photograph, None if folder is None else folder / f"{name}.npz")
        grid, calls = Grid(*exact.heatmap.shape, DEPTH), 1 + len(exact.measurements)
        print(f"{name}: {exact.target_name}, {calls} calls", flush=True)
        for share in SHARES:
            budget = round(share * calls)
            found = occlumap.explain(
                classifier,
                photograph,
                exact.target,
                depth=DEPTH,
                budget=budget,
                resume=exact.measurements,
                method="paper",
            )
            cheapest[share].append(figures(found.offsets, found.densities, found.heatmap, exact))
            draws = []
            for _ in range(DRAWS):
                drawn = paper(
                    exact.measurements,
                    exact.target,
                    grid=grid,
                    offsets=at_random(grid, budget - 1, rng),
                )
                draws.append(figures(drawn.offsets, drawn.densities, drawn.heatmap, exact))
            random[share].append(tuple(np.mean(draws, axis=0)))
            print(f"  {share:4.0%}: {cheapest[share][-1]}, random {random[share][-1]}", flush=True)
        found = occlumap.explain(classifier, photograph, exact.target, depth=DEPTH - 1, method="paper")
        shallower.append((correlation(found.heatmap, exact.heatmap), found.provenance["calls"] / calls))
        print(f"  depth {DEPTH - 1}: r {shallower[-1][0]:.3f}", flush=True)
    similar = [one for one, _ in shallower]
    lines = [
        "# What a budget finds",
        "",
        f"Made by `benchmarks/budget.py`: EfficientNet-Lite0, depth {DEPTH}, best 5, on {len(PHOTOGRAPHS)} photographs "
        f"of scikit-image ({', '.join(PHOTOGRAPHS)}). Means over the photographs, against the result of all calls. "
        f"`budget=` takes the cheapest offsets first; beside it offsets in random order (mean of {DRAWS} draws for "
        "each photograph).",
        "",
        "| share of the calls, offsets | of the full best 5 found | their mean density / that of the full best 5 "
        "| correlation of the heatmaps (lowest photograph) |",
        "| --- | --- | --- | --- |",
    ]
    for share in SHARES:
        lines.append(row(f"{share:.0%}, cheapest first", cheapest[share]))
        lines.append(row(f"{share:.0%}, random order", random[share]))
    lines += [
        "",
        f"All offsets at depth {DEPTH - 1}, {statistics.fmean(part for _, part in shallower):.0%} of the calls, "
        f"correlate {statistics.fmean(similar):.3f} ({min(similar):.3f}) with those at depth {DEPTH}.",
    ]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text("\n".join(lines) + "\n")
    print(f"written: {REPORT}")


if __name__ == "__main__":
    main()
