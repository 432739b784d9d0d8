"""Measures of a study: one row a participant, one row an answer; what is counted, what is left out."""

from typing import Any

import numpy as np

from occlumap.analysis.tables import Study


def accuracy(study: Study) -> Any:
    """Participants with `correct`, `answered` and `accuracy` = correct / answered (section 6.1).

    A missing answer is in neither number: counted as wrong it would pull its participant down.
    """
    by_person = study.responses.groupby("participant_id")["correct"]
    table = study.participants.set_index("participant_id")
    counted = table.assign(correct=by_person.sum(), answered=by_person.count())
    counted = counted[counted["answered"] > 0]
    return _with_cell(counted.assign(accuracy=counted["correct"] / counted["answered"]))


def ratio(study: Study) -> Any:
    """Participants with `saliency`, `codes` and `ratio` = saliency-feature codes / all codes (section 6.3.3).

    Of `analysed_people`, those without a code are left out. The codes of all answers of a participant are
    pooled first: the mean of the answers' ratios is another number.
    """
    table = analysed_people(study).set_index("participant_id")
    counts = study.codes.groupby("participant_id")["group"].agg(
        codes="size", saliency=lambda groups: int((groups == "saliency").sum())
    )
    table = table.join(counts, how="inner")
    return _with_cell(table.assign(ratio=table["saliency"] / table["codes"]))


def confidence(study: Study) -> Any:
    """Participants with `median` and `mean` of their confidence, 1 to 4 (section 6.2)."""
    by_person = study.responses.dropna(subset=["confidence"]).groupby("participant_id")["confidence"]
    table = study.participants.set_index("participant_id").join(
        by_person.agg(["median", "mean"]), how="inner"
    )
    return _with_cell(table)


def answers(study: Study) -> Any:
    """Answers that were given, with their participant's heatmap, scores and cell."""
    people = study.participants.set_index("participant_id")[["heatmap", "scores"]]
    given = study.responses.dropna(subset=["correct"]).join(people, on="participant_id")
    return _with_cell(given)


def analysed_people(study: Study) -> Any:
    """Participants who are not excluded from features, of exports and sources in which somebody has a code."""
    people = study.participants
    return people[(people["excluded_from_features"] == 0) & people["coded"]]


def analysed_answers(study: Study) -> Any:
    """`answers` of `analysed_people`."""
    given = answers(study)
    return given[given["participant_id"].isin(analysed_people(study)["participant_id"])]


def analysed_codes(study: Study) -> Any:
    """Codes of `analysed_people`, with heatmap and image class, of answers that were given."""
    keys = analysed_answers(study)[["participant_id", "task_id", "heatmap", "image_class"]]
    return study.codes.merge(keys, on=["participant_id", "task_id"], how="inner")


def cells(study: Study) -> list[str]:
    """The cells of the design, "heatmap:scores", in order."""
    heatmaps = study.participants["heatmap"].cat.categories
    return [
        f"{heatmap}:{scores}"
        for heatmap in heatmaps
        for scores in study.participants["scores"].cat.categories
    ]


def _with_cell(table: Any) -> Any:
    return table.assign(cell=table["heatmap"].astype(str) + ":" + table["scores"].astype(str))


def numbered(column: Any) -> Any:
    """The values of a column numbered from 0 in their order, (n,)."""
    return np.unique(column, return_inverse=True)[1]
