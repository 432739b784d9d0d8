"""What a benchmark left in its folder: read, checked, counted and tested; nothing here words a report.

`read` gives a `Run`; `summary_csv` and `pairs_csv` are its tables for other programs.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from occlumap.errors import FileFormatError
from occlumap.evaluation.document import printable
from occlumap.evaluation.rows import Row
from occlumap.evaluation.statistics import Interval, Paired, holm, mean_interval, paired

HEADLINE = "headline"
"""The metric made here: the mean of a photograph's SRG over the headline references."""
LEVEL = 0.05
CENTRE, OFF_CENTRE = "centre", "off-centre"
BETTER, WORSE, UNDECIDED = "better", "worse", "no difference shown"


class Key(NamedTuple):
    """What one mean is about."""

    classifier: str
    crops: str
    method: str
    budget: int
    metric: str
    reference: str


@dataclass(frozen=True)
class Summary:
    """One mean over photographs, and what its maps cost: calls in the mean, seconds in the median (or NaN)."""

    interval: Interval
    calls: float
    seconds: float


@dataclass(frozen=True)
class Pair:
    """One paired test of `method` minus `other`; `p_holm` is corrected within its family."""

    family: str
    classifier: str
    crops: str
    budget: int
    method: str
    other: str
    paired: Paired
    p_holm: float

    @property
    def verdict(self) -> str:
        """Better or worse only where the interval excludes 0 and the corrected p is below 0.05."""
        if not (self.paired.excludes_zero and self.p_holm < LEVEL):
            return UNDECIDED
        return BETTER if self.paired.difference > 0 else WORSE

    @property
    def turned(self) -> "Pair":
        """The same test of `other` minus `method`."""
        one = self.paired
        difference = replace(one, difference=-one.difference, low=-one.high, high=-one.low)
        return replace(self, method=self.other, other=self.method, paired=difference)


@dataclass(frozen=True)
class Run:
    """A benchmark as read, and all that was counted.

    `headline`: the references whose mean is the headline. `neutral`: whether, as far as benchmark.json tells,
    none of them is the fill of a method. `photographs`: how many, by (classifier, crops). `undefined`: rows
    whose value is nan.
    """

    folder: Path
    about: dict[str, Any]
    headline: list[str]
    neutral: bool
    photographs: dict[tuple[str, str], int]
    undefined: int
    summaries: dict[Key, Summary]
    pairs: list[Pair]

    @cached_property
    def classifiers(self) -> dict[str, list[str]]:
        """The sets of crops of each classifier, centre first."""
        return {
            classifier: [crops for crops in (CENTRE, OFF_CENTRE) if (classifier, crops) in self.photographs]
            for classifier in sorted({name for name, _ in self.photographs})
        }

    @cached_property
    def budgets(self) -> dict[str, list[int]]:
        """The budgets with calls of each classifier, ascending; [0] where only methods without calls ran."""
        found: dict[str, set[int]] = {classifier: set() for classifier in self.classifiers}
        for key in self.summaries:
            found[key.classifier].add(key.budget)
        return {classifier: sorted(budgets - {0}) or [0] for classifier, budgets in found.items()}

    @cached_property
    def undescribed(self) -> list[str]:
        """Classifiers and methods that have rows, and of which benchmark.json says nothing."""
        methods = self.about["settings"].get("methods")
        described = {*(methods if isinstance(methods, list) else ()), *self.about["fills"]}
        found = {key.method.split("~")[0] for key in self.summaries} - described if described else set()
        classifiers = {*self.classifiers} - {*self.about["left_out"]} if self.about["left_out"] else set()
        return [*sorted(classifiers), *sorted(found)]

    @cached_property
    def ranking(self) -> dict[tuple[str, str], list[str]]:
        """The methods by (classifier, crops), best headline at the largest budget first; not `rise~blurred`."""
        methods: dict[tuple[str, str], set[str]] = {about: set() for about in self.photographs}
        for key in self.summaries:
            if "~" not in key.method:
                methods[key[:2]].add(key.method)

        def worst_first(key: Key) -> list[float]:
            at = [self.at(key._replace(budget=budget)) for budget in reversed(self.budgets[key.classifier])]
            return [one.interval.mean if one else -math.inf for one in at]

        found = {}
        for about, names in methods.items():
            keys = [Key(*about, name, 0, HEADLINE, "") for name in sorted(names, reverse=True)]
            found[about] = [key.method for key in sorted(keys, key=worst_first)[::-1]]
        return found

    def family(self, family: str, classifier: str, crops: str, budget: int) -> list[Pair]:
        """The pairs that were corrected together."""
        about = (family, classifier, crops, budget)
        return [
            pair for pair in self.pairs if (pair.family, pair.classifier, pair.crops, pair.budget) == about
        ]

    def against(self, classifier: str, crops: str, budget: int, method: str) -> dict[str, list[str]]:
        """The other methods, by what the tests say of `method` against them."""
        found: dict[str, list[str]] = {BETTER: [], WORSE: [], UNDECIDED: []}
        for pair in self.family("methods", classifier, crops, budget):
            for one in (pair, pair.turned):
                if one.method == method:
                    found[one.verdict].append(one.other)
        return found

    def at(self, key: Key) -> Summary | None:
        """The summary under `key`; that of budget 0 for a method that needs no calls; None without one."""
        return self.summaries.get(key) or self.summaries.get(key._replace(budget=0))


