"""Sections of the report on what the text reports itself: the data, its tests and its figures' numbers."""

from collections.abc import Mapping
from typing import Any

from occlumap.analysis import wording
from occlumap.analysis.document import Section
from occlumap.analysis.results import Results
from occlumap.analysis.tables import Study

R_CALLS = {
    "anova.type1": "anova(lm(y ~ heatmap * scores))",
    "anova.type2": "car::Anova(lm(y ~ heatmap * scores), type = 2)",
    "anova.type3": "car::Anova(lm(y ~ heatmap * scores), type = 3), contr.sum",
    "white": 'car::Anova(m, type, white.adjust = "hc0" ... "hc4")',
    "pairs": 'pairs(emmeans(m, ~ heatmap), adjust = "tukey")',
    "tukeyhsd": 'TukeyHSD(aov(y ~ heatmap * scores), "heatmap")',
    "kruskal": "kruskal.test(y ~ cell)",
    "glmm": "lme4::glmer(correct ~ heatmap * scores + (1|participant) + (1|task), binomial, nAGQ = 1)",
    "clmm": "ordinal::clmm(confidence ~ heatmap * scores + (1|participant) + (1|task))",
    "betabinomial": "glmmTMB(cbind(saliency, general) ~ heatmap * scores, betabinomial)",
    "descriptives": "tapply(y, group, mean), sd, quantile(type = 7), fivenum",
    "outcome": "prop.test, binom.test, t.test of participants' shares",
}


def design(section: Section, study: Study, results: Results) -> None:
    """What was read, and how many in each cell."""
    values = results.values
    section.paragraphs.append(
        f"{values['design.participants']} participants, {values['design.responses']} answers to "
        f"{study.responses['task_id'].nunique()} tasks ({values['design.responses_missing']} missing), "
        f"{values['design.codes_total']} codes. {values['design.participants_features']} participants are analysed for "
        "features. Outcomes of the tasks: "
        + ", ".join(f"{count} {name}" for name, count in values["design.tasks_per_outcome"].items())
        + f". Always answering yes would be right in {_always_yes(values):.0%} of the tasks."
    )
    sources = study.participants["source"].value_counts()
    section.paragraphs.append(
        "Sources: " + ", ".join(f"{name} ({count})" for name, count in sources.items()) + "."
    )
    section.paragraphs += list(study.remarks)
    section.paragraphs += [f"Left out: {name}: {why}" for name, why in results.problems.items()]
    section.paragraphs += [f"Caution: {name}: {why}" for name, why in results.cautions.items()]
    cells = {
        name: {"participants": count, "analysed for features": values["design.cells_features"][name]}
        for name, count in values["design.cells"].items()
    }
    section.show("Cells of the design", cells, "design.cells; table(heatmap:scores)", "heatmap:scores")


def _always_yes(values: Mapping[str, Any]) -> float:
    tasks = values["design.tasks_per_outcome"]
    return float(sum(tasks.get(name, 0) for name in ("TP", "FP")) / sum(tasks.values()))


def _linear(section: Section, results: Results, measure: str, of: str) -> None:
    values = results.values
    title = section.title
    if f"{measure}.anova.type2" not in values:
        section.paragraphs.append(f"Not to be had: {results.problems.get(measure, 'no data')}")
        return
    section.show(
        f"{title} by cell",
        values[f"{measure}.descriptives.cell"],
        f"{measure}.descriptives.cell; R: {R_CALLS['descriptives']}",
        "cell",
    )
    section.show(
        f"{title} by heatmap",
        values[f"{measure}.descriptives.heatmap"],
        f"{measure}.descriptives.heatmap; R: {R_CALLS['descriptives']}",
        "heatmap",
    )
    if f"{measure}.shapiro.raw" in values:
        section.tell(f"{measure}.shapiro.raw", wording.normality(values[f"{measure}.shapiro.raw"], of))
    if f"{measure}.levene.median" in values:
        section.tell(f"{measure}.levene.median", wording.variances(values[f"{measure}.levene.median"], of))


def _effects(section: Section, key: str, table: Mapping[str, Any], of: str) -> None:
    df = table["residual"]["df"]
    section.tell(
        key, *(wording.effect(term, row, df, of) for term, row in table.items() if term != "residual")
    )


