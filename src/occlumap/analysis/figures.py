"""The text's figures 25 to 29, drawn from the tables of a study; SVG."""

import io
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from string import ascii_lowercase
from typing import Any

import numpy as np

from occlumap.analysis import features, measures
from occlumap.analysis.tables import Study

NAMES = {
    "none": "No heatmap",
    "lrp": "LRP",
    "occlusion": "Occlusion",
    "not_shown": "Not shown",
    "shown": "Shown",
}
COLOURS = {
    "none": "#9a9a9a",
    "lrp": "#0072b2",
    "occlusion": "#d55e00",
    "not_shown": "#9a9a9a",
    "shown": "#009e73",
}
"""Of Okabe & Ito's palette, which colour-blind readers tell apart."""


BLINDED = "Blinded: the names of the conditions are exchanged at random"

LONGEST = 30
"""Letters of a code under a figure; a longer one is cut, so that the bars have room."""


def figures(study: Study) -> Iterator[tuple[str, str, Any]]:
    """(name, caption, Matplotlib figure) of each; 26 to 28 only when there are codes; marked if blinded."""
    for name, caption, figure in _every(study):
        if study.blinded:
            figure.supxlabel(BLINDED, fontsize=9, color="#a00000")
            caption = f"{caption} {BLINDED}."
        yield name, caption, figure


def _every(study: Study) -> Iterator[tuple[str, str, Any]]:
    yield from _bars(
        study, "25", measures.accuracy(study), "accuracy", "Average share of correct predictions"
    )
    if not len(measures.analysed_codes(study)):
        yield _boxes(study)
        return
    yield from _bars(
        study, "26", measures.ratio(study), "ratio", "Average participant saliency-features ratio"
    )
    percent = features.percentages(study)
    matched = len(measures.analysed_codes(study))
    coded = int(study.codes["participant_id"].isin(measures.analysed_people(study)["participant_id"]).sum())
    missing = (
        f" {coded - matched} of the {coded} codes are of no answer that was given, and are missing here."
        if matched < coded
        else ""
    )
    group_of = dict(zip(study.codes["code"], study.codes["group"], strict=True))
    numbers = ["27", "28", *(f"28{letter}" for letter in ascii_lowercase[1:])]  # the text has two classes
    for number, image_class in zip(numbers, sorted(study.responses["image_class"].unique()), strict=False):
        shares = {
            heatmap: percent[f"{image_class}:{heatmap}"]["percent"]
            for heatmap in study.participants["heatmap"].cat.categories
            if percent.get(f"{image_class}:{heatmap}", {}).get("answers")
        }
        if shares:
            name, caption, figure = _percentages(number, image_class, shares, group_of)
            yield name, caption + missing, figure
    yield _boxes(study)


def svg(figure: Any) -> str:
    """The figure as SVG text, the same bytes for the same figure."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "occlumap", "svg.fonttype": "none"}):
        saved(figure, buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def saved(figure: Any, buffer: Any, **options: Any) -> None:
    """Save a figure; letters that its font lacks are told by the report, not by Matplotlib."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        figure.savefig(buffer, **options)


def _figure(width: float, height: float, columns: int = 1, rows: int = 1, **options: Any) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def _bars(study: Study, number: str, table: Any, measure: str, label: str) -> Iterator[tuple[str, str, Any]]:
    figure, axes = _figure(7, 3.6, columns=2, sharey=True, width_ratios=[3, 2])
    for axis, factor in zip(axes, ("heatmap", "scores"), strict=True):
        levels = [level for level in table[factor].cat.categories if (table[factor] == level).any()]
        groups = [table[measure][table[factor] == level].to_numpy() for level in levels]
        means = [group.mean() for group in groups]
        deviations = [group.std(ddof=1) for group in groups]
        places = np.arange(len(levels))
        axis.bar(places, means, 0.6, yerr=deviations, capsize=4, color=[COLOURS[level] for level in levels])
        axis.set_xticks(
            places, [f"{NAMES[level]}\nn = {len(group)}" for level, group in zip(levels, groups, strict=True)]
        )
        for place, mean, deviation in zip(places, means, deviations, strict=True):
            told = f"mean {mean:.3f}\nSD {deviation:.3f}"
            inside = mean > 0.15  # a lower bar has no room for it
            at = 0.03 if inside else mean + np.nan_to_num(deviation) + 0.02
            colour = "white" if inside else "black"
            axis.text(place, at, told, ha="center", va="bottom", fontsize=8, color=colour, weight="bold")
        axis.set_xlabel(factor.capitalize())
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(0, 1.05)
    axes[0].set_ylabel(textwrap.fill(label, 28))
    caption = f"{label} by heatmap (left) and scores (right); bars are standard deviations over participants."
    yield f"figure-{number}", caption, figure


def _percentages(
    number: str, image_class: str, shares: Mapping[str, Mapping[str, float]], group_of: Mapping[str, str]
) -> tuple[str, str, Any]:
    figure, axes = _figure(8, 6.4, rows=2)
    heatmaps = list(shares)
    width = 0.8 / len(heatmaps)
    for axis, group in zip(axes, ("saliency", "general"), strict=True):
        codes = sorted({code for one in shares.values() for code in one if group_of[code] == group})
        codes.sort(key=lambda code: -max(shares[heatmap].get(code, 0) for heatmap in heatmaps))
        places = np.arange(len(codes))
        for at, heatmap in enumerate(heatmaps):
            values = [shares[heatmap].get(code, 0) for code in codes]
            axis.bar(
                places + (at - (len(heatmaps) - 1) / 2) * width,
                values,
                width,
                color=COLOURS[heatmap],
                label=NAMES[heatmap],
            )
        axis.set_xticks(places, [_shown(code) for code in codes], rotation=35, ha="right")
        axis.set_ylabel(
            f"% of answers,\n{'saliency features' if group == 'saliency' else 'general attributes'}"
        )
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    caption = f"Percentage of {image_class} answers with each saliency feature (top) and general attribute (bottom)."
    return f"figure-{number}", caption, figure


def _shown(code: str) -> str:
    """A code as text of a figure: a long one is cut; a dollar sign is one, not the beginning of a formula."""
    code = code if len(code) <= LONGEST else f"{code[: LONGEST - 3]}..."
    return code.replace("_", " ").replace("$", r"\$")


def _boxes(study: Study) -> tuple[str, str, Any]:
    table = measures.accuracy(study)
    figure, axis = _figure(6, 3.8)
    levels = [level for level in table["heatmap"].cat.categories if (table["heatmap"] == level).any()]
    groups = [table["correct"][table["heatmap"] == level].to_numpy() for level in levels]
    drawn = axis.boxplot(groups, widths=0.5, patch_artist=True, medianprops={"color": "black"})
    for patch, level in zip(drawn["boxes"], levels, strict=True):
        patch.set_facecolor(COLOURS[level])
        patch.set_alpha(0.6)
    axis.set_xticks(np.arange(1, len(levels) + 1), [NAMES[level] for level in levels])
    axis.set_ylabel("Correct answers")
    axis.spines[["top", "right"]].set_visible(False)
    return (
        "figure-29",
        "Correct answers of each participant by heatmap; boxes are quartiles, whiskers 1.5 of their range.",
        figure,
    )
