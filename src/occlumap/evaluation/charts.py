"""The curves of a report: the headline against calls, as SVG by Matplotlib."""

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from occlumap.evaluation.document import printable
from occlumap.evaluation.results import HEADLINE, Key, Run

_COLOURS = ("#0072B2", "#D55E00", "#007A5A", "#A8467F", "#000000", "#8A6A00")
"""Okabe and Ito's, which colour-blind readers tell apart, the light ones darker for white paper."""
_MARKERS = "osD^vPX*<>phd"
_LINES = ("-", "--", "-.")


def draw_curves(run: Run, classifier: str, crops: str, styles: list[str]) -> str | None:
    """An SVG of the headline against calls counted; None where no method has a headline.

    A method keeps its colour, marker and line in every drawing of a report; its name stands at its line's
    end, so that no legend has to be searched.
    """
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
        faint = 1.0 if len(curves) <= 8 else 0.45  # so many intervals would hide the curves
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
                axes.plot([x, x], [one.low, one.high], color=look["color"], linewidth=1, alpha=faint)
            axes.plot([calls[-1], right], [means[-1]] * 2, color=look["color"], linewidth=0.4)
            labels.append((means[-1], method, look["color"], look["marker"]))
        _label_ends(axes, labels)
        ticks = [budget for budget in run.budgets[classifier] if budget]
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("calls; points of one budget stand side by side")
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
        text = printable(method).encode("ascii", "backslashreplace").decode("ascii")
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
