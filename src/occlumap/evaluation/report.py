"""From the rows of a benchmark to a report: Markdown, one HTML file, and tables; calls no classifier.

Three steps, in the order of this file: read and check what the runner left, count and test it, say it. Words
such as "better" are chosen from the numbers by one rule, `Pair.verdict`. What comes from outside (names of
photographs, methods, classifiers) travels as `Name` and is made harmless where it is written.
"""

import base64
import csv
import html
import io
import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from itertools import combinations
from pathlib import Path
from string import Template
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from occlumap.errors import FileFormatError, MissingDependencyError
from occlumap.evaluation.statistics import Interval, Paired, holm, mean_interval, paired, smallest_p

try:
    import matplotlib
    import pandas as pd
    import scipy  # noqa: F401  (statistics needs it, and SciPy missing should be said before the work)
    import statsmodels  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(
        f"a report needs pandas, SciPy, statsmodels and Matplotlib, got {type(error).__name__}: {error}; "
        "install them with: pip install 'occlumap[benchmark]'"
    ) from error

COLUMNS = ("photo", "classifier", "method", "budget", "calls", "seconds", "metric", "reference", "value")
HEADLINE = "headline"
"""The metric made here: the mean of a photograph's SRG over the headline references."""
LEVEL = 0.05
CENTRE, OFF_CENTRE = "centre", "off-centre"
BETTER, WORSE, UNDECIDED = "better", "worse", "no difference shown"
DIRECTIONS = {"higher": "higher is better", "lower": "lower is better"}
GALLERY_PHOTOGRAPHS, THUMBNAIL = 6, 160


def write(folder: str | os.PathLike[str]) -> list[Path]:
    """Write the report of the benchmark in `folder` beside its rows; give the files written.

    Reads `rows.csv`, `benchmark.json` and, where there is one, `gallery/`. Writes `report.md`, `report.html`
    (self-contained), `summary.csv` (every mean with its interval), `pairs.csv` (every paired test) and one
    `curves-*.svg` per classifier and set of crops. An unfinished run is reported as far as it goes, and what
    is missing is named. Raises FileFormatError for a folder without rows, and for damaged or unknown rows.
    """
    run = _read(Path(folder))
    blocks, charts = _compose(run)
    files = {
        "report.md": to_markdown(blocks),
        "report.html": to_html(blocks, run.folder, charts),
        "summary.csv": _summary_csv(run),
        "pairs.csv": _pairs_csv(run),
        **charts,
    }
    for name, text in files.items():
        (run.folder / name).write_text(text, encoding="utf-8", newline="\n")
    return [run.folder / name for name in files]


# --- what the runner left ------------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class Run:
    """A benchmark as read, and all that was counted.

    `photographs`: how many, by (classifier, crops). `undefined`: rows whose value is nan.
    """

    folder: Path
    about: dict[str, Any]
    headline: list[str]
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

    def at(self, key: Key) -> Summary | None:
        """The summary under `key`; that of budget 0 for a method that needs no calls; None without one."""
        return self.summaries.get(key) or self.summaries.get(key._replace(budget=0))


