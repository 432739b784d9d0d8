"""What the report of a benchmark says, and its files: Markdown, one HTML file, curves and tables.

Rooms: `results` reads, counts and tests; here, in `account` and `wording` that is put into words; `charts` draws;
`document` knows Markdown and HTML. Words such as "better" are chosen from the numbers by one rule,
`results.Pair.verdict`.
"""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from occlumap.errors import MissingDependencyError

try:
    import scipy  # noqa: F401  (statistics needs it later: missing, it should be said before the work)
    import statsmodels  # noqa: F401

    from occlumap.evaluation import results
    from occlumap.evaluation.charts import draw_curves
except ImportError as error:
    raise MissingDependencyError(
        f"a report needs pandas, SciPy, statsmodels and Matplotlib, got {type(error).__name__}: {error}; "
        "run, in a clone of occlumap: pip install '.[benchmark]'"
    ) from error
from occlumap.evaluation.account import how_to_read, missing, what_was_run
from occlumap.evaluation.document import (
    Block,
    Chart,
    Heading,
    Inline,
    Name,
    Paragraph,
    Small,
    Table,
    Thumbnail,
    to_html,
    to_markdown,
)
from occlumap.evaluation.gallery import PHOTOGRAPHS
from occlumap.evaluation.results import (
    BETTER,
    CENTRE,
    HEADLINE,
    LEVEL,
    OFF_CENTRE,
    UNDECIDED,
    WORSE,
    Key,
    Pair,
    Run,
)
from occlumap.evaluation.statistics import holm, smallest_p
from occlumap.evaluation.wording import (
    MANY_METHODS,
    MANY_ROWS,
    calls_allowed,
    cost,
    crops_in_words,
    difference,
    direction,
    figure,
    named,
)


def write(folder: str | os.PathLike[str]) -> list[Path]:
    """Write the report of the benchmark in `folder` beside its rows; give the files written.

    Reads `rows.csv`, `benchmark.json` and, where there is one, `gallery/`. Writes `report.md`, `report.html`
    (self-contained), `summary.csv` (every mean with its interval), `pairs.csv` (every paired test) and one
    `curves-*.svg` per classifier and set of crops. An unfinished run is reported as far as it goes, and what
    is missing is named. Raises FileFormatError for a folder without rows, and for damaged or unknown rows.
    """
    run = results.read(Path(folder))
    blocks, charts = _compose(run)
    files = {
        "report.md": to_markdown(blocks),
        "report.html": to_html(blocks, run.folder, charts),
        "summary.csv": results.summary_csv(run),
        "pairs.csv": results.pairs_csv(run),
        **charts,
    }
    for name, text in files.items():
        (run.folder / name).write_text(text, encoding="utf-8", newline="\n")
    return [run.folder / name for name in files]


def _compose(run: Run) -> tuple[list[Block], dict[str, str]]:
    blocks: list[Block] = [Heading(1, ["Faithfulness benchmark"])]
    charts: dict[str, str] = {}
    blocks += [*_in_short(run), *how_to_read(run), *missing(run)]
    styles = sorted({method for methods in run.ranking.values() for method in methods})
    for number, (classifier, all_crops) in enumerate(run.classifiers.items(), 1):
        blocks.append(Heading(2, [Name(classifier)]))
        for crops in all_crops:
            file = f"curves-{number}-{crops}.svg"
            drawing = draw_curves(run, classifier, crops, styles)
            if drawing:
                charts[file] = drawing
                blocks.append(Heading(3, [f"Headline against calls, {crops_in_words(crops)}"]))
                blocks.append(Paragraph([_CHART_NOTE]))
                blocks.append(
                    Chart(
                        file,
                        f"Headline against calls, {crops_in_words(crops)}; the next table has the figures",
                    )
                )
            blocks += [_headline_table(run, classifier, crops), *_differences(run, classifier, crops)]
        blocks += _both_crops(run, classifier)
        blocks += _controls(run, classifier)
        blocks += _all_metrics(run, classifier)
    return [*blocks, *what_was_run(run), *_gallery(run)], charts


_CHART_NOTE = (
    "Mean over photographs with its 95 % interval, at the calls counted; points of one budget are moved "
    "sideways a little, so that their intervals can be told apart. Dotted: methods that need no calls."
)


def _in_short(run: Run) -> list[Block]:
    """The leader of every classifier, set of crops and budget, and how every method does against the others."""
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
    return [Heading(2, ["In short"]), Table([caption], header, rows), *_standings(run)]