def read(folder: Path) -> Run:
    """Read, check, count and test what the runner left in `folder`; also rows of several runs put together.

    The headline leaves out every reference that is the fill of a method, as far as benchmark.json tells; where
    none is left, it takes all. Raises FileFormatError for what is missing, damaged or unknown.
    """
    rows = _read_rows(folder / "rows.csv")
    about = _read_about(folder / "benchmark.json")
    photographs = rows.groupby(["classifier", "crops"])["photo"].nunique().to_dict()
    undefined = int(rows["value"].isna().sum())
    rows = rows[rows["value"].notna()]
    srg = rows[rows["metric"] == "srg"]
    neutral = sorted(set(about["headline_references"]) - set(about["fills"].values()))
    headline = neutral or sorted(srg["reference"].unique())
    rows = pd.concat([rows, _headline_rows(srg, headline)], ignore_index=True)
    rows = rows.sort_values([*Key._fields, "photo"], ignore_index=True)
    return Run(folder, about, headline, bool(neutral), photographs, undefined, _summaries(rows), _pairs(rows))


def _read_rows(path: Path) -> Any:
    if not path.is_file():
        raise FileFormatError(
            f"expected the folder of a benchmark with a file rows.csv, got no {str(path)!r}; "
            "give the folder that `occlumap benchmark --out` wrote"
        )
    remedy = "remove the rows concerned and run the benchmark again, it goes on where it was"
    try:
        text = path.read_bytes().decode("utf-8-sig")
        rows = pd.read_csv(
            io.StringIO(text), dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False
        )
    except ValueError as error:  # not UTF-8, an open quote, too many fields, an empty file
        raise FileFormatError(
            f"expected {str(path)!r} to be a CSV file in UTF-8, got {type(error).__name__}: {error}; {remedy}"
        ) from error
    if sorted(rows.columns) != sorted(Row._fields):
        raise FileFormatError(
            f"expected {str(path)!r} to have the columns {', '.join(Row._fields)}, got "
            f"{', '.join(map(repr, rows.columns))}; make the rows and the report with one version of occlumap"
        )
    rows = rows[(rows != rows.columns).any(axis=1)]  # of files put one after another, each has its header
    if rows.empty:
        raise FileFormatError(
            f"expected {str(path)!r} to have rows, got none: the run was stopped before the first, or no "
            "method made a heatmap, and warnings and benchmark.json say why"
        )
    if not text.endswith("\n"):
        raise FileFormatError(
            f"expected {str(path)!r} to end with a line break, got a last row cut off, {text[-60:]!r}; {remedy}"
        )

    def check(good: Any, column: str, expected: str) -> None:
        if not good.all():
            row = good.idxmin()
            raise FileFormatError(
                f"expected {expected} under {column!r} in row {row + 1} of {str(path)!r}, got "
                f"{rows[column][row]!r}; {remedy}"
            )

    for column in ("photo", "classifier", "method", "metric"):
        check(rows[column] != "", column, "a name")
    check(
        rows["metric"] != HEADLINE, "metric", f"another name than {HEADLINE!r}, which the report works out,"
    )
    numbers = {
        name: pd.to_numeric(rows[name], errors="coerce") for name in ("budget", "calls", "seconds", "value")
    }
    for column in ("budget", "calls"):
        whole = numbers[column].between(0, 2**53) & (numbers[column] % 1 == 0)
        check(whole, column, "a whole number from 0")
    check(
        (rows["seconds"] == "") | numbers["seconds"].between(0, 1e15),
        "seconds",
        "a number from 0, or nothing,",
    )
    finite = numbers["value"].abs() < math.inf
    check(finite | (rows["value"].str.lower() == "nan"), "value", "a finite number, or nan,")
    rows = rows.assign(**numbers).astype({"budget": "int64", "calls": "int64"})
    one = ["photo", *Key._fields[:1], *Key._fields[2:]]
    rows = rows.drop_duplicates([*one, "value"])  # two runs of one figure agree; only their seconds differ
    check(
        ~rows.duplicated(one),
        "photo",
        "one value for each photograph, classifier, method, budget, metric and reference",
    )
    off_centre = rows["photo"].str.endswith(f"#{OFF_CENTRE}")
    return rows.assign(
        photo=rows["photo"].str.removesuffix(f"#{OFF_CENTRE}"), crops=np.where(off_centre, OFF_CENTRE, CENTRE)
    )


