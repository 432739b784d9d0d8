"""Numbers and names of a benchmark in words, for its report."""

import json
import math
from collections.abc import Iterable

from occlumap.evaluation.document import (
    Inline,
    Name,
    Part,
    Small,
    Strong,
)
from occlumap.evaluation.results import (
    CENTRE,
    OFF_CENTRE,
    UNDECIDED,
    Pair,
    Run,
    Summary,
)
from occlumap.evaluation.statistics import Interval, Paired

DIRECTIONS = {"higher": "higher is better", "lower": "lower is better"}
MANY_METHODS, MANY_ROWS = 8, 20
"""Above these, names become counts, Markdown has no matrix, and HTML folds a table."""


def number(value: float, *, sign: bool = False) -> str:
    """Three decimals, more where they would say 0 of what is not; `sign` shows the plus."""
    plus = "+" if sign else ""
    if not math.isfinite(value):
        return "–"
    if (value != 0 and abs(value) < 0.0005) or abs(value) >= 1e6:
        return f"{value:{plus}.1g}" if abs(value) < 1 else f"{value:{plus}.3g}"
    return f"{value + 0.0:{plus}.3f}"


def bounds(of: Interval | Paired) -> str:
    """The interval in brackets, or that there is none, and n."""
    if math.isnan(of.low):
        return f"no interval, n = {of.n}"
    sign = isinstance(of, Paired)
    return f"[{number(of.low, sign=sign)}, {number(of.high, sign=sign)}], n = {of.n}"


def figure(summary: Summary | None) -> Inline:
    """A mean, its interval and n."""
    return [number(summary.interval.mean), Small(bounds(summary.interval))] if summary else ["–"]


def difference(pair: Pair | None) -> Inline:
    """A paired difference, bold only where it is called one."""
    if pair is None:
        return [""]
    text = number(pair.paired.difference, sign=True)
    return [text if pair.verdict == UNDECIDED else Strong(text), Small(bounds(pair.paired))]


def cost(summary: Summary | None) -> list[Inline]:
    """Two cells: calls and seconds."""
    if summary is None:
        return [["–"], ["–"]]
    seconds = f"{summary.seconds:.3g}" if summary.seconds >= 0.01 else "< 0.01"
    if math.isnan(summary.seconds):
        seconds = "–"
    return [[f"{summary.calls:,.0f}"], [seconds]]


def name_parts(names: Iterable[str]) -> list[Part]:
    """Names with commas between."""
    parts: list[Part] = [part for name in names for part in (", ", Name(name))]
    return parts[1:]


def named(names: list[str], of: int) -> Inline:
    """Names, or that they are all of `of` others, or a dash."""
    return [f"all {of} others"] if len(names) == of > 2 else name_parts(names) or ["–"]


def crops_in_words(crops: str) -> str:
    """Centre crops, off-centre crops."""
    return {CENTRE: "centre crops", OFF_CENTRE: "off-centre crops"}[crops]


def calls_allowed(budget: int) -> str:
    """A budget in words."""
    return f"{budget:,} call{'s' * (budget > 1)} allowed" if budget else "no calls needed"


def direction(run: Run, metric: str) -> str:
    """Where better lies, as benchmark.json has it."""
    return DIRECTIONS.get(str(run.about["directions"].get(metric)), "direction not recorded")


def count_in_words(value: object) -> str:
    """A number that benchmark.json holds, or a question mark."""
    return str(value) if isinstance(value, int) else "?"


def plain(value: object) -> str:
    """A value of benchmark.json as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
