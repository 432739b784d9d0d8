"""The runs behind docs/figures/faithfulness.md: our methods and their peers on the photographs of ../shared/data.

    python -m benchmarks.faithfulness run mobilenet_v1_025_128   # or another of RUNS; goes on where it was
    python -m benchmarks.faithfulness run mobilenet_v1_025_128 --again joint  # judges a method that changed anew
    python -m benchmarks.faithfulness keep mobilenet_v1_025_128  # its rows into benchmarks/measured
    python -m benchmarks.faithfulness write      # the page; sections of runs that are not there stay as they are

Needs `pip install '.[peers]'`. Results are made in benchmarks/results (ignored by git), or where OCCLUMAP_RESULTS says.
Hours on two cores: about one for mobilenet_v1_025_128, more for the others. What was kept of a run is unpacked where
its results are not there, so that any machine can check the page, or judge one method anew, without running the others.
"""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from benchmarks.split import interval, to_tune_on
from occlumap.evaluation import results
from occlumap.evaluation.statistics import mean_interval

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("OCCLUMAP_SHARED", ROOT.parent / "shared"))
RESULTS = Path(os.environ.get("OCCLUMAP_RESULTS", ROOT / "benchmarks/results"))
MEASURED = ROOT / "benchmarks/measured"
PAGE = ROOT / "docs/figures/faithfulness.md"
MAIN = "joint,paper,single_scale,rise,rise_blurred,lime,shap_partition,shap_kernel,hipe,hsic,random,centre"
SMALL = "--classifier benchmarks.models:mobilenet_v1_025_128"
MEDIUM = "--classifier benchmarks.models:mobilenet_v1_050_160"
RUNS = {
    "mobilenet_v1_025_128": f"{SMALL} --budgets 100,300,1000 --methods {MAIN}",
    "mobilenet_v1_050_160": f"{MEDIUM} --budgets 100,300,1000 --methods {MAIN}",
    "efficientnet-lite0": f"--classifier efficientnet-lite0 --budgets 100,300,1000 --limit 30 --methods {MAIN}",
    "off-centre": f"{SMALL} --budgets 300 --crops centre,off-centre --methods {MAIN}",
    "more-peers": f"{SMALL} --budgets 300 --limit 30 --methods joint,hipe,shap_partition,rise,sobol,hsic,"
    "captum_occlusion,captum_feature_ablation,xaitk_rise,edges,centre,random",
    "grid-pointing": f"{SMALL} --budgets 300 --methods {MAIN} --metrics curves,grid-pointing",
    "more-metrics": f"{SMALL} --budgets 300 --limit 24 --controls --methods {MAIN},constant "
    "--metrics curves,regions,areas,sensitivity,infidelity,grid-pointing,sanity",
}
"""Options of `occlumap benchmark` by the name of the run."""

KEPT = ("benchmark.json", "rows.csv", "summary.csv", "pairs.csv")
"""What is kept of a run's folder."""

METRICS_IN_A_TABLE = 4

Row = dict[str, str]

Values = dict[tuple[str, int], dict[str, float]]
"""A number for each photograph, by method and budget."""


def run(name: str, *options: str) -> None:
    unpack(name)
    photos = os.path.relpath(SHARED / "data/photos", ROOT)  # reports name no absolute path
    out = os.path.relpath(RESULTS / name, ROOT)
    command = [
        sys.executable,
        "-m",
        "occlumap",
        "benchmark",
        "--photos",
        photos,
        *RUNS[name].split(),
        *options,
        "--out",
        out,
    ]
    subprocess.run(command, cwd=ROOT, check=True)


def keep(name: str) -> None:
    MEASURED.mkdir(exist_ok=True)
    path = MEASURED / f"{name}.zip"
    contents = {
        file: (RESULTS / name / file).read_bytes() for file in KEPT
    }  # first, so that no half of it is left
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as kept:
        for file, content in contents.items():
            kept.writestr(zipfile.ZipInfo(file), content, zipfile.ZIP_LZMA)
    print(f"wrote {path.relative_to(ROOT)}")


def unpack(name: str) -> None:
    path = MEASURED / f"{name}.zip"
    if path.exists() and not (RESULTS / name).exists():
        with zipfile.ZipFile(path) as kept:
            kept.extractall(RESULTS / name, KEPT)