def _read_about(path: Path) -> dict[str, Any]:
    kinds = {
        "settings": dict,
        "versions": dict,
        "headline_references": list,
        "left_out": dict,
        "directions": dict,
        "fills": dict,
        "gallery": dict,
        "failures": list,
        "command": str,
    }
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(about, dict) or not isinstance(about.get("headline_references"), list):
            raise ValueError("no list under 'headline_references'")
        about = {name: about.get(name, kind()) for name, kind in kinds.items()}
        for name, kind in kinds.items():
            if not isinstance(about[name], kind):
                raise ValueError(f"{type(about[name]).__name__} under {name!r}")
        if not all(isinstance(one, dict) for one in about["failures"]):
            raise ValueError("something other than descriptions under 'failures'")
        if not all(isinstance(name, str) for name in about["headline_references"]):
            raise ValueError("something other than names under 'headline_references'")
        for name, kind in (("left_out", dict), ("fills", str), ("gallery", str)):
            if not all(isinstance(one, kind) for one in about[name].values()):
                raise ValueError(f"something other than a {kind.__name__} for each name under {name!r}")
    except (OSError, ValueError) as error:
        raise FileFormatError(
            f"expected {str(path)!r} to describe the benchmark as the runner writes it, got "
            f"{type(error).__name__}: {error}; run the benchmark again, it goes on where it was"
        ) from error
    return about


def _headline_rows(srg: Any, references: list[str]) -> Any:
    """One row per photograph and map that has SRG for every headline reference: their mean."""
    chosen = srg[srg["reference"].isin(references)].sort_values("reference")
    maps = chosen.groupby(["photo", *Key._fields[:4]], as_index=False)
    found = maps.agg(
        calls=("calls", "first"), seconds=("seconds", "first"), value=("value", "mean"), n=("value", "count")
    )
    return found[found["n"] == len(references)].drop(columns="n").assign(metric=HEADLINE, reference="")


def _summaries(rows: Any) -> dict[Key, Summary]:
    return {
        Key(*key): Summary(
            mean_interval(group["value"]), float(group["calls"].mean()), float(group["seconds"].median())
        )
        for key, group in rows.groupby(list(Key._fields), sort=True)
    }


