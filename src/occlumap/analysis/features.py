"""Mentioned features: percentages of answers with each code, and differences between occlusion and LRP (section
6.3.3).
"""

from collections.abc import Iterator
from typing import Any

from occlumap.analysis import measures
from occlumap.analysis.linear_models import adjusted
from occlumap.analysis.tables import Study
from occlumap.errors import ArgumentError

TOLD_BY_PARTICIPANT = ("neck", "face", "nose")
"""Codes that the text speaks of by participants; those that a study does not have are left out."""


def percentages(study: Study) -> dict[str, Any]:
    """By image class and heatmap: answers given, answers with any code, and for each code of the class count and
    percent.

    Answers without a code stay in the denominator; missing answers and excluded participants are in neither.
    """
    given = measures.analysed_answers(study)
    codes = measures.analysed_codes(study)
    table = {}
    for image_class in sorted(given["image_class"].unique()):
        for heatmap in given["heatmap"].cat.categories:
            part = codes[(codes["image_class"] == image_class) & (codes["heatmap"] == heatmap)]
            answers = int(((given["image_class"] == image_class) & (given["heatmap"] == heatmap)).sum())
            counts = part["code"].value_counts().sort_index()
            table[f"{image_class}:{heatmap}"] = {
                "answers": answers,
                "answers_with_code": len(part.drop_duplicates(["participant_id", "task_id"])),
                "count": {code: int(count) for code, count in counts.items()},
                "percent": {code: 100 * count / answers for code, count in counts.items()},
            }
    return table


def code_results(study: Study) -> Iterator[tuple[str, Any]]:
    """Percentages, and for each code a comparison of occlusion with LRP, by answers and by participants.

    ArgumentError, after the percentages, when no answers of one of the two are analysed.
    """
    yield "percent", percentages(study)
    given = measures.analysed_answers(study)
    codes = measures.analysed_codes(study)
    totals = {name: int((given["heatmap"] == name).sum()) for name in ("occlusion", "lrp")}
    absent = [name for name, count in totals.items() if not count]
    if absent:
        raise ArgumentError(
            f"expected occlusion and lrp to compare their codes, got no answers with {' and '.join(absent)}"
        )
    compared, odds = {}, {}
    for code in sorted(codes["code"].unique()):
        counts = {name: int(((codes["code"] == code) & (codes["heatmap"] == name)).sum()) for name in totals}
        if sum(counts.values()) == 0:
            continue
        compared[code], odds[code] = _compared(counts, totals)
    p = [row["fisher_p"] for row in compared.values()]
    for method in ("holm", "BH", "bonferroni"):
        for row, value in zip(compared.values(), adjusted(p, method), strict=True):
            row[f"p_{method}"] = value
    yield "occlusion_vs_lrp", {"answers": totals, "family_size": len(compared), "codes": compared}
    yield "occlusion_vs_lrp_conditional_odds_ratio", {code: pair[0] for code, pair in odds.items()}
    yield (
        "occlusion_vs_lrp_odds_ratio_intervals",
        {
            code: {"odds_ratio": value, "lower": interval[0], "upper": interval[1]}
            for code, (value, interval) in odds.items()
        },
    )
    people = given.drop_duplicates("participant_id")
    numbers = {name: int((people["heatmap"] == name).sum()) for name in totals}
    mentions = codes.drop_duplicates(["participant_id", "code"])
    table = {}
    for code in TOLD_BY_PARTICIPANT:
        counts = {
            name: int(((mentions["code"] == code) & (mentions["heatmap"] == name)).sum()) for name in totals
        }
        if sum(counts.values()):
            found, _ = _compared(counts, numbers)
            table[code] = {
                **counts,
                **{f"n_{name}": number for name, number in numbers.items()},
                "fisher_p": found["fisher_p"],
            }
    yield "participants_occlusion_vs_lrp", table


def _compared(
    counts: dict[str, int], totals: dict[str, int]
) -> tuple[dict[str, Any], tuple[float, tuple[float, float]]]:
    """Fisher's exact test, chi-square without correction, the sample odds ratio, and the conditional one with its
    exact 95 % interval, of a table of two by two.
    """
    import numpy as np
    from scipy import stats
    from scipy.stats.contingency import odds_ratio

    table = np.array([[counts[name], totals[name] - counts[name]] for name in counts])
    fisher = stats.fisher_exact(table)
    chi2, chi2_p = (
        stats.chi2_contingency(table, correction=False)[:2]
        if (table.sum(axis=0) > 0).all()
        else (np.nan, np.nan)
    )
    row = {
        **counts,
        "fisher_p": float(fisher.pvalue),
        "sample_odds_ratio": float(fisher.statistic),
        "chi2": float(chi2),
        "chi2_p": float(chi2_p),
    }
    conditional = odds_ratio(table, kind="conditional")
    interval = conditional.confidence_interval(0.95)
    return row, (float(conditional.statistic), (float(interval.low), float(interval.high)))
