"""Results of prediction accuracy: tests, boxes, by outcome, signal detection."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from occlumap.analysis import effect_intervals, generalised_models, group_tests, measures
from occlumap.analysis import linear_models as linear
from occlumap.analysis.linear_results import TERMS, counts, linear_section, measure_varies, tell_left_out
from occlumap.analysis.results import Results
from occlumap.analysis.tables import Study
from occlumap.errors import ArgumentError


def outcomes(answers: Any) -> list[str]:
    """The outcomes that occur in a table of answers, in the order TP, FP, FN, TN."""
    there = set(answers["outcome"])
    return [name for name in ("TP", "FP", "FN", "TN") if name in there]


def accuracy_results(found: Results, study: Study) -> None:
    """Put all of accuracy into `found`, and what of it cannot be had."""
    table = measures.accuracy(study)
    for heatmap in table["heatmap"].cat.categories:
        if not (table["heatmap"] == heatmap).any():
            found.problems[f"accuracy.descriptives.heatmap.{heatmap}"] = "every answer is missing"
    for cell in measures.cells(study):
        if not (table["cell"] == cell).any():
            found.problems[f"accuracy.descriptives.cell.{cell}"] = "every answer is missing"
    if measure_varies(found, table, "accuracy"):
        _accuracy_tests(found, table, study)

    def boxes() -> Iterator[tuple[str, Any]]:
        yield (
            "n_correct",
            {
                heatmap: {
                    kind: group_tests.box(table["correct"][table["heatmap"] == heatmap].to_numpy(), kind)
                    for kind in ("hinges", "type7")
                }
                for heatmap in table["heatmap"].cat.categories
                if (table["heatmap"] == heatmap).any()
            },
        )

    found.add("accuracy.boxplot", boxes)
    given = measures.answers(study)
    for outcome in outcomes(study.responses):
        if outcome not in outcomes(given):
            found.problems[f"accuracy.by_outcome.{outcome}"] = "every answer is missing"
    found.add("accuracy.by_outcome", lambda: iter([("", _by_outcome(given))]))
    found.add("accuracy.by_outcome_heatmap", lambda: iter([("", _by_outcome_heatmap(given))]))

    def detection() -> Iterator[tuple[str, Any]]:
        rows = _signal_detection(given)
        for name in [name for name, row in rows.items() if not row["signal"] or not row["noise"]]:
            found.problems[f"accuracy.signal_detection.{name}"] = (
                "no answers to tasks that the system recognises, or none to tasks that it does not"
            )
            del rows[name]
        yield "", rows

    found.add("accuracy.signal_detection", detection)
    if "accuracy.signal_detection" in found.values:
        rows = found.values["accuracy.signal_detection"]
        found.add(
            "accuracy.signal_detection_intervals",
            lambda: iter([("", {name: effect_intervals.d_prime(row) for name, row in rows.items()})]),
        )


def _accuracy_tests(found: Results, table: Any, study: Study) -> None:
    """The linear models of accuracy, of all and of parts of the people, and the quasi-binomial one."""
    found.add("accuracy", lambda: linear_section(table, "accuracy", study))
    tell_left_out(found, table, "accuracy")

    def quasi() -> Iterator[tuple[str, Any]]:
        model = linear.design(table, TERMS)
        counts = table["correct"].to_numpy(np.float64), table["answered"].to_numpy(np.float64)
        yield "", generalised_models.quasibinomial_anova(model, *counts)

    found.add("accuracy.quasibinomial.type2", quasi)

    def original() -> Iterator[tuple[str, Any]]:
        part = table[table["source"] == "original"]
        if len(part):
            part = part.assign(heatmap=part["heatmap"].cat.remove_unused_categories())
            model = linear.fit(linear.design(part, TERMS), part["accuracy"].to_numpy(np.float64))
            yield "type2", linear.anova(model, 2)

    found.add("accuracy.original_only.anova", original)

    def screened() -> Iterator[tuple[str, Any]]:
        part = table[table["screening_passed"] == 1]
        model = linear.fit(linear.design(part, TERMS), part["accuracy"].to_numpy(np.float64))
        yield "design", counts(part, measures.cells(study))
        for type_ in (1, 2, 3):
            yield f"anova.type{type_}", linear.anova(model, type_)

    found.add("accuracy.screened", screened)


def _by_outcome(given: Any) -> dict[str, Any]:
    from scipy import stats

    table = {}
    for outcome in outcomes(given):
        part = given[given["outcome"] == outcome]
        correct, n = int(part["correct"].sum()), len(part)
        test = stats.binomtest(correct, n, 0.5)
        wilson, clopper = test.proportion_ci(method="wilson"), test.proportion_ci(method="exact")
        people = part.groupby("participant_id")["correct"].mean().to_numpy()
        # people who are all the same tell no error: one value less leaves it undefined
        t = stats.ttest_1samp(people if group_tests.varies(people) else people[:1], 0.5)
        interval = t.confidence_interval()
        table[outcome] = {
            "correct": correct,
            "n": n,
            "proportion": correct / n,
            "wilson_lower": wilson.low,
            "wilson_upper": wilson.high,
            "clopper_lower": clopper.low,
            "clopper_upper": clopper.high,
            "binomial_p_vs_half": test.pvalue,
            "participant_mean": people.mean(),
            "participant_t_vs_half": t.statistic,
            "participant_df": t.df,
            "participant_p_vs_half": t.pvalue,
            "participant_ci_lower": interval.low,
            "participant_ci_upper": interval.high,
        }
    return table


def _by_outcome_heatmap(given: Any) -> dict[str, Any]:
    table = {}
    for heatmap in given["heatmap"].cat.categories:
        for outcome in outcomes(given):
            part = given[(given["heatmap"] == heatmap) & (given["outcome"] == outcome)]["correct"]
            table[f"{heatmap}:{outcome}"] = {
                "correct": int(part.sum()),
                "n": len(part),
                "proportion": part.mean() if len(part) else None,
            }
    return table


def _signal_detection(given: Any) -> dict[str, Any]:
    """D' and criterion with the log-linear correction (Hautus 1995): yes to TP and FP are hits, to FN and TN false
    alarms.
    """
    from scipy import stats

    table = {}
    signal = given["outcome"].isin(["TP", "FP"])
    if signal.all() or not signal.any():
        raise ArgumentError(
            "expected tasks that the system recognises and tasks that it does not, got one kind only"
        )
    for name in ("all", *given["heatmap"].cat.categories):
        part = given if name == "all" else given[given["heatmap"] == name]
        yes, present = part["answer"] == "yes", part["outcome"].isin(["TP", "FP"])
        hits, count = int((yes & present).sum()), int(present.sum())
        alarms, noise = int((yes & ~present).sum()), int((~present).sum())
        z_hit, z_alarm = stats.norm.ppf([(hits + 0.5) / (count + 1), (alarms + 0.5) / (noise + 1)])
        table[name] = {
            "hits": hits,
            "signal": count,
            "false_alarms": alarms,
            "noise": noise,
            "hit_rate": hits / count if count else None,
            "false_alarm_rate": alarms / noise if noise else None,
            "d_prime": z_hit - z_alarm,
            "criterion": -(z_hit + z_alarm) / 2,
        }
    return table