def _effect_tables(section: Section, values: Mapping[str, Any], measure: str, of: str = "the ANOVA") -> None:
    if f"{measure}.effects.intervals" in values:
        section.show(
            f"Effect sizes of {of}, with 90 % intervals (Steiger)",
            values[f"{measure}.effects.intervals"],
            f"{measure}.effects.intervals; R: effectsize::eta_squared and cohens_f of car::Anova(m, type = 2), "
            'ci = .9, alternative = "two.sided"',
            "term",
        )
    if f"{measure}.effects.cohens_d" in values:
        section.show(
            "Standardised differences, d with 95 % intervals",
            values[f"{measure}.effects.cohens_d"],
            f"{measure}.effects.cohens_d; R: effectsize::cohens_d",
            "pair",
        )


def accuracy(section: Section, results: Results) -> None:
    """Prediction accuracy (section 6.1)."""
    values, of = results.values, "prediction accuracy"
    _linear(section, results, "accuracy", of)
    if "accuracy.anova.type2" in values:
        table = values["accuracy.anova.type2"]
        _effects(section, "accuracy.anova.type2", table, of)
        section.show("Two-way ANOVA", table, f"accuracy.anova.type2; R: {R_CALLS['anova.type2']}", "term")
        section.show(
            "Differences",
            values["accuracy.pairs.heatmap.tukey"],
            f"accuracy.pairs.heatmap.tukey; R: {R_CALLS['pairs']}",
            "pair",
        )
        _effect_tables(section, values, "accuracy")
    if "accuracy.by_outcome" in values:
        for outcome, row in values["accuracy.by_outcome"].items():
            section.tell(
                "accuracy.by_outcome",
                f"{outcome}: {row['proportion']:.1%} of {row['n']} answers are right, {wording.chance(row)}.",
            )
        section.show(
            "Accuracy by outcome",
            values["accuracy.by_outcome"],
            f"accuracy.by_outcome; R: {R_CALLS['outcome']}",
            "outcome",
        )


def confidence(section: Section, results: Results) -> None:
    """Confidence (section 6.2)."""
    values = results.values
    if "confidence.kruskal.participant_median" not in values:
        why = results.problems.get("confidence.kruskal.participant_median", "no ratings")
        section.paragraphs.append(f"Left out: {results.problems.get('confidence', why)}")
    else:
        section.tell(
            "confidence.median", f"The median of all answers is {values['confidence.median']:g} of 1 to 4."
        )
        told = wording.ranks(
            values["confidence.kruskal.participant_median"], "participants' median confidence"
        )
        empty = [
            name for name in values.get("design.cells", ()) if name not in values["confidence.counts_by_cell"]
        ]
        if empty:
            told += f" Nobody of {', '.join(empty)} has a rating: the comparison is without."
        section.tell("confidence.kruskal.participant_median", told)
        section.show(
            "Kruskal-Wallis of participants' medians, between cells",
            {"cells": values["confidence.kruskal.participant_median"]},
            f"confidence.kruskal.participant_median; R: {R_CALLS['kruskal']}",
        )
        section.show(
            "Answers by cell",
            values["confidence.counts_by_cell"],
            "confidence.counts_by_cell; R: table(cell, confidence)",
            "cell",
        )
        if "confidence.kruskal_effects.participant_median" in values:
            rows = {
                f"participants' {kind}": values[f"confidence.kruskal_effects.participant_{kind}"]
                for kind in ("median", "mean")
                if f"confidence.kruskal_effects.participant_{kind}" in values
            }
            section.tell(
                "confidence.kruskal_effects",
                "Epsilon squared cannot be below 0, and its interval hardly holds 0: read it as a size, not as a test.",
            )
            section.show(
                "Effect sizes of Kruskal-Wallis, with 95 % bootstrap intervals",
                rows,
                "confidence.kruskal_effects; R: effectsize::rank_epsilon_squared",
                "measure",
            )