def write() -> None:
    lines = [
        "# How faithful the heatmaps are",
        "",
        "Made by `benchmarks/faithfulness.py` on photographs of ImageNet that the classifier gets right, cut to their "
        "centre square and resized. What the figures mean: [../benchmark.md](../benchmark.md). Headline: symmetric "
        "relevance gain (insertion AUC - deletion AUC), mean over the references that no method hid with; higher is "
        "better. In brackets the 95 % bootstrap interval of the mean over n photographs. Calls are the mean "
        "counted at the classifier, seconds the median, on two cores that did other work beside it.",
    ]
    kept = sections_of(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    for name in RUNS:
        unpack(name)
        folder = RESULTS / name
        if (folder / "summary.csv").exists():
            lines += page_of(name, folder)
        else:
            lines += kept.get(name, [])  # of a run whose results lie on another machine
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


def sections_of(page: str) -> dict[str, list[str]]:
    """The lines of each run's section, by its name."""
    found: dict[str, list[str]] = {}
    for section in page.rstrip("\n").split("\n## ")[1:]:
        name, *rest = section.split("\n")
        found[name] = ["", f"## {name}", *(line for line in rest)]
        while found[name] and not found[name][-1]:
            found[name].pop()
    return found


def page_of(name: str, folder: Path) -> Iterator[str]:
    document = json.loads((folder / "benchmark.json").read_text())
    summary, pairs = read(folder / "summary.csv"), read(folder / "pairs.csv")
    judged = {row["method"] for row in summary}
    options = RUNS[name].replace(MAIN, ",".join(method for method in MAIN.split(",") if method in judged))
    left_out = ", ".join(f"{group['wrong']} of {group['of']} cuts" for group in document["left_out"].values())
    yield from (
        "",
        f"## {name}",
        "",
        f"    occlumap benchmark --photos ../shared/data/photos {options}",
        "",
    )
    yield f"Left out because the classifier is wrong: {left_out}."
    yield f"References of the headline: {', '.join(document['headline_references'])}."
    untuned = pairs_of_untuned(folder) if "joint" in judged else []
    for crops in sorted({row["crops"] for row in summary}):
        part = [row for row in summary if row["crops"] == crops]
        yield from ("", f"### {crops} crops", "")
        yield from headline_table(part)
        yield from across_budgets(folder, crops)
        yield from ("", "Tests with Holm's correction over all pairs of a budget:", "")
        yield from verdicts([row for row in pairs if row["crops"] == crops], "On all photographs, at")
        yield from verdicts(
            [row for row in untuned if row["crops"] == crops],
            "On those that `joint` was not tuned on, at",
            ("joint",),
        )
        yield from ("", "Other metrics, mean over the same references:")
        yield from metric_tables(folder, crops)


def headline_table(rows: list[Row]) -> Iterator[str]:
    found = {(row["method"], int(row["budget"])): row for row in rows if row["metric"] == "headline"}
    budgets = sorted({budget for _, budget in found if budget})
    yield "| method | " + " | ".join(f"{budget:,} calls" for budget in budgets) + " | calls, seconds |"
    yield "| --- " * (len(budgets) + 2) + "|"

    def value(method: str) -> float:
        row = found.get((method, budgets[-1])) or found.get((method, 0)) or found[method, budgets[0]]
        return float(row["mean"])

    for method in sorted({method for method, _ in found}, key=value, reverse=True):
        free = found.get((method, 0))
        cells = [cell(free or found.get((method, budget))) for budget in budgets]
        costs = [cost(found[method, budget]) for budget in budgets if (method, budget) in found]
        yield f"| `{method}` | {' | '.join(cells)} | {'; '.join(costs) or '0'} |"


def cell(row: Row | None) -> str:
    if row is None:
        return "-"
    interval = f" [{float(row['low']):.3f}, {float(row['high']):.3f}]" if row["low"] else ""
    return f"{float(row['mean']):.3f}{interval}, n = {row['n']}"


def cost(row: Row) -> str:
    seconds = f", {float(row['median seconds']):.2g} s" if row["median seconds"] else ""
    return f"{float(row['mean calls']):,.0f}{seconds}"


def pairs_of_untuned(folder: Path) -> list[Row]:
    """pairs.csv as it would be of the photographs alone that the joint method was not tuned on."""
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(folder / "benchmark.json", place)
        header, *lines = (folder / "rows.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        lines = [line for line in lines if not to_tune_on(line.partition(",")[0].partition("#")[0])]
        (Path(place) / "rows.csv").write_text("".join([header, *lines]), encoding="utf-8")
        found = results.pairs_csv(results.read(Path(place)))
    return list(csv.DictReader(io.StringIO(found)))


def verdicts(
    pairs: list[Row], opening: str, of: tuple[str, ...] = ("joint", "paper", "single_scale")
) -> Iterator[str]:
    """Which of our methods differs from which other, after Holm's correction; and no word of the rest."""
    pairs = [row for row in pairs if row["family"] == "methods"]
    judged = {row["method"] for row in pairs} | {row["other"] for row in pairs}
    for budget in sorted({int(row["budget"]) for row in pairs}):
        for ours in sorted(judged & {*of}):
            better, worse = [], []
            mine = [
                row for row in pairs if int(row["budget"]) == budget and ours in (row["method"], row["other"])
            ]
            for row in mine:
                if row["verdict"] != "no difference shown":
                    wins = (float(row["difference"]) > 0) == (row["method"] == ours)
                    (better if wins else worse).append(
                        row["other"] if row["method"] == ours else row["method"]
                    )
            undecided = len(mine) - len(better) - len(worse)
            yield (
                f"- {opening} {budget:,} calls `{ours}` is better than {named(better)}, worse than {named(worse)}; "
                f"no difference is shown to the other {undecided}."
            )


def across_budgets(folder: Path, crops: str) -> Iterator[str]:
    """Our joint method at each budget - every other at each, on the photographs that it was not tuned on."""
    found = untuned(folder, "srg", crops)
    ours = sorted(budget for method, budget in found if method == "joint")
    if not ours:
        return
    photos = sorted(set.intersection(*(set(of) for of in found.values())))
    means = {key: np.array([of[photo] for photo in photos]) for key, of in found.items()}
    yield ""
    yield (
        f"`joint` - each other method, on the {len(photos)} photographs of these that it was not tuned on, paired, "
        "with the 95 % bootstrap interval:"
    )
    yield ""
    yield "| method | calls | " + " | ".join(f"joint, {budget:,} calls" for budget in ours) + " |"
    yield "| --- " * (2 + len(ours)) + "|"
    for method, budget in sorted(set(means) - {("joint", budget) for budget in ours}):
        cells = [interval(means["joint", mine] - means[method, budget]) for mine in ours]
        yield f"| `{method}` | {budget or '-'} | {' | '.join(cells)} |"


def untuned(folder: Path, metric: str, crops: str, without: Collection[str] = ()) -> Values:
    """A metric on the photographs that the joint method was not tuned on, mean over the references of the headline.

    `without`: references that are left out of the mean.
    """
    of_headline = json.loads((folder / "benchmark.json").read_text())["headline_references"]
    references = [*(name for name in of_headline if name not in without), ""]
    found: dict[tuple[str, int], dict[str, list[float]]] = {}
    for row in read(folder / "rows.csv"):
        photo, _, cut = row["photo"].partition("#")
        asked = row["metric"] == metric and row["reference"] in references and (cut or "centre") == crops
        if asked and row["value"] and not to_tune_on(photo):
            of_method = found.setdefault((row["method"], int(row["budget"])), {})
            of_method.setdefault(row["photo"], []).append(float(row["value"]))
    return {key: {photo: float(np.mean(of)) for photo, of in photos.items()} for key, photos in found.items()}


def named(methods: list[str]) -> str:
    return ", ".join(f"`{method}`" for method in sorted(methods)) or "none"


def metric_tables(folder: Path, crops: str) -> Iterator[str]:
    """All metrics but the headline's at the largest budget, a few in each table; those without a value left out."""
    references = [*json.loads((folder / "benchmark.json").read_text())["headline_references"], ""]
    rows = [
        row for row in read(folder / "rows.csv") if row["metric"] != "srg" and row["reference"] in references
    ]
    rows = [row for row in rows if (row["photo"].partition("#")[2] or "centre") == crops]
    budget = max(int(row["budget"]) for row in rows)
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        if int(row["budget"]) in (0, budget):
            of_method = found.setdefault(row["metric"], {}).setdefault(row["method"], {})
            of_method.setdefault(row["photo"], []).append(float(row["value"] or "nan"))
    methods = sorted({method for of in found.values() for method in of})
    metrics = list(found)
    for at in range(0, len(metrics), METRICS_IN_A_TABLE):
        part = metrics[at : at + METRICS_IN_A_TABLE]
        yield from (
            "",
            f"| method, {budget:,} calls | {' | '.join(part)} |",
            "| --- " * (len(part) + 1) + "|",
        )
        for method in methods:
            cells = [mean_cell(found[metric].get(method, {})) for metric in part]
            yield f"| `{method}` | {' | '.join(cells)} |"


def mean_cell(photos: dict[str, list[float]]) -> str:
    """Mean, interval and number of photographs, each with its mean over the references."""
    values = np.array([np.mean(of_references) for of_references in photos.values()])
    values = values[~np.isnan(values)]
    if not len(values):
        return "-"
    found = mean_interval(values)
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}], n = {found.n}"


def read(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"] and sys.argv[2:3] and sys.argv[2] in RUNS:
        run(*sys.argv[2:])
    elif sys.argv[1:2] == ["keep"] and len(sys.argv) == 3 and sys.argv[2] in RUNS:
        keep(sys.argv[2])
    elif sys.argv[1:] == ["write"]:
        write()
    else:
        sys.exit(f"{__doc__}\nruns: {', '.join(RUNS)}")