def _read(folder: Path) -> Run:
    rows = _read_rows(folder / "rows.csv")
    about = _read_about(folder / "benchmark.json")
    photographs = rows.groupby(["classifier", "crops"])["photo"].nunique().to_dict()
    undefined = int(rows["value"].isna().sum())
    rows = rows[rows["value"].notna()]
    srg = rows[rows["metric"] == "srg"]
    headline = sorted(set(about["headline_references"])) or sorted(srg["reference"].unique())
    rows = pd.concat([rows, _headline_rows(srg, headline)], ignore_index=True)
    rows = rows.sort_values([*Key._fields, "photo"], ignore_index=True)
    return Run(folder, about, headline, photographs, undefined, _summaries(rows), _pairs(rows))


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
    if sorted(rows.columns) != sorted(COLUMNS):
        raise FileFormatError(
            f"expected {str(path)!r} to have the columns {', '.join(COLUMNS)}, got "
            f"{', '.join(map(repr, rows.columns))}; make the rows and the report with one version of occlumap"
        )
    if rows.empty:
        raise FileFormatError(f"expected {str(path)!r} to have rows, got none; run the benchmark again")
    if not text.endswith("\n"):
        raise FileFormatError(
            f"expected {str(path)!r} to end with a line break, got a last row cut off, {text[-60:]!r}; {remedy}"
        )

    def check(good: Any, column: str, expected: str) -> None:
        if not good.all():
            row = int(np.argmin(good.to_numpy()))
            raise FileFormatError(
                f"expected {expected} under {column!r} in row {row + 1} of {str(path)!r}, got "
                f"{rows[column].iloc[row]!r}; {remedy}"
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
    doubled = rows.duplicated(["photo", *Key._fields[:1], *Key._fields[2:]])
    check(~doubled, "photo", "one row for each photograph, classifier, method, budget, metric and reference")
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
        for name, kind in (("left_out", dict), ("fills", list)):
            if not all(isinstance(one, kind) for one in about[name].values()):
                raise ValueError(f"something other than a {kind.__name__} for each name under {name!r}")
    except (OSError, ValueError) as error:
        raise FileFormatError(
            f"expected {str(path)!r} to describe the benchmark as the runner writes it, got "
            f"{type(error).__name__}: {error}; run the benchmark again, it goes on where it was"
        ) from error
    return about


# --- counted and tested --------------------------------------------------------------------------------------


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
            found += _family(
                "controls",
                classifier,
                crops,
                budget,
                table,
                table,
                (pair for pair in controls if pair[0] in table),
            )
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


# --- tables for other programs -------------------------------------------------------------------------------


def _summary_csv(run: Run) -> str:
    header = [*Key._fields, "n", "mean", "low", "high", "mean calls", "median seconds"]
    rows = [
        [*key, one.interval.n, one.interval.mean, one.interval.low, one.interval.high, one.calls, one.seconds]
        for key, one in run.summaries.items()
    ]
    return _csv(header, rows)


def _pairs_csv(run: Run) -> str:
    header = ["family", "classifier", "crops", "budget", "method", "other"]
    header += ["difference", "low", "high", "p", "p after Holm", "n", "verdict"]
    rows = []
    for pair in run.pairs:
        of, one = (
            [pair.family, pair.classifier, pair.crops, pair.budget, pair.method, pair.other],
            pair.paired,
        )
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
        value = _printable(value)
        return f"'{value}" if value.lstrip().startswith(tuple("=+-@＝＋－＠")) else value
    return "" if isinstance(value, float) and math.isnan(value) else value


# --- the pieces of a report ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Name:
    """Text from outside, shown as code: nothing in it is markup."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Our own text, bold."""

    text: str


@dataclass(frozen=True)
class Small:
    """Our own text, below a figure."""

    text: str


@dataclass(frozen=True)
class Thumbnail:
    """A picture of the gallery, its path relative to the folder."""

    path: str


Part = str | Name | Strong | Small | Thumbnail
Inline = Sequence[Part]


@dataclass(frozen=True)
class Heading:
    """A heading, level 1 to 3."""

    level: int
    content: Inline


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    content: Inline


@dataclass(frozen=True)
class Table:
    """A table with its caption; the first cell of a row names it. Folded: HTML shows it when asked."""

    caption: Inline
    header: Sequence[Inline]
    rows: Sequence[Sequence[Inline]]
    folded: bool = False


@dataclass(frozen=True)
class Chart:
    """A drawing (SVG) under the name of its file, and what it shows in words."""

    file: str
    alt: str


Block = Heading | Paragraph | Table | Chart


def to_markdown(blocks: Iterable[Block]) -> str:
    """The report as GitHub-flavoured Markdown."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"{'#' * block.level} {_markdown(block.content)}")
        elif isinstance(block, Paragraph):
            parts.append(_markdown(block.content))
        elif isinstance(block, Chart):
            parts.append(f"![{block.alt}]({quote(block.file)})")
        else:
            lines = [block.header, [["---"]] * len(block.header), *block.rows]
            table = "\n".join(
                f"| {' | '.join(_markdown(cell, in_table=True) for cell in row)} |" for row in lines
            )
            parts += [_markdown(block.caption), table]
    return "\n\n".join(parts) + "\n"


def _markdown(content: Inline, *, in_table: bool = False) -> str:
    def one(part: Part) -> str:
        if isinstance(part, Name):
            return _code_span(part.text, in_table=in_table)
        if isinstance(part, Strong):
            return f"**{part.text}**"
        if isinstance(part, Small):
            return f" {part.text}"
        return f"![]({quote(part.path)})" if isinstance(part, Thumbnail) else part

    return "".join(map(one, content))


def _code_span(text: str, *, in_table: bool) -> str:
    text = _printable(text).strip() or "?"
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    if in_table:  # cells are cut before code is seen, also at a bar behind a backslash
        text = (
            text.replace("\\", "\\\u200b").replace("|", "\\|") if "\\|" in text else text.replace("|", "\\|")
        )
    return f"{fence}{pad}{text}{pad}{fence}"


def to_html(blocks: Sequence[Block], folder: Path, charts: dict[str, str]) -> str:
    """The report as one HTML file; pictures of `folder` and `charts` (file name -> SVG) are put into it."""
    body, sections = [], []
    for block in blocks:
        if isinstance(block, Heading):
            text = _html(block.content, folder)
            mark = ""
            if block.level == 2:
                sections.append(text)
                mark = f' id="section-{len(sections)}"'
            body.append(f"<h{block.level}{mark}>{text}</h{block.level}>")
        elif isinstance(block, Paragraph):
            body.append(f"<p>{_html(block.content, folder)}</p>")
        elif isinstance(block, Chart):
            image = _data_uri("image/svg+xml", charts[block.file].encode())
            body.append(
                f'<div class="scroll"><img class="chart" src="{image}" alt="{html.escape(block.alt)}"></div>'
            )
        else:
            body.append(_html_table(block, folder))
    links = "".join(f'<li><a href="#section-{n}">{text}</a></li>' for n, text in enumerate(sections, 1))
    body.insert(1, f"<nav><ul>{links}</ul></nav>")
    template = (
        resources.files("occlumap.evaluation").joinpath("templates/report.html").read_text(encoding="utf-8")
    )
    title = re.sub("<[^>]*>", "", body[0])
    return Template(template).substitute(title=title, body="\n".join(body))


def _html(content: Inline, folder: Path) -> str:
    def one(part: Part) -> str:
        if isinstance(part, Thumbnail):
            return _html_thumbnail(folder / part.path)
        if isinstance(part, str):
            return html.escape(part)
        tag = {Name: "code", Strong: "strong", Small: "small"}[type(part)]
        return f"<{tag}>{html.escape(_printable(part.text))}</{tag}>"

    return "".join(map(one, content))


def _html_table(table: Table, folder: Path) -> str:
    caption = _html(table.caption, folder)
    header = "".join(f'<th scope="col">{_html(cell, folder)}</th>' for cell in table.header)
    rows = []
    for first, *others in table.rows:
        cells = "".join(f"<td>{_html(cell, folder)}</td>" for cell in others)
        rows.append(f'<tr><th scope="row">{_html(first, folder)}</th>{cells}</tr>')
    inside = f"<thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody>"
    if table.folded:
        scroll = f'<div class="scroll" tabindex="0"><table>{inside}</table></div>'
        return f"<details><summary>{caption}</summary>{scroll}</details>"
    return f'<div class="scroll" tabindex="0"><table><caption><span>{caption}</span></caption>{inside}</table></div>'


def _html_thumbnail(path: Path) -> str:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        data = io.BytesIO()
        small.save(data, "JPEG", quality=80)
    except (
        OSError,
        ValueError,
        Image.DecompressionBombError,
    ):  # an unfinished picture must not cost the report
        return "not readable"
    return f'<img src="{_data_uri("image/jpeg", data.getvalue())}" alt="" width="{small.width}">'


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _printable(text: str) -> str:
    """`text` on one line: what cannot be seen (line breaks, direction marks, half characters) as its escape."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


# --- what is said --------------------------------------------------------------------------------------------


def _compose(run: Run) -> tuple[list[Block], dict[str, str]]:
    blocks: list[Block] = [Heading(1, ["Faithfulness benchmark"])]
    charts: dict[str, str] = {}
    blocks += [*_in_short(run), *_what_was_run(run)]
    blocks += _how_to_read(run)
    blocks += _missing(run)
    styles = sorted({method for methods in run.ranking.values() for method in methods})
    for number, (classifier, all_crops) in enumerate(run.classifiers.items(), 1):
        blocks.append(Heading(2, [Name(classifier)]))
        for crops in all_crops:
            file = f"curves-{number}-{crops}.svg"
            drawing = _draw_curves(run, classifier, crops, styles)
            if drawing:
                charts[file] = drawing
                blocks.append(Heading(3, [f"Headline against calls, {_crops(crops)}"]))
                blocks.append(Paragraph([_CHART_NOTE]))
                blocks.append(
                    Chart(file, f"Headline against calls, {_crops(crops)}; the next table has the figures")
                )
            blocks += [_headline_table(run, classifier, crops), *_differences(run, classifier, crops)]
        blocks += _both_crops(run, classifier)
        blocks += _controls(run, classifier)
        blocks += _all_metrics(run, classifier)
    return blocks + _gallery(run), charts


_CHART_NOTE = (
    "Mean over photographs with its 95 % interval, at the calls counted; points of one budget are moved "
    "sideways a little, so that their intervals can be told apart. Dotted: methods that need no calls."
)


def _in_short(run: Run) -> list[Block]:
    """The leader of every classifier, set of crops and budget, and what the tests say of it."""
    rows = [
        _leader(run, classifier, crops, budget)
        for classifier, all_crops in run.classifiers.items()
        for crops in all_crops
        for budget in run.budgets[classifier]
    ]
    header: list[Inline] = [["classifier"], ["crops"], ["calls allowed"], ["highest mean headline"]]
    header += [["better than"], [UNDECIDED, " to"], ["worse than"]]
    caption = (
        "The method with the highest mean headline, and what the paired tests say of it against the others; "
        "each comparison is over the photographs that both have."
    )
    return [Heading(2, ["In short"]), Table([caption], header, rows)]


def _leader(run: Run, classifier: str, crops: str, budget: int) -> list[Inline]:
    key = Key(classifier, crops, "", budget, HEADLINE, "")
    where: list[Inline] = [[Name(classifier)], [crops], [f"{budget:,}"]]
    found = {
        method: summary
        for method in run.ranking[classifier, crops]
        if (summary := run.at(key._replace(method=method))) is not None
    }
    if not found:
        return [*where, ["no photograph has the headline"], ["–"], ["–"], ["–"]]
    first = max(found, key=lambda method: found[method].interval.mean)
    leader: Inline = [Name(first), " ", *_figure(found[first])]
    if found[first].interval.n < 2:
        return [*where, leader, ["nothing tested"], ["nothing tested"], ["nothing tested"]]
    against, others = _against(run, key._replace(method=first)), len(found) - 1
    better = f"{len(against[BETTER])} of {others}" if others else "no other method"
    undecided, worse = (_named(against[verdict], others) for verdict in (UNDECIDED, WORSE))
    return [*where, leader, [better], undecided, worse]


def _what_was_run(run: Run) -> list[Block]:
    about = run.about
    command: Part = Name(about["command"]) if about["command"] else "not recorded"
    blocks: list[Block] = [Heading(2, ["What was run"]), Paragraph(["Command: ", command])]
    rows: list[list[Inline]] = []
    for classifier in sorted({*run.classifiers, *about["left_out"]}):
        centre, off_centre = (
            str(run.photographs.get((classifier, crops), 0)) for crops in (CENTRE, OFF_CENTRE)
        )
        left = about["left_out"].get(classifier)
        out = f"{_count(left.get('wrong'))} of {_count(left.get('of'))}" if left else "not recorded"
        rows.append([[Name(classifier)], [centre], [off_centre], [out]])
    header: list[Inline] = [
        ["classifier"],
        ["photographs, centre"],
        ["photographs, off-centre"],
        ["left out"],
    ]
    caption = (
        "Photographs. Those that a classifier gets wrong are left out: there is no right answer to explain. "
        "Under left out, the centre and the off-centre crop of one photograph count as two."
    )
    blocks.append(Table([caption], header, rows))
    blocks += _references(run)
    for title, section in (("Settings", about["settings"]), ("Versions", about["versions"])):
        if section:
            pairs: list[list[Inline]] = [
                [[Name(key)], [Name(_plain(value))]] for key, value in section.items()
            ]
            blocks.append(Table([title], [["name"], ["value"]], pairs, folded=True))
    files: list[list[Inline]] = [
        [[Name(name)], _names(map(str, left["files"]))]
        for name, left in about["left_out"].items()
        if isinstance(left.get("files"), list)
    ]
    if files:
        blocks.append(Table(["Left out, by name"], [["classifier"], ["photographs"]], files, folded=True))
    return blocks


def _references(run: Run) -> list[Block]:
    """Which references there are, which make the headline, and why."""
    fills = run.about["fills"]
    rows: list[list[Inline]] = []
    for name in sorted({key.reference for key in run.summaries if key.reference} | set(run.headline)):
        users = sorted(method for method, used in fills.items() if name in used)
        if name in run.about["headline_references"]:
            why: Inline = ["yes: no method of the table used it as fill"]
        elif not run.about["headline_references"]:
            why = ["yes, for want of better: it was the fill of some method"]
        else:
            why = ["no: it was the fill of ", *(_names(users) if users else ["some method of the table"])]
        rows.append([[Name(name)], why])
    blocks: list[Block] = [
        Table(["References: what hidden pixels became."], [["reference"], ["in the headline?"]], rows)
    ]
    if not run.about["headline_references"]:
        text = (
            "Every reference was the fill of some method, so the headline is the mean over all of them: it may "
            "favour methods that share their fill with many references."
        )
        blocks.append(Paragraph([Strong("Mind:"), " ", text]))
    return blocks


def _how_to_read(run: Run) -> list[Block]:
    blocks: list[Block] = [
        Heading(2, ["How to read it"]),
        Paragraph(
            [
                "Headline: Symmetric Relevance Gain (Blücher et al., TMLR 2024), the area under the insertion curve "
                "minus that under the deletion curve with the same reference, mean over ",
                *_names(run.headline),
                "; higher is better. Every figure is a mean over photographs, followed by its 95 % interval in "
                "brackets (bootstrap over photographs, BCa) and by n, the number of photographs.",
            ]
        ),
        Paragraph(
            [
                "Differences are paired: only photographs that both methods have. A difference is called one, and "
                "set bold, only where its interval excludes 0 and p after Holm's correction is below 0.05 (sign-flip "
                "permutation test; a family is all comparisons of one kind, classifier, set of crops and budget). "
                "No difference shown does not mean that there is none."
            ]
        ),
    ]
    ns = [summary.interval.n for key, summary in run.summaries.items() if key.metric == HEADLINE]
    if ns and max(ns) == 1:
        text = "There is a single photograph, so no figure has an interval and nothing is tested."
        blocks.append(Paragraph([Strong("Mind:"), " ", text]))
    elif ns and max(ns) < 20:
        text = f"{max(ns)} photographs at most: bootstrap intervals of so few are rather too narrow."
        blocks.append(Paragraph([Strong("Mind:"), " ", text]))
    return blocks


def _missing(run: Run) -> list[Block]:
    """What an unfinished run lacks: against the settings, the photographs left, and the fullest method."""
    blocks: list[Block] = []
    asked = run.about["settings"].get("methods")
    methods = {key.method for key in run.summaries}
    absent = [str(name) for name in asked if name not in methods] if isinstance(asked, list) else []
    if absent:
        blocks.append(Paragraph(["Methods asked for, without a single figure: ", *_names(absent), "."]))
    if run.undefined:
        text = f"Figures of single photographs that are undefined (nan) and count nowhere: {run.undefined}."
        blocks.append(Paragraph([text]))
    for classifier, left in run.about["left_out"].items():
        seen = sum(n for (name, _), n in run.photographs.items() if name == classifier)
        of, wrong = left.get("of"), left.get("wrong")
        if isinstance(of, int) and isinstance(wrong, int) and seen < of - wrong:
            said = f" has figures of {seen} of the {of - wrong} photographs that it gets right."
            blocks.append(Paragraph([Name(classifier), said]))
    columns = ("photo", "classifier", "method", "budget", "problem")
    failures: list[list[Inline]] = [
        [[Name(_plain(one.get(name, "?")))] for name in columns] for one in run.about["failures"]
    ]
    if failures:
        blocks.append(Table(["Methods that failed"], [[name] for name in columns], failures, folded=True))
    fullest: dict[tuple[str, str, str, str], int] = {}
    for key, summary in run.summaries.items():
        about = (key.classifier, key.crops, key.metric, key.reference)
        fullest[about] = max(fullest.get(about, 0), summary.interval.n)
    rows = []
    for classifier, all_crops in run.classifiers.items():
        for crops in all_crops:
            for method in sorted({key.method for key in run.summaries if key[:2] == (classifier, crops)}):
                rows += _missing_of(run, fullest, classifier, crops, method)
    if rows:
        header: list[Inline] = [[name] for name in ("method", "calls allowed", "classifier", "crops")]
        header += [["photographs with the headline"], ["photographs of the least complete figure"]]
        caption = "Photographs that are there and that a method lacks: its means are over fewer photographs."
        blocks.append(Table([caption], header, rows))
    return [Heading(2, ["What is missing"]), *blocks] if blocks else []


def _missing_of(
    run: Run, fullest: dict[tuple[str, str, str, str], int], classifier: str, crops: str, method: str
) -> list[list[Inline]]:
    of = fullest.get((classifier, crops, HEADLINE, ""), 0)
    own = {key: one for key, one in run.summaries.items() if key[:3] == (classifier, crops, method)}
    made_over, budgets = "~" in method, {key.budget for key in own}
    rows: list[list[Inline]] = []
    for budget in sorted(budgets if made_over or budgets == {0} else budgets | set(run.budgets[classifier])):
        headline = own.get(Key(classifier, crops, method, budget, HEADLINE, ""))
        n = headline.interval.n if headline else 0
        others = [
            (one.interval.n, fullest[key.classifier, key.crops, key.metric, key.reference])
            for key, one in own.items()
            if key.budget == budget and key.metric != HEADLINE
        ]
        least = min(others, key=lambda pair: pair[0] - pair[1], default=(0, of))
        if n < of or least[0] < least[1]:
            counts: list[Inline] = [[f"{n} of {of}"], [f"{least[0]} of {least[1]}"]]
            rows.append([[Name(method)], [str(budget)], [Name(classifier)], [crops], *counts])
    return rows


def _headline_table(run: Run, classifier: str, crops: str) -> Table:
    budgets = run.budgets[classifier]
    header: list[Inline] = [["method"]]
    for budget in budgets:
        header += [[f"headline, {_allowed(budget)}"], ["calls counted"], ["seconds"]]
    rows: list[list[Inline]] = []
    for method in run.ranking[classifier, crops]:
        row: list[Inline] = [[Name(method)]]
        for budget in budgets:
            summary = run.at(Key(classifier, crops, method, budget, HEADLINE, ""))
            row += [_figure(summary), *_cost(summary)]
        rows.append(row)
    caption = (
        f"Headline, {_crops(crops)}, best at the largest budget first. Calls in the mean, seconds in the median "
        "over the same photographs; – where there is none, for seconds where scores came from the cache."
    )
    return Table([caption], header, rows)


def _differences(run: Run, classifier: str, crops: str) -> list[Block]:
    blocks: list[Block] = []
    for budget in run.budgets[classifier]:
        family = _family_of(run, "methods", classifier, crops, budget)
        if not family:
            continue
        about = f"{_crops(crops)}, {_allowed(budget)}"
        if max(pair.paired.n for pair in family) < 2:
            blocks.append(Paragraph([f"Differences, {about}: one photograph, so there is nothing to test."]))
            continue
        if all(pair.verdict == UNDECIDED for pair in family):
            blocks.append(
                Paragraph([f"No difference between any two methods is shown, {about}. {_reach(family)}"])
            )
        else:
            blocks.append(_verdicts(run, family, f"Who is better than whom, {about}. {_reach(family)}"))
        blocks.append(_matrix(family, f"Paired differences of the headline, row minus column, {about}"))
    return blocks


def _reach(family: list[Pair]) -> str:
    """What the tests of a family could have shown at all."""
    n, tests = max(pair.paired.n for pair in family), len(family)
    said = f"{tests} {'pair' if tests == 1 else 'pairs'}, up to {n} photographs."
    if smallest_p(n) * tests >= LEVEL:
        said += (
            f" With so few photographs, not even the clearest difference could come below "
            f"p = {LEVEL} after Holm's correction: the smallest possible is {min(1.0, smallest_p(n) * tests):.2g}."
        )
    return said


def _verdicts(run: Run, family: list[Pair], caption: str) -> Table:
    first = family[0]
    header: list[Inline] = [["method"], ["better than"], ["worse than"], [UNDECIDED]]
    rows: list[list[Inline]] = []
    names = dict.fromkeys(name for pair in family for name in (pair.method, pair.other))
    for method in names:
        key = Key(first.classifier, first.crops, method, first.budget, HEADLINE, "")
        against = _against(run, key)
        rows.append(
            [[Name(method)], *(_named(against[one], len(names) - 1) for one in (BETTER, WORSE, UNDECIDED))]
        )
    return Table([caption], header, rows)


def _against(run: Run, key: Key) -> dict[str, list[str]]:
    """The other methods, by what the tests say of `key.method` against them."""
    mirrored = {BETTER: WORSE, WORSE: BETTER, UNDECIDED: UNDECIDED}
    found: dict[str, list[str]] = {verdict: [] for verdict in mirrored}
    for pair in _family_of(run, "methods", key.classifier, key.crops, key.budget):
        if pair.method == key.method:
            found[pair.verdict].append(pair.other)
        elif pair.other == key.method:
            found[mirrored[pair.verdict]].append(pair.method)
    return found


def _matrix(family: list[Pair], caption: str) -> Table:
    """The upper triangle, in the order in which the pairs were made: best mean first."""
    names = list(dict.fromkeys(name for pair in family for name in (pair.method, pair.other)))
    found = {(pair.method, pair.other): pair for pair in family}
    rows: list[list[Inline]] = [
        [[Name(row)], *(_difference(found.get((row, column))) for column in names[1:])] for row in names[:-1]
    ]
    return Table([caption], [[""], *([Name(name)] for name in names[1:])], rows, folded=True)


def _both_crops(run: Run, classifier: str) -> list[Block]:
    blocks: list[Block] = []
    for budget in run.budgets[classifier]:
        family = _family_of(run, "crops", classifier, f"{OFF_CENTRE} minus {CENTRE}", budget)
        rows: list[list[Inline]] = []
        for pair in family:
            row: list[Inline] = [[Name(pair.method)]]
            for crops in (CENTRE, OFF_CENTRE):
                row.append(_figure(run.at(Key(classifier, crops, pair.method, budget, HEADLINE, ""))))
            rows.append([*row, _difference(pair)])
        if rows:
            caption = (
                f"Headline, crops from the centre and off the centre side by side, {_allowed(budget)}. The "
                "difference is paired, over photographs that have both."
            )
            header: list[Inline] = [["method"], [CENTRE], [OFF_CENTRE], ["off-centre minus centre"]]
            blocks.append(Table([caption], header, rows))
    return [Heading(3, ["Centre and off-centre"]), *blocks] if blocks else []


def _controls(run: Run, classifier: str) -> list[Block]:
    blocks: list[Block] = []
    for crops in run.classifiers[classifier]:
        rows: list[list[Inline]] = []
        for budget in run.budgets[classifier]:
            for pair in _family_of(run, "controls", classifier, crops, budget):
                keys = [
                    Key(classifier, crops, name, budget, HEADLINE, "") for name in (pair.method, pair.other)
                ]
                own, control = (_figure(run.at(key)) for key in keys)
                kind = pair.other.split("~", 1)[1]
                rows.append(
                    [[Name(pair.method)], [str(budget)], own, [Name(kind)], control, _difference(pair)]
                )
        if rows:
            caption = (
                f"Each method beside its controls, headline, {_crops(crops)}: its map blurred, and its map from "
                "another photograph. A "
                "map that does as well on another photograph says little about its own."
            )
            header: list[Inline] = [[name] for name in ("method", "calls allowed", "headline", "control")]
            blocks.append(
                Table([caption], [*header, ["headline of control"], ["method minus control"]], rows)
            )
    return [Heading(3, ["Controls"]), *blocks] if blocks else []


def _all_metrics(run: Run, classifier: str) -> list[Block]:
    """SRG by reference, the other metrics by reference, and those without a reference, each with direction."""
    blocks: list[Block] = []
    for crops in run.classifiers[classifier]:
        own = {key[4:] for key in run.summaries if key[:2] == (classifier, crops) and key.metric != HEADLINE}
        with_reference = sorted(
            {metric for metric, name in own if name}, key=lambda name: (name != "srg", name)
        )
        for metric in with_reference:
            columns = sorted((name, reference) for name, reference in own if name == metric and reference)
            header: list[Inline] = [
                [Name(name), " (headline)"] if metric == "srg" and name in run.headline else [Name(name)]
                for _, name in columns
            ]
            caption: Inline = [Name(metric), f" by reference, {_crops(crops)}; {_direction(run, metric)}"]
            folded = metric != "srg" or crops != CENTRE
            blocks.append(_metric_table(run, classifier, crops, columns, caption, header, folded=folded))
        plain = sorted((name, reference) for name, reference in own if not reference)
        if plain:
            header = [[Name(name), Small(_direction(run, name))] for name, _ in plain]
            caption = [f"Other metrics, {_crops(crops)}"]
            folded = crops != CENTRE
            blocks.append(_metric_table(run, classifier, crops, plain, caption, header, folded=folded))
    return [Heading(3, ["All metrics"]), *blocks] if blocks else []


def _metric_table(
    run: Run,
    classifier: str,
    crops: str,
    columns: Sequence[tuple[str, str]],
    caption: Inline,
    header: list[Inline],
    *,
    folded: bool,
) -> Table:
    own = {key: one for key, one in run.summaries.items() if key[:2] == (classifier, crops)}
    ranking = run.ranking[classifier, crops]
    ranking += sorted({key.method for key in own} - set(ranking))
    rows: list[list[Inline]] = []
    for budget in sorted({key.budget for key in own}):
        for method in ranking:
            found = [own.get(Key(classifier, crops, method, budget, *column)) for column in columns]
            if any(found):
                rows.append([[Name(method)], [str(budget)], *map(_figure, found)])
    return Table(caption, [["method"], ["calls allowed"], *header], rows, folded=folded)


def _gallery(run: Run) -> list[Block]:
    """The same photographs for every method: one table per classifier and budget, a column per photograph."""
    blocks: list[Block] = []
    root = run.folder / "gallery"
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        photographs = sorted(path.parent for path in folder.glob("*/photo.png"))
        shown = photographs[:GALLERY_PHOTOGRAPHS]
        overlays = {
            (path.parent.name, *parsed): path
            for photograph in shown
            for path in sorted(photograph.glob("*@*.png"))
            if (parsed := _method_and_budget(path.stem))
        }
        order = [
            method
            for (classifier, _), methods in run.ranking.items()
            if _slug(classifier) == _slug(folder.name)
            for method in methods
        ]
        budgets = sorted({budget for _, _, budget in overlays} - {0}) or [0]
        for budget in reversed(budgets if shown else []):
            rows: list[list[Inline]] = [
                [["photograph"], *([_thumbnail(run, path / "photo.png")] for path in shown)]
            ]
            methods = {method for _, method, at in overlays if at in (0, budget)}
            for method in sorted(
                methods, key=lambda name: (order.index(name) if name in order else math.inf, name)
            ):
                cells: list[Inline] = []
                for photograph in shown:
                    found = (
                        overlays.get((photograph.name, method, at))
                        for at in ((budget, 0) if budget else (0,))
                    )
                    path = next((one for one in found if one), None)
                    cells.append([_thumbnail(run, path)] if path else ["–"])
                rows.append([[Name(method)], *cells])
            caption: Inline = [
                Name(folder.name),
                f", {_allowed(budget)}, {len(shown)} of {len(photographs)} photographs",
            ]
            header: list[Inline] = [["method"], *([Name(path.name)] for path in shown)]
            blocks.append(Table(caption, header, rows, folded=budget != budgets[-1]))
    note = "The same photographs for every method, best headline first; – where there is no picture."
    return [Heading(2, ["Gallery"]), Paragraph([note]), *blocks] if blocks else []


def _method_and_budget(stem: str) -> tuple[str, int] | None:
    method, _, budget = stem.rpartition("@")
    return (method, int(budget)) if method and re.fullmatch("[0-9]{1,15}", budget) else None


def _thumbnail(run: Run, path: Path) -> Thumbnail:
    return Thumbnail(path.relative_to(run.folder).as_posix())


# --- figures in words ----------------------------------------------------------------------------------------


def _number(value: float, *, sign: bool = False) -> str:
    """Three decimals, more where they would say 0 of what is not; `sign` shows the plus."""
    plus = "+" if sign else ""
    if not math.isfinite(value):
        return "–"
    if (value != 0 and abs(value) < 0.0005) or abs(value) >= 1e6:
        return f"{value:{plus}.1g}" if abs(value) < 1 else f"{value:{plus}.3g}"
    return f"{value + 0.0:{plus}.3f}"


def _bounds(of: Interval | Paired) -> str:
    if math.isnan(of.low):
        return f"no interval, n = {of.n}"
    sign = isinstance(of, Paired)
    return f"[{_number(of.low, sign=sign)}, {_number(of.high, sign=sign)}], n = {of.n}"


def _figure(summary: Summary | None) -> Inline:
    return [_number(summary.interval.mean), Small(_bounds(summary.interval))] if summary else ["–"]


def _difference(pair: Pair | None) -> Inline:
    if pair is None:
        return [""]
    text = _number(pair.paired.difference, sign=True)
    return [text if pair.verdict == UNDECIDED else Strong(text), Small(_bounds(pair.paired))]


def _cost(summary: Summary | None) -> list[Inline]:
    if summary is None:
        return [["–"], ["–"]]
    return [[f"{summary.calls:,.0f}"], ["–" if math.isnan(summary.seconds) else f"{summary.seconds:.3g}"]]


def _names(names: Iterable[str]) -> list[Part]:
    parts: list[Part] = [part for name in names for part in (", ", Name(name))]
    return parts[1:]


def _named(names: list[str], of: int) -> Inline:
    return [f"all {of} others"] if len(names) == of > 2 else _names(names) or ["–"]


def _crops(crops: str) -> str:
    return {CENTRE: "centre crops", OFF_CENTRE: "off-centre crops"}[crops]


def _allowed(budget: int) -> str:
    return f"{budget:,} calls allowed" if budget else "no calls needed"


def _direction(run: Run, metric: str) -> str:
    return DIRECTIONS.get(str(run.about["directions"].get(metric)), "direction not recorded")


def _count(value: object) -> str:
    return str(value) if isinstance(value, int) else "?"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _slug(name: str) -> str:
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


def _family_of(run: Run, family: str, classifier: str, crops: str, budget: int) -> list[Pair]:
    about = (family, classifier, crops, budget)
    return [pair for pair in run.pairs if (pair.family, pair.classifier, pair.crops, pair.budget) == about]


# --- the curves ----------------------------------------------------------------------------------------------

_COLOURS = ("#0072B2", "#D55E00", "#007A5A", "#A8467F", "#000000", "#8A6A00")
"""Okabe and Ito's, which colour-blind readers tell apart, the light ones darker for white paper."""
_MARKERS = "osD^vPX*<>phd"
_LINES = ("-", "--", "-.")


def _draw_curves(run: Run, classifier: str, crops: str, styles: list[str]) -> str | None:
    """An SVG of the headline against calls counted; None where no method has a headline.

    A method keeps its colour, marker and line in every drawing of a report; its name stands at its line's
    end, so that no legend has to be searched.
    """
    from matplotlib.figure import Figure

    ranking = run.ranking[classifier, crops]
    key = Key(classifier, crops, "", 0, HEADLINE, "")
    curves = {
        method: found
        for method in ranking
        if (
            found := [
                one for k, one in run.summaries.items() if k == key._replace(method=method, budget=k.budget)
            ]
        )
    }
    if not curves:
        return None
    paid = [one.calls for found in curves.values() for one in found if one.calls > 0]
    low, high = (min(paid), max(paid)) if paid else (1, 1)
    settings = {
        "svg.hashsalt": "occlumap",
        "svg.fonttype": "path",
        "font.family": "DejaVu Sans",
        "font.size": 10,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(9, max(4.2, 2.2 + 0.25 * len(curves))))
        axes = figure.subplots()
        figure.subplots_adjust(left=0.08, right=0.72, top=0.97, bottom=0.12)
        axes.set_xscale("log")
        left, right = low / 1.25, high * 1.25
        axes.set_xlim(left, right)
        labels = []
        for place, (method, found) in enumerate(curves.items()):
            look = _look(styles.index(method))
            intervals = [one.interval for one in found]
            means = [one.mean for one in intervals]
            if found[0].calls == 0:
                axes.axhline(means[0], color="#555555", linestyle=":", linewidth=1.2)
                axes.plot(
                    [right / 1.05] * 2, [intervals[0].low, intervals[0].high], color="#555555", linewidth=1
                )
                labels.append((means[0], method, "#555555", ""))
                continue
            aside = 1.22 ** (place / max(1, len(curves) - 1) - 0.5)
            calls = [one.calls * aside for one in found]
            axes.plot(calls, means, linewidth=1.4, markersize=5, **look)
            for x, one in zip(calls, intervals, strict=True):
                axes.plot([x, x], [one.low, one.high], color=look["color"], linewidth=1)
            axes.plot([calls[-1], right], [means[-1]] * 2, color=look["color"], linewidth=0.4)
            labels.append((means[-1], method, look["color"], look["marker"]))
        _label_ends(axes, labels)
        ticks = [budget for budget in run.budgets[classifier] if budget]
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("calls")
        axes.set_ylabel("headline (higher is better)")
        axes.grid(axis="y", color="#e0e0e0", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        drawing = io.StringIO()
        figure.savefig(drawing, format="svg", metadata={"Date": None})
    return drawing.getvalue()


def _look(number: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "marker": _MARKERS[number % len(_MARKERS)],
        "linestyle": _LINES[number // len(_COLOURS) % len(_LINES)],
    }


def _label_ends(axes: Any, labels: list[tuple[float, str, str, str]]) -> None:
    """Write the names beside the axes at the height of their ends, moved apart where they would overlap."""
    bottom, top = axes.get_ylim()
    labels = sorted(labels)
    ends = [(height - bottom) / (top - bottom) for height, *_ in labels]
    step = min(0.052 * 4.2 / axes.figure.get_figheight(), 1 / max(1, len(labels) - 1))
    for place, end in zip(_apart(ends, step), zip(ends, labels, strict=True), strict=True):
        start, (_, method, colour, marker) = end
        line = {"transform": axes.transAxes, "clip_on": False}
        axes.plot([1.0, 1.03], [start, place], color=colour, linewidth=0.7, **line)
        if marker:
            axes.plot([1.045], [place], color=colour, marker=marker, markersize=5, **line)
        text = _printable(method).encode("ascii", "backslashreplace").decode("ascii")
        text = text if len(text) <= 26 else f"{text[:23]}..."
        axes.text(
            1.065,
            place,
            text,
            transform=axes.transAxes,
            va="center",
            fontsize=9,
            color="#1a1a1a",
            parse_math=False,
        )


def _apart(places: list[float], step: float) -> list[float]:
    """Ascending `places` (0 to 1) moved as little as needed to lie `step` apart, and none above 1.

    >>> _apart([0.5, 0.5, 1.0], 0.25)
    [0.5, 0.75, 1.0]
    """
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + step) if moved else place)
    ceiling = 1.0
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - step
    return moved