def ratio(section: Section, results: Results) -> None:
    """Saliency-feature ratio (section 6.3.3)."""
    values, of = results.values, "saliency-feature ratio"
    _linear(section, results, "ratio", of)
    if "ratio.white.type2.hc3" in values:
        table = values["ratio.white.type2.hc3"]
        _effects(section, "ratio.white.type2.hc3", table, f"the {of}")
        section.tell(
            "ratio.pairs.heatmap.tukey", wording.pairs(values["ratio.pairs.heatmap.tukey"], f"the {of}")
        )
        section.show(
            "Two-way ANOVA, White-corrected (HC3)",
            table,
            f"ratio.white.type2.hc3; R: {R_CALLS['white']}",
            "term",
        )
        section.show(
            "Differences, without White's correction",
            values["ratio.pairs.heatmap.tukey"],
            f"ratio.pairs.heatmap.tukey; R: {R_CALLS['pairs']}",
            "pair",
        )
        _effect_tables(section, values, "ratio", "the ANOVA without White's correction")


def _kinds(section: Section, values: Mapping[str, Any]) -> None:
    """Saliency features against general attributes by heatmap, and each code over the heatmaps."""
    if "codes.kinds_within" in values:
        for heatmap, row in values["codes.kinds_within"].items():
            section.tell("codes.kinds_within", wording.kinds(heatmap, row))
        section.show(
            "Codes an answer by kind, within each heatmap",
            values["codes.kinds_within"],
            "codes.kinds_within; R: wilcox.test(saliency, general, paired = TRUE, correct = FALSE), p.adjust holm",
            "heatmap",
        )
    for key, title, call in (
        ("kinds_between", "Codes an answer of each kind, between heatmaps", "t.test, p.adjust holm"),
        (
            "by_heatmap",
            "Each code, percent of a participant's answers, between all heatmaps",
            "kruskal.test, p.adjust holm",
        ),
    ):
        rows = values.get(f"codes.{key}")
        if rows:
            tested = [name for name, row in rows.items() if isinstance(row["p_holm"], float)]
            told = [name for name in tested if rows[name]["p_holm"] < wording.ALPHA]
            section.tell(
                f"codes.{key}",
                f"{title}, participants as the unit: {'differences in ' if told else 'no difference is shown'}"
                f"{', '.join(told)} after Holm's correction of {wording.tests(len(tested))}.",
            )
            section.show(title, rows, f"codes.{key}; R: {call}", "")


def reliability(section: Section, results: Results) -> None:
    """How far the coders agree."""
    values = results.values
    rows = {}
    for level in ("code", "group"):
        for name in ("cohen_ab", "cohen_ac", "fleiss", "krippendorff_ab", "krippendorff_abc"):
            row = values.get(f"reliability.{level}.{name}")
            if row:
                rows[f"{level}, {name}"] = {
                    "agreement": row.get("kappa", row.get("alpha")),
                    "lower": row.get("ci_lower"),
                    "upper": row.get("ci_upper"),
                }
    if rows:
        section.paragraphs.append(
            "Intervals are asymptotic for Cohen's kappa (Fleiss, Cohen & Everitt 1969), and a bootstrap over the "
            "segments for Fleiss' and Krippendorff's (Zapf et al. 2016), as if segments were independent."
        )
        section.show(
            "Kappa and alpha of codes and of their groups, with 95 % intervals",
            rows,
            "reliability.code, reliability.group; R: psych::cohen.kappa, irr::kripp.alpha",
            "",
        )
    else:
        section.paragraphs.append(f"Left out: {results.problems.get('reliability', 'no double coding')}")


def codes(section: Section, results: Results) -> None:
    """Percentages of answers with each code, and how heatmaps differ in them (section 6.3)."""
    values = results.values
    _kinds(section, values)
    if "codes.occlusion_vs_lrp" in values:
        compared = values["codes.occlusion_vs_lrp"]
        told = [code for code, row in compared["codes"].items() if row["p_holm"] < wording.ALPHA]
        section.tell(
            "codes.occlusion_vs_lrp",
            f"Answers with each code, answers as the unit, as if independent: occlusion and LRP differ in "
            f"{', '.join(told) or 'no code'} after Holm's correction of {wording.tests(compared['family_size'])}. "
            "A test with answers as the unit may show what one with participants does not.",
        )
        section.show(
            "Occlusion and LRP, answers with each code",
            {
                code: row
                | {
                    f"conditional_{name}": value
                    for name, value in values["codes.occlusion_vs_lrp_odds_ratio_intervals"][code].items()
                }
                for code, row in compared["codes"].items()
            },
            "codes.occlusion_vs_lrp; R: fisher.test",
            "code",
        )
