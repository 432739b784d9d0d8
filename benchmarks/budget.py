"""How much of the full best 5 a budget of calls finds; writes docs/figures/budget.md.

    .venv/bin/python benchmarks/budget.py

Each photograph is measured once in full; the budgets then read those measurements and cost one call each.
Needs the extras onnx and demo; about half a minute for each photograph.
"""

import statistics
import warnings
from pathlib import Path

import numpy as np

import occlumap

REPORT = Path(__file__).parents[1] / "docs" / "figures" / "budget.md"
SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
PHOTOGRAPHS = ("coffee", "chelsea", "camera", "astronaut", "rocket")


def correlation(first, second):
    """Pearson correlation of two heatmaps; 1 for equal ones."""
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def main():
    from skimage import data

    warnings.simplefilter("ignore", occlumap.errors.OcclumapWarning)
    classifier = occlumap.load("efficientnet-lite0")
    rows = {share: [] for share in SHARES}
    for name in PHOTOGRAPHS:
        photograph = getattr(data, name)()
        exact = occlumap.explain(classifier, photograph, depth=4)
        calls = exact.provenance["calls"]
        print(f"{name}: {exact.target_name}, {calls} calls", flush=True)
        for share in SHARES:
            budget = round(share * calls)
            found = occlumap.explain(
                classifier, photograph, exact.target, depth=4, budget=budget, resume=exact.measurements
            )
            shared = len(set(found.offsets) & set(exact.offsets))
            density = statistics.fmean(found.densities) / statistics.fmean(exact.densities)
            rows[share].append((shared, density, correlation(found.heatmap, exact.heatmap)))
            print(
                f"  {share:4.0%}: {shared} of 5, density {density:.2f}, r {rows[share][-1][2]:.3f}",
                flush=True,
            )
    lines = [
        "# What a budget finds",
        "",
        f"Made by `benchmarks/budget.py`: EfficientNet-Lite0, depth 4, best 5, on {len(PHOTOGRAPHS)} photographs of "
        f"scikit-image ({', '.join(PHOTOGRAPHS)}). Means over the photographs, against the result of all calls.",
        "",
        "| share of the calls | of the full best 5 found | their mean density / that of the full best 5 "
        "| correlation of the heatmaps (lowest) |",
        "| --- | --- | --- | --- |",
    ]
    for share, found in rows.items():
        shared, density, similar = zip(*found, strict=True)
        lines.append(
            f"| {share:.0%} | {statistics.fmean(shared):.1f} | {statistics.fmean(density):.2f} | "
            f"{statistics.fmean(similar):.3f} ({min(similar):.3f}) |"
        )
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text("\n".join(lines) + "\n")
    print(f"written: {REPORT}")


if __name__ == "__main__":
    main()
