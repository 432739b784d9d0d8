"""What pages show of a stimulus set and of texts, by condition."""

import re
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from occlumap.study.domain import texts
from occlumap.study.domain.configuration import Configuration

CONFIDENCE = (
    (1, "extremely unconfident"),
    (2, "slightly unconfident"),
    (3, "slightly confident"),
    (4, "extremely confident"),
)
OUTCOMES = {
    "TP": ("✓", "True positive: the photo shows it and the system recognises it"),
    "FP": ("✗", "False positive: the photo does not show it, and the system sees it"),
    "FN": ("✗", "False negative: the photo shows it, and the system fails to see it"),
    "TN": ("✓", "True negative: the photo does not show it, and the system does not see it"),
}


def markdown(text: str) -> SafeString:
    """Markdown as safe HTML: whatever is no plain mark-up is taken out."""
    import markdown as library
    import nh3

    return mark_safe(nh3.clean(library.markdown(text, extensions=["tables"])))  # noqa: S308 - cleaned


def with_figures(text: str, study: Configuration, heatmap: str, scores: str) -> SafeString:
    """Markdown as safe HTML, with the figures for whose marks it has paragraphs of their own: see texts.FIGURES.

    A condition without heatmaps or scores shows none here either.
    """

    def figures(match: re.Match[str]) -> str:
        names = re.findall(r"\w+", match[1])
        return "".join(
            render_to_string(template, context)
            for template, context in _figures(
                [one for one in names if one in texts.FIGURES], study, heatmap, scores
            )
        )

    return mark_safe(re.sub(r"<p>((?:\s*\[\[\w+\]\])+)\s*</p>", figures, markdown(text)))  # noqa: S308 - templates


def _figures(
    names: list[str], study: Configuration, heatmap: str, scores: str
) -> list[tuple[str, dict[str, Any]]]:
    """(template, context) of the figures of one paragraph: examples stand side by side."""
    found: list[tuple[str, dict[str, Any]]] = []
    examples = []
    for name in names:
        if name in texts.FORMS:
            context = {"class": study.classes[0], "confidence": CONFIDENCE, "given": {}}
            found.append(("participants/shown_form.html", {**context, "part": name}))
            continue
        kind, _, outcome = name.partition("_")
        known = study.example(outcome)
        needs = {"scored": scores == "shown", "heatmap": heatmap != "none"}
        if known is None or not needs.get(kind, True):
            continue
        example = _example(
            study,
            *known,
            "none" if kind in ("photo", "scored") else heatmap,
            "not_shown" if kind in ("photo", "heatmap") else scores,
        )
        examples.append({**example, "explained": kind == "anatomy"})
    return [*([("participants/shown_examples.html", {"examples": examples})] if examples else []), *found]


def task_context(study: Configuration, task: dict[str, Any], heatmap: str, scores: str) -> dict[str, Any]:
    """What the page of a task shows: examples with outcome, heatmap and score where shown; of the task its image
    only.
    """
    return {
        "examples": [_example(study, one, task["class"], heatmap, scores) for one in task["examples"]],
        "class": task["class"],
        "image": task["image"],
        "confidence": CONFIDENCE,
    }


def _example(
    study: Configuration, example: dict[str, Any], asked: str, heatmap: str, scores: str
) -> dict[str, Any]:
    """What is shown of an example of a task that asks for a class; `heatmap` and `score` are None where not shown."""
    mark, told = OUTCOMES[example["outcome"]]
    score, threshold = float(example["scores"][asked]), float(study.manifest["thresholds"][asked])
    return {
        "outcome": example["outcome"],
        "mark": mark,
        "told": told,
        "class": asked,
        "image": example["image"],
        "heatmap": example.get("heatmaps", {}).get(heatmap) if heatmap != "none" else None,
        "score": f"{score:.2f}" if scores == "shown" else None,
        "side": "above" if score > threshold else "below",
        "width": round(100 * score),
        "threshold": f"{threshold:.2f}",
        "threshold_at": round(100 * threshold),
        "threshold_edge": round(100 * threshold) - 1,
    }
