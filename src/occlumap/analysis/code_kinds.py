"""Differences between kinds of codes (saliency features, general attributes) by heatmap, participants the unit."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from occlumap.analysis import group_tests, measures
from occlumap.analysis.effect_intervals import standardised_differences
from occlumap.analysis.linear_models import adjusted
from occlumap.analysis.tables import GROUPS, Study


def mentions(study: Study) -> Any:
    """Participants whose codes are analysed, with `saliency` and `general`: codes of the kind an answer that was
    given; and their `difference`, made of counts, so that equal ones are the same number.
    """
    given = measures.analysed_answers(study)
    codes = measures.analysed_codes(study)
    people = given.groupby("participant_id").agg(answers=("task_id", "size"), heatmap=("heatmap", "first"))
    saliency, general = (
        codes[codes["group"] == kind].groupby("participant_id").size().reindex(people.index, fill_value=0)
        for kind in GROUPS
    )
    return people.assign(
        saliency=saliency / people["answers"],
        general=general / people["answers"],
        difference=(saliency - general) / people["answers"],
    )


def kind_results(study: Study) -> Iterator[tuple[str, Any]]:
    """`kinds_within`: for each heatmap, saliency features against general attributes of the same people (Wilcoxon
    1945). `kinds_between`: for each kind, each pair of heatmaps of which one varies (Welch's t test).
    `by_heatmap`: for each code, all heatmaps (Kruskal-Wallis of people's shares of answers). Each family of p values is
    adjusted by Holm's method.
    """
    from scipy import stats

    people = mentions(study)
    heatmaps = [
        name for name in study.participants["heatmap"].cat.categories if (people["heatmap"] == name).any()
    ]
    within: dict[str, dict[str, Any]] = {}
    for heatmap in heatmaps:
        part = people[people["heatmap"] == heatmap]
        differences = part["difference"].to_numpy()
        mean, n = float(differences.mean()), len(differences)
        reach = float(stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
        within[heatmap] = {
            "n": n,
            "saliency": float(part["saliency"].mean()),
            "general": float(part["general"].mean()),
            "difference": mean,
            "lower": mean - reach,
            "upper": mean + reach,
            "p": float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0,
        }
    yield "kinds_within", _with_holm(within)

    between: dict[str, dict[str, Any]] = {}
    for kind in GROUPS:
        groups = {
            name: people[kind][people["heatmap"] == name].to_numpy(dtype=np.float64) for name in heatmaps
        }
        sizes = standardised_differences(groups)
        for one, other in combinations(heatmaps, 2):
            if not group_tests.varies(groups[one], groups[other]):
                continue
            test = stats.ttest_ind(groups[other], groups[one], equal_var=False)
            interval = test.confidence_interval()
            between[f"{kind}: {other}-{one}"] = {
                "difference": float(groups[other].mean() - groups[one].mean()),
                "lower": float(interval.low),
                "upper": float(interval.high),
                "d": sizes[f"{other}-{one}"]["d"],
                "d_lower": sizes[f"{other}-{one}"]["lower"],
                "d_upper": sizes[f"{other}-{one}"]["upper"],
                "t": float(test.statistic),
                "df": float(test.df),
                "p": float(test.pvalue),
            }
    yield "kinds_between", _with_holm(between)

    codes = measures.analysed_codes(study)
    by_code: dict[str, dict[str, Any]] = {}
    for code, part in codes.groupby("code"):
        counts = part.groupby("participant_id").size().reindex(people.index, fill_value=0)
        shares = (counts / people["answers"]).to_numpy(dtype=np.float64)
        groups = group_tests.groups_of(shares, people["heatmap"].astype(str).to_numpy(), heatmaps)
        test = group_tests.kruskal(groups)
        row: dict[str, Any] = {name: 100 * float(values.mean()) for name, values in groups.items()}
        by_code[str(code)] = row | {"H": test["H"], "df": test["df"], "p": test["p"]}
    yield "by_heatmap", _with_holm(by_code)


def _with_holm(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows with `p_holm` over those that have a p."""
    for row, p in zip(rows.values(), adjusted([row["p"] for row in rows.values()], "holm"), strict=True):
        row["p_holm"] = p
    return rows