def _standings(run: Run) -> list[Block]:
    """Every method against the others, at every budget that shows differences: losses as plain as wins."""
    blocks: list[Block] = []
    for classifier, all_crops in run.classifiers.items():
        header: list[Inline] = [["method"]]
        cells: dict[str, list[Inline]] = {method: [] for method in run.ranking[classifier, all_crops[0]]}
        wins = dict.fromkeys(cells, 0)
        for crops in all_crops:
            for budget in run.budgets[classifier]:
                family = run.family("methods", classifier, crops, budget)
                if all(pair.verdict == UNDECIDED for pair in family):
                    continue
                header.append([f"{crops}, {calls_allowed(budget)}"])
                for method, row in cells.items():
                    against = run.against(classifier, crops, budget, method)
                    better, undecided, worse = (len(against[one]) for one in (BETTER, UNDECIDED, WORSE))
                    row.append([f"{better} / {undecided} / {worse}" if better + undecided + worse else "–"])
                    wins[method] += better - worse
        rows: list[list[Inline]] = [
            [[Name(name)], *cells[name]] for name in sorted(cells, key=lambda name: -wins[name])
        ]
        caption: Inline = [
            "Every method against the others, ",
            Name(classifier),
            ": how many it is better than / shows no difference to / is worse than. Most wins less losses first.",
        ]
        if len(header) > 1:
            blocks.append(Table(caption, header, rows))
    return blocks


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
    leader: Inline = [Name(first), " ", *figure(found[first])]
    if found[first].interval.n < 2:
        return [*where, leader, ["nothing tested"], ["nothing tested"], ["nothing tested"]]
    against, others = run.against(classifier, crops, budget, first), len(found) - 1
    better = f"{len(against[BETTER])} of {others}" if others else "no other method"
    undecided, worse = (named(against[verdict], others) for verdict in (UNDECIDED, WORSE))
    family = run.family("methods", classifier, crops, budget)
    own = [pair for pair in family if first in (pair.method, pair.other)]
    if own and not {*own} - {*_hopeless(family)}:
        undecided = ["too few photographs to tell"]
    return [*where, leader, [better], undecided, worse]


def _headline_table(run: Run, classifier: str, crops: str) -> Table:
    budgets = run.budgets[classifier]
    header: list[Inline] = [["method"]]
    for budget in budgets:
        header += [[f"headline, {calls_allowed(budget)}"], ["calls counted"], ["seconds"]]
    rows: list[list[Inline]] = []
    for method in run.ranking[classifier, crops]:
        row: list[Inline] = [[Name(method)]]
        for budget in budgets:
            summary = run.at(Key(classifier, crops, method, budget, HEADLINE, ""))
            row += [figure(summary), *cost(summary)]
        rows.append(row)
    caption = (
        f"Headline, {crops_in_words(crops)}, best at the largest budget first. Calls in the mean, seconds in the "
        "median over the same photographs; – where there is none, for seconds where scores came from the cache."
    )
    return Table([caption], header, rows)


def _differences(run: Run, classifier: str, crops: str) -> list[Block]:
    blocks: list[Block] = []
    for budget in run.budgets[classifier]:
        family = run.family("methods", classifier, crops, budget)
        if not family:
            continue
        about = f"{crops_in_words(crops)}, {calls_allowed(budget)}"
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
    hopeless = len(_hopeless(family))
    if hopeless == tests:
        said += (
            f" With so few photographs, not even the clearest difference could come below "
            f"p = {LEVEL} after Holm's correction: the smallest possible is {min(1.0, smallest_p(n) * tests):.2g}."
        )
    elif hopeless:
        said += (
            f" {hopeless} of them have so few photographs that not even the clearest difference could come "
            f"below p = {LEVEL} after Holm's correction."
        )
    return said


def _hopeless(family: list[Pair]) -> list[Pair]:
    """The pairs whose corrected p could not come below 0.05 if every difference were the clearest possible."""
    clearest = holm([smallest_p(pair.paired.n) for pair in family])
    return [pair for pair, p in zip(family, clearest, strict=True) if p >= LEVEL]


def _verdicts(run: Run, family: list[Pair], caption: str) -> Table:
    first = family[0]
    header: list[Inline] = [["method"], ["better than"], ["worse than"], [UNDECIDED]]
    rows: list[list[Inline]] = []
    names = dict.fromkeys(name for pair in family for name in (pair.method, pair.other))
    for method in names:
        against = run.against(first.classifier, first.crops, first.budget, method)
        better, worse, undecided = (named(against[one], len(names) - 1) for one in (BETTER, WORSE, UNDECIDED))
        if len(names) > MANY_METHODS:
            undecided = [f"{len(against[UNDECIDED])} others"]
        rows.append([[Name(method)], better, worse, undecided])
    return Table([caption], header, rows, folded=first.budget != run.budgets[first.classifier][-1])


def _matrix(family: list[Pair], caption: str) -> Table:
    """Every method minus every other, in the order in which the pairs were made: best mean first."""
    names = list(dict.fromkeys(name for pair in family for name in (pair.method, pair.other)))
    found = {(one.method, one.other): one for pair in family for one in (pair, pair.turned)}
    rows: list[list[Inline]] = [
        [[Name(row)], *(difference(found.get((row, column))) for column in names)] for row in names
    ]
    header: list[Inline] = [[""], *([Name(name)] for name in names)]
    instead: Inline = [Name("pairs.csv"), f" has all {len(family)}."] if len(names) > MANY_METHODS else []
    return Table([caption], header, rows, folded=True, instead=instead)