def _pairs(rows: Any) -> list[Pair]:
    """All paired tests on the headline, by photograph, each family corrected by itself.

    Families: all methods at one budget; each method against its own controls (its map blurred, its map from
    another photograph) at one budget; each method on crops off the centre against the same on the centre.
    """
    found: list[Pair] = []
    headline = rows[rows["metric"] == HEADLINE]
    tables: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}  # (classifier, budget) -> crops -> method
    for (classifier, crops), group in headline.groupby(["classifier", "crops"]):
        free = group[group["budget"] == 0]
        for budget in sorted(set(group["budget"]) - {0}) or [0]:
            at = group[group["budget"] == budget]
            at = pd.concat([at, free[~free["method"].isin(at["method"])]]) if budget else at
            wide = at.pivot(index="photo", columns="method", values="value")
            order = wide.mean().sort_values(ascending=False, kind="stable").index
            table = {method: wide[method].dropna() for method in order}
            tables.setdefault((classifier, budget), {})[crops] = table
            methods = [method for method in table if "~" not in method]
            controls = [(name.split("~")[0], name) for name in sorted(table) if "~" in name]
            found += _family("methods", classifier, crops, budget, table, table, combinations(methods, 2))
            controls = [pair for pair in controls if pair[0] in table]
            found += _family("controls", classifier, crops, budget, table, table, controls)
    for (classifier, budget), by_crops in tables.items():
        if by_crops.keys() == {CENTRE, OFF_CENTRE}:
            centre, off_centre = by_crops[CENTRE], by_crops[OFF_CENTRE]
            both = [(method, method) for method in centre if method in off_centre and "~" not in method]
            crops = f"{OFF_CENTRE} minus {CENTRE}"
            found += _family("crops", classifier, crops, budget, off_centre, centre, both)
    return found


def _family(
    family: str,
    classifier: str,
    crops: str,
    budget: int,
    left: dict[str, Any],
    right: dict[str, Any],
    pairs: Iterable[tuple[str, str]],
) -> list[Pair]:
    """Test left[a] against right[b] for every (a, b) of `pairs`, on the photographs that both have."""
    tested = []
    for method, other in pairs:
        common = left[method].index.intersection(right[other].index).sort_values()
        if len(common):
            tested.append((method, other, paired(left[method][common], right[other][common])))
    corrected = holm([one.p for _, _, one in tested])
    return [
        Pair(family, classifier, crops, budget, method, other, one, float(p))
        for (method, other, one), p in zip(tested, corrected, strict=True)
    ]


def summary_csv(run: Run) -> str:
    """Every mean with its interval, as CSV."""
    header = [*Key._fields, "n", "mean", "low", "high", "mean calls", "median seconds"]
    rows = [
        [*key, one.interval.n, one.interval.mean, one.interval.low, one.interval.high, one.calls, one.seconds]
        for key, one in run.summaries.items()
    ]
    return _csv(header, rows)


def pairs_csv(run: Run) -> str:
    """Every paired test, as CSV."""
    header = ["family", "classifier", "crops", "budget", "method", "other"]
    header += ["difference", "low", "high", "p", "p after Holm", "n", "verdict"]
    rows = []
    for pair in run.pairs:
        of = [pair.family, pair.classifier, pair.crops, pair.budget, pair.method, pair.other]
        one = pair.paired
        rows.append([*of, one.difference, one.low, one.high, one.p, pair.p_holm, one.n, pair.verdict])
    return _csv(header, rows)


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_csv_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _csv_cell(value: object) -> object:
    """NaN as nothing; text that a spreadsheet would run as a formula with an apostrophe before it (OWASP)."""
    if isinstance(value, str):
        value = printable(value)
        return f"'{value}" if value.lstrip().startswith(tuple("=+-@＝＋－＠")) else value
    return "" if isinstance(value, float) and math.isnan(value) else value
