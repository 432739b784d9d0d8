"""Folders of small benchmarks, as the runner leaves them."""

import csv
import json

import numpy as np

COLUMNS = ["photo", "classifier", "method", "budget", "calls", "seconds", "metric", "reference", "value"]


def srg(
    photo,
    method,
    value,
    *,
    classifier="net",
    budget=100,
    calls=None,
    seconds=0.5,
    references=("mean", "noise"),
):
    """SRG rows whose mean over the two headline references is `value`."""
    offsets = np.linspace(-0.05, 0.05, len(references)) if len(references) > 1 else [0.0]
    calls = budget if calls is None else calls
    return [
        [photo, classifier, method, budget, calls, seconds, "srg", name, round(value + offset, 6)]
        for name, offset in zip(references, offsets, strict=True)
    ]


def photographs(n, suffix=""):
    return [f"n{number:02}.jpg{suffix}" for number in range(n)]


def folder(path, rows, **about):
    with (path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    (path / "benchmark.json").write_text(
        json.dumps({"headline_references": ["mean", "noise"], "command": "occlumap benchmark", **about})
    )
    return path


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def two_methods(n=12, difference=0.2):
    values = np.random.default_rng(0).uniform(0.2, 0.6, n).round(3)
    return [
        row
        for photo, value in zip(photographs(n), values, strict=True)
        for row in srg(photo, "good", value + difference) + srg(photo, "poor", value)
    ], values