def _both_crops(run: Run, classifier: str) -> list[Block]:
    blocks: list[Block] = []
    for budget in run.budgets[classifier]:
        family = run.family("crops", classifier, f"{OFF_CENTRE} minus {CENTRE}", budget)
        rows: list[list[Inline]] = []
        for pair in family:
            row: list[Inline] = [[Name(pair.method)]]
            for crops in (CENTRE, OFF_CENTRE):
                row.append(figure(run.at(Key(classifier, crops, pair.method, budget, HEADLINE, ""))))
            rows.append([*row, difference(pair)])
        if rows:
            caption = (
                f"Headline, crops from the centre and off the centre side by side, {calls_allowed(budget)}. The "
                "difference is paired, over photographs that have both."
            )
            header: list[Inline] = [["method"], [CENTRE], [OFF_CENTRE], ["off-centre minus centre"]]
            folded = budget != run.budgets[classifier][-1]
            blocks.append(Table([caption], header, rows, folded=folded))
    return [Heading(3, ["Centre and off-centre"]), *blocks] if blocks else []


def _controls(run: Run, classifier: str) -> list[Block]:
    blocks: list[Block] = []
    for crops in run.classifiers[classifier]:
        rows: list[list[Inline]] = []
        for budget in run.budgets[classifier]:
            for pair in run.family("controls", classifier, crops, budget):
                keys = [
                    Key(classifier, crops, name, budget, HEADLINE, "") for name in (pair.method, pair.other)
                ]
                own, control = (figure(run.at(key)) for key in keys)
                kind = pair.other.split("~", 1)[1]
                rows.append(
                    [[Name(pair.method)], [str(budget)], own, [Name(kind)], control, difference(pair)]
                )
        if rows:
            caption = (
                f"Each method beside its controls, headline, {crops_in_words(crops)}: its map blurred, and its "
                "map from another photograph. A map that does as well on another photograph says little about its own."
            )
            header: list[Inline] = [[name] for name in ("method", "calls allowed", "headline", "control")]
            header += [["headline of control"], ["method minus control"]]
            blocks.append(Table([caption], header, rows, folded=len(rows) > MANY_ROWS))
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
            caption: Inline = [
                Name(metric),
                f" by reference, {crops_in_words(crops)}; {direction(run, metric)}",
            ]
            blocks.append(_metric_table(run, classifier, crops, columns, caption, header))
        plain = sorted((name, reference) for name, reference in own if not reference)
        if plain:
            header = [[Name(name), Small(direction(run, name))] for name, _ in plain]
            caption = [f"Other metrics, {crops_in_words(crops)}"]
            blocks.append(_metric_table(run, classifier, crops, plain, caption, header))
    return [Heading(3, ["All metrics"]), *blocks] if blocks else []


def _metric_table(
    run: Run,
    classifier: str,
    crops: str,
    columns: Sequence[tuple[str, str]],
    caption: Inline,
    header: list[Inline],
) -> Table:
    own = {key: one for key, one in run.summaries.items() if key[:2] == (classifier, crops)}
    ranking = run.ranking[classifier, crops]
    ranking = [*ranking, *sorted({key.method for key in own} - set(ranking))]
    rows: list[list[Inline]] = []
    for budget in sorted({key.budget for key in own}):
        for method in ranking:
            found = [own.get(Key(classifier, crops, method, budget, *column)) for column in columns]
            if any(found):
                rows.append([[Name(method)], [str(budget)], *map(figure, found)])
    return Table(caption, [["method"], ["calls allowed"], *header], rows, folded=len(rows) > MANY_ROWS)


def _gallery(run: Run) -> list[Block]:
    """The same photographs for every method: one table per classifier and budget, a column per photograph."""
    blocks: list[Block] = []
    root = run.folder / "gallery"
    names = run.about["gallery"]  # of its folders
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        photographs = sorted(path.parent for path in folder.glob("*/photo.png"))
        shown = photographs[:PHOTOGRAPHS]
        overlays = {
            (path.parent.name, *parsed): path
            for photograph in shown
            for path in sorted(photograph.glob("*@*.png"))
            if (parsed := _method_and_budget(path.stem))
        }
        order = [
            method
            for (classifier, _), methods in run.ranking.items()
            if classifier == names.get(folder.name, folder.name)
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
                Name(names.get(folder.name, folder.name)),
                f", {calls_allowed(budget)}, {len(shown)} of {len(photographs)} photographs",
            ]
            header: list[Inline] = [["method"], *([Name(names.get(path.name, path.name))] for path in shown)]
            blocks.append(Table(caption, header, rows, folded=budget != budgets[-1]))
    note = "The same photographs for every method, best headline first; – where there is no picture."
    return [Heading(2, ["Gallery"]), Paragraph([note]), *blocks] if blocks else []


def _method_and_budget(stem: str) -> tuple[str, int] | None:
    method, _, budget = stem.rpartition("@")
    return (method, int(budget)) if method and re.fullmatch("[0-9]{1,15}", budget) else None


def _thumbnail(run: Run, path: Path) -> Thumbnail:
    return Thumbnail(path.relative_to(run.folder).as_posix())
