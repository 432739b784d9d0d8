"""The report of a study: one document of sections, written as self-contained HTML and as PDF."""

import html
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from occlumap.analysis import wording
from occlumap.analysis.figures import figures, svg
from occlumap.analysis.plan import covers_time
from occlumap.analysis.published import recompute
from occlumap.analysis.results_by_id import Results
from occlumap.analysis.tables import Study

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """`header` and `rows` as text; `call`: what makes it, here and in R."""

    title: str
    header: Sequence[str]
    rows: Rows
    call: str


@dataclass
class Section:
    """A heading with paragraphs, tables and figures. `exploratory`: it is not in the frozen plan, if there is one.

    `told_of`: the id of the result that a paragraph tells of.
    """

    title: str
    paragraphs: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[tuple[str, str, Any]] = field(default_factory=list)
    exploratory: bool | None = None
    told_of: dict[str, str] = field(default_factory=dict)

    def tell(self, of: str, *texts: str) -> None:
        """Add paragraphs that tell of the result `of`."""
        self.paragraphs += texts
        self.told_of |= dict.fromkeys(texts, of)


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
    "outcome": "prop.test, binom.test, t.test of participants' shares",
}


def sections(
    study: Study,
    results: Results,
    confirmatory: Sequence[str] | None = None,
    plan: Mapping[str, Any] | None = None,
) -> list[Section]:
    """The report's sections.

    `confirmatory`: ids, or beginnings of ids, that a frozen plan names; None without a plan. `plan`: the frozen
    document, told in a section of its own.
    """
    found = [
        _filled("Data", _design, study, results),
        _filled("Prediction accuracy", _accuracy, results),
        _filled("Confidence", _confidence, results),
        _filled("Saliency-feature ratio", _ratio, results),
        _filled("Mentioned features", _codes, results),
        _filled("Agreement of coders", _reliability, results),
        _filled("Variants of the tests", _variants, results, confirmatory),
        _filled("Beyond the text", _better, results),
        _filled("Power of the published design", _power, results),
        _filled("The text's printed figures, recomputed", _published),
        _filled("Methods, data dictionary, versions", _methods, study),
    ]
    if confirmatory is not None:
        for section in found:
            _mark_planned(section, confirmatory, results)
    drawn = _filled("Figures", _figures, study)
    found[0].paragraphs += drawn.paragraphs
    for section, names in (
        (found[1], ("figure-25", "figure-29")),
        (found[3], ("figure-26",)),
        (found[4], ("figure-27", "figure-28")),
    ):
        section.figures = [picture for picture in drawn.figures if picture[0].startswith(names)]
    return found if plan is None else [_plan(plan, results), *found]


def _filled(title: str, fill: Callable[..., None], *given: Any) -> Section:
    """A section by `fill(section, *given)`; where that fails it says so, and the report goes on."""
    section = Section(title)
    try:
        fill(section, *given)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        section.paragraphs.append(
            f"{title}: the rest could not be made ({type(error).__name__}: {error}); please report it."
        )
    return section


def _figures(section: Section, study: Study) -> None:
    for name, caption, figure in figures(study):
        section.figures.append((name, f"{name.capitalize().replace('-', ' ')}: {caption}", figure))


def _mark_planned(section: Section, confirmatory: Sequence[str], results: Results) -> None:
    """Whether its sentences' and tables' results, and so the section, are in the plan; what shows no result of a test
    stays.
    """

    def marked(text: str, names: Sequence[str]) -> str:
        shown = [one for one in results.values if any(_within(one, name) for name in names)]
        if not shown or names[0].startswith("design"):
            return text
        planned = [one for one in shown if _planned(one, confirmatory)]
        section.exploratory = section.exploratory is not False and not planned
        if not planned:
            return f"{text} (exploratory)"
        return f"{text} (confirmatory{'' if len(planned) == len(shown) else ' in part'})"

    section.paragraphs = [
        marked(text, [section.told_of[text]]) if text in section.told_of else text
        for text in section.paragraphs
    ]
    section.tables = [
        replace(
            table,
            title=marked(table.title, [name.strip() for name in table.call.split(";")[0].split(",")]),
        )
        for table in section.tables
    ]


def _within(name: str, beginning: str) -> bool:
    return name == beginning or name.startswith(f"{beginning}.")


def _planned(name: str, confirmatory: Sequence[str]) -> bool:
    return any(_within(name, one) for one in confirmatory)


def _plan(document: Mapping[str, Any], results: Results) -> Section:
    """What was frozen, when, and its hash, to compare with the one that was recorded elsewhere."""
    plan = document["plan"]
    section = Section("The frozen plan")
    section.paragraphs.append(
        f"Frozen {document.get('frozen', 'at a time that it does not tell')}, SHA-256 {document['sha256']}. Compare it "
        "with the one recorded elsewhere: who changes a plan can make its hash anew. "
        + (
            "The hash covers the plan and the time."
            if covers_time(document)
            else "An earlier version froze it: the hash covers the plan, not the time."
        )
    )
    unknown = [one for one in plan["confirmatory"] if not any(_within(name, one) for name in results.values)]
    if unknown:
        section.paragraphs.append(f"Planned, but not among the results: {', '.join(unknown)}.")
    rows = [["hypothesis", str(one)] for one in plan["hypotheses"]]
    rows += [["exclusion", str(one)] for one in plan["exclusions"]]
    formulas = plan["formulas"]
    told = formulas.items() if isinstance(formulas, Mapping) else enumerate(formulas, start=1)
    rows += [[f"formula, {name}", str(one)] for name, one in told]
    rows += [["confirmatory", str(one)] for one in plan["confirmatory"]]
    section.tables.append(Table("Plan", ["", "as frozen"], rows, "occlumap analyse freeze"))
    return section


def _number(value: Any, places: int = 3) -> str:
    if value is None:
        return "-"
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    if value != 0 and (abs(value) < 10**-places or abs(value) >= 1e5):
        return f"{value:.2e}"
    return f"{value:.{places}f}"


def _table(title: str, of: Mapping[str, Mapping[str, Any]], call: str, first: str = "") -> Table:
    """Rows by name, columns by the keys of the rows."""
    columns = list(
        dict.fromkeys(key for row in of.values() for key in row if not isinstance(row[key], dict | list))
    )
    rows = [[name, *(_number(row.get(column)) for column in columns)] for name, row in of.items()]
    return Table(title, [first, *columns], rows, call)


def _design(section: Section, study: Study, results: Results) -> None:
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
    cells = {
        name: {"participants": count, "analysed for features": values["design.cells_features"][name]}
        for name, count in values["design.cells"].items()
    }
    section.tables.append(
        _table("Cells of the design", cells, "design.cells; table(heatmap:scores)", "heatmap:scores")
    )


def _always_yes(values: Mapping[str, Any]) -> float:
    tasks = values["design.tasks_per_outcome"]
    return float(sum(tasks.get(name, 0) for name in ("TP", "FP")) / sum(tasks.values()))


def _linear(section: Section, results: Results, measure: str, of: str) -> None:
    values = results.values
    title = section.title
    if f"{measure}.anova.type2" not in values:
        section.paragraphs.append(f"Not to be had: {results.problems.get(measure, 'no data')}")
        return
    section.tables.append(
        _table(
            f"{title} by cell", values[f"{measure}.descriptives.cell"], f"{measure}.descriptives.cell", "cell"
        )
    )
    section.tables.append(
        _table(
            f"{title} by heatmap",
            values[f"{measure}.descriptives.heatmap"],
            f"{measure}.descriptives.heatmap",
            "heatmap",
        )
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
        section.tables.append(
            _table(
                f"Effect sizes of {of}, with 90 % intervals (Steiger)",
                values[f"{measure}.effects.intervals"],
                f'{measure}.effects.intervals; R: effectsize::eta_squared(m, ci = .9, alternative = "two.sided")',
                "term",
            )
        )
    if f"{measure}.effects.cohens_d" in values:
        section.tables.append(
            _table(
                "Standardised differences, d with 95 % intervals",
                values[f"{measure}.effects.cohens_d"],
                f"{measure}.effects.cohens_d; R: effectsize::cohens_d",
                "pair",
            )
        )


def _accuracy(section: Section, results: Results) -> None:
    values, of = results.values, "prediction accuracy"
    _linear(section, results, "accuracy", of)
    if "accuracy.anova.type2" in values:
        table = values["accuracy.anova.type2"]
        _effects(section, "accuracy.anova.type2", table, of)
        section.tables.append(
            _table("Two-way ANOVA", table, f"accuracy.anova.type2; R: {R_CALLS['anova.type2']}", "term")
        )
        section.tables.append(
            _table(
                "Differences",
                values["accuracy.pairs.heatmap.tukey"],
                f"accuracy.pairs.heatmap.tukey; R: {R_CALLS['pairs']}",
                "pair",
            )
        )
        _effect_tables(section, values, "accuracy")
    if "accuracy.by_outcome" in values:
        for outcome, row in values["accuracy.by_outcome"].items():
            section.tell(
                "accuracy.by_outcome",
                f"{outcome}: {row['proportion']:.1%} of {row['n']} answers are right, {wording.chance(row)}.",
            )
        section.tables.append(
            _table(
                "Accuracy by outcome",
                values["accuracy.by_outcome"],
                f"accuracy.by_outcome; R: {R_CALLS['outcome']}",
                "outcome",
            )
        )


def _confidence(section: Section, results: Results) -> None:
    values = results.values
    if "confidence.kruskal.participant_median" not in values:
        section.paragraphs.append(f"Left out: {results.problems.get('confidence', 'no ratings')}")
    else:
        section.tell(
            "confidence.median", f"The median of all answers is {values['confidence.median']:g} of 1 to 4."
        )
        section.tell(
            "confidence.kruskal.participant_median",
            wording.ranks(values["confidence.kruskal.participant_median"], "participants' median confidence"),
        )
        section.tables.append(
            _table(
                "Kruskal-Wallis of participants' medians, between cells",
                {"cells": values["confidence.kruskal.participant_median"]},
                f"confidence.kruskal.participant_median; R: {R_CALLS['kruskal']}",
            )
        )
        section.tables.append(
            _table(
                "Answers by cell", values["confidence.counts_by_cell"], "confidence.counts_by_cell", "cell"
            )
        )
        if "confidence.kruskal_effects.participant_median" in values:
            rows = {
                f"participants' {kind}": values[f"confidence.kruskal_effects.participant_{kind}"]
                for kind in ("median", "mean")
                if f"confidence.kruskal_effects.participant_{kind}" in values
            }
            section.tables.append(
                _table(
                    "Effect sizes of Kruskal-Wallis, with 95 % bootstrap intervals",
                    rows,
                    "confidence.kruskal_effects; R: effectsize::rank_epsilon_squared",
                    "measure",
                )
            )


def _ratio(section: Section, results: Results) -> None:
    values, of = results.values, "saliency-feature ratio"
    _linear(section, results, "ratio", of)
    if "ratio.white.type2.hc3" in values:
        table = values["ratio.white.type2.hc3"]
        _effects(section, "ratio.white.type2.hc3", table, f"the {of}")
        section.tell(
            "ratio.pairs.heatmap.tukey", wording.pairs(values["ratio.pairs.heatmap.tukey"], f"the {of}")
        )
        section.tables.append(
            _table(
                "Two-way ANOVA, White-corrected (HC3)",
                table,
                f"ratio.white.type2.hc3; R: {R_CALLS['white']}",
                "term",
            )
        )
        section.tables.append(
            _table(
                "Differences, without White's correction",
                values["ratio.pairs.heatmap.tukey"],
                f"ratio.pairs.heatmap.tukey; R: {R_CALLS['pairs']}",
                "pair",
            )
        )
        _effect_tables(section, values, "ratio", "the ANOVA without White's correction")


def _kinds(section: Section, values: Mapping[str, Any]) -> None:
    """Saliency features against general attributes by heatmap, and each code over the heatmaps."""
    if "codes.kinds_within" in values:
        for heatmap, row in values["codes.kinds_within"].items():
            section.tell("codes.kinds_within", wording.kinds(heatmap, row))
        section.tables.append(
            _table(
                "Codes an answer by kind, within each heatmap",
                values["codes.kinds_within"],
                "codes.kinds_within; R: wilcox.test(saliency, general, paired = TRUE, correct = FALSE), p.adjust holm",
                "heatmap",
            )
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
            told = [name for name, row in rows.items() if isinstance(row["p_holm"], float)]
            told = [name for name in told if rows[name]["p_holm"] < wording.ALPHA]
            section.tell(
                f"codes.{key}",
                f"{title}, participants as the unit: {'differences in ' if told else 'no difference is shown'}"
                f"{', '.join(told)} after Holm's correction of {len(rows)} tests.",
            )
            section.tables.append(_table(title, rows, f"codes.{key}; R: {call}", ""))


def _reliability(section: Section, results: Results) -> None:
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
        section.tables.append(
            _table(
                "Kappa and alpha of codes and of their groups, with 95 % intervals",
                rows,
                "reliability.code, reliability.group; R: psych::cohen.kappa, irr::kripp.alpha",
                "",
            )
        )
    else:
        section.paragraphs.append(f"Left out: {results.problems.get('reliability', 'no double coding')}")


def _codes(section: Section, results: Results) -> None:
    values = results.values
    _kinds(section, values)
    if "codes.occlusion_vs_lrp" in values:
        compared = values["codes.occlusion_vs_lrp"]
        told = [code for code, row in compared["codes"].items() if row["p_holm"] < wording.ALPHA]
        section.tell(
            "codes.occlusion_vs_lrp",
            f"Answers with each code, answers as the unit, as if independent: occlusion and LRP differ in "
            f"{', '.join(told) or 'no code'} after Holm's correction of {compared['family_size']} tests. A test with "
            "answers as the unit may show what one with participants does not.",
        )
        section.tables.append(
            _table(
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
        )


PAIRS = {
    "Tukey": "pairs.heatmap.tukey",
    "Holm": "pairs.heatmap.holm",
    "Bonferroni": "pairs.heatmap.bonferroni",
    "not adjusted": "pairs.heatmap.none",
    "HC3, Tukey": "pairs.heatmap_hc3.tukey",
    "Tukey's HSD, error of the heatmaps": "tukeyhsd.oneway",
    "Tukey's HSD, error of the cells": "tukeyhsd.twoway",
    "Games-Howell": "games_howell",
}
"""Comparisons of pairs of heatmaps, and where their results are."""


def _variants(section: Section, results: Results, confirmatory: Sequence[str] | None) -> None:
    """What the other variants of each test say: the text does not tell which it used."""
    values = results.values
    section.paragraphs.append(
        "The text does not say which variant of each test it used. Ours: Shapiro-Wilk on raw values, "
        "Levene at the median, "
        "sums of squares of type II, HC3, Tukey's pairs of marginal means, participants' median confidence. The others "
        "(a pair's statistic is t):"
    )
    rows = []

    def add(key: str, measure: str, test: str, variant: str, row: Mapping[str, Any]) -> None:
        statistic = next(row[name] for name in ("W", "F", "H", "t", "statistic") if name in row)
        told = [measure, test, variant, _number(statistic), wording.p_value(row["p"])]
        if confirmatory is not None:
            told.append("confirmatory" if _planned(key, confirmatory) else "exploratory")
        rows.append(told)

    for measure in ("accuracy", "ratio"):
        for name, key in (("Shapiro-Wilk", "shapiro"), ("Levene", "levene")):
            for kind in ("raw", "residuals", "median", "mean"):
                row = values.get(f"{measure}.{key}.{kind}")
                if row:
                    add(f"{measure}.{key}.{kind}", measure, name, kind, row)
        tests = [(f"type {t}", f"{measure}.anova.type{t}") for t in (1, 2, 3)]
        tests += [
            (f"type {t}, {kind.upper()}", f"{measure}.white.type{t}.{kind}")
            for t in (2, 3)
            for kind in ("hc0", "hc1", "hc2", "hc3", "hc4")
        ]
        for name, key in tests:
            for term, row in values.get(key, {}).items():
                if term != "residual":
                    add(key, measure, f"ANOVA, {term}", name, row)
        for name, key in PAIRS.items():
            for pair, row in values.get(f"{measure}.{key}", {}).items():
                add(f"{measure}.{key}", measure, f"pair, {pair}", name, row)
    for kind in ("participant_median", "participant_mean", "responses", "heatmap"):
        row = values.get(f"confidence.kruskal.{kind}")
        if row:
            add(f"confidence.kruskal.{kind}", "confidence", "Kruskal-Wallis", kind, row)
    header = ["measure", "test", "variant", "statistic", "p"]
    header += [] if confirmatory is None else ["plan"]
    section.tables.append(Table("Variants", header, rows, "results.json"))


def _with_interval(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Coefficients with Wald's 95 % interval."""
    return {
        name: dict(row)
        | {
            end: row["estimate"] + side * 1.959964 * row["se"]
            for end, side in (("lower", -1), ("upper", 1))
            if isinstance(row["estimate"], float) and isinstance(row["se"], float)
        }
        for name, row in rows.items()
    }


def _better(section: Section, results: Results) -> None:
    values = results.values
    section.paragraphs.append(
        "A participant's share of right answers hides that the tasks differ and that the same tasks "
        "recur: the mixed model "
        "takes participants and tasks as samples. Signal detection tells skill from a liking for yes."
    )
    if "glmm.base.fixed" in values:
        section.tables.append(
            _table(
                "Mixed logistic model of single answers",
                _with_interval(values["glmm.base.fixed"]),
                f"glmm.base.fixed; R: {R_CALLS['glmm']}",
                "effect",
            )
        )
        deviations = values["glmm.base.random_sd"]
        if values["glmm.base.fit"]["singular"]:
            section.tell(
                "glmm.base.fit", "The mixed model is singular: a standard deviation of random effects is 0."
            )
        section.tell(
            "glmm.base.random_sd",
            "Standard deviations on the logit scale: "
            + ", ".join(f"{name}s {value:.2f}" for name, value in deviations.items())
            + ".",
        )
        for term, name in (("heatmap", "the heatmap"), ("heatmap:scores", "the interaction with scores")):
            if term in values.get("glmm.base.lrt", {}):
                section.tell(
                    "glmm.base.lrt",
                    wording.likelihood_ratio(
                        values["glmm.base.lrt"][term], name, "right answers", "the mixed logistic model"
                    ),
                )
        section.tell(
            "glmm.base.pairs.heatmap.tukey",
            wording.odds_ratios(values["glmm.base.pairs.heatmap.tukey"], "a right answer"),
        )
        section.tables.append(
            _table(
                "Its Wald tests",
                values["glmm.base.wald.type2"],
                "glmm.base.wald.type2; R: car::Anova(m, type = 2)",
                "term",
            )
        )
        section.tables.append(
            _table(
                "Its differences, log odds ratios",
                values["glmm.base.pairs.heatmap.tukey"],
                f"glmm.base.pairs.heatmap.tukey; R: {R_CALLS['pairs']}",
                "pair",
            )
        )
    if "accuracy.signal_detection" in values:
        section.tables.append(
            _table(
                "Signal detection",
                values["accuracy.signal_detection"],
                "accuracy.signal_detection",
                "heatmap",
            )
        )
    if "accuracy.signal_detection_intervals" in values:
        rows = values["accuracy.signal_detection_intervals"]
        section.tell(
            "accuracy.signal_detection_intervals",
            *(
                wording.sensitivity(row, "All" if name == "all" else f"Heatmap {name}")
                for name, row in rows.items()
            ),
        )
        section.tables.append(
            _table(
                "Signal detection, with 95 % intervals that take answers as independent",
                rows,
                "accuracy.signal_detection_intervals",
                "heatmap",
            )
        )
    if "confidence.clmm.fixed" in values:
        if values.get("confidence.clmm.singular"):
            section.tell(
                "confidence.clmm.singular",
                "The model of confidence is singular: a standard deviation of random effects is 0.",
            )
        for term, name in (("heatmap", "the heatmap"), ("heatmap:scores", "the interaction with scores")):
            if term in values.get("confidence.clmm.lrt", {}):
                section.tell(
                    "confidence.clmm.lrt",
                    wording.likelihood_ratio(
                        values["confidence.clmm.lrt"][term], name, "confidence", "the cumulative logit model"
                    ),
                )
        if "confidence.clmm.pairs.heatmap.tukey" in values:
            section.tell(
                "confidence.clmm.pairs.heatmap.tukey",
                wording.odds_ratios(values["confidence.clmm.pairs.heatmap.tukey"], "a higher confidence"),
            )
        section.tables.append(
            _table(
                "Cumulative logit model of confidence",
                _with_interval(values["confidence.clmm.fixed"]),
                f"confidence.clmm.fixed; R: {R_CALLS['clmm']}",
                "effect",
            )
        )
    if "ratio.betabinomial_dispersion" in values:
        tests = values["ratio.betabinomial_dispersion"]
        section.tell(
            "ratio.betabinomial_dispersion",
            wording.likelihood_ratio(
                tests["lrt_heatmap"], "the heatmap", "the saliency-feature ratio", "the beta-binomial model"
            ),
        )
        section.tell(
            "ratio.betabinomial_dispersion",
            wording.likelihood_ratio(
                tests["lrt_dispersion"], "the heatmap", "the spread of the ratio", "the beta-binomial model"
            ),
        )
    if "ratio.betabinomial_pairs" in values:
        section.tell(
            "ratio.betabinomial_pairs",
            wording.odds_ratios(values["ratio.betabinomial_pairs"], "a code to be of a saliency feature"),
        )
    if "ratio.betabinomial" in values:
        section.tables.append(
            _table(
                "Beta-binomial model of the ratio",
                _with_interval(values["ratio.betabinomial"]["fixed"]),
                f"ratio.betabinomial; R: {R_CALLS['betabinomial']}",
                "effect",
            )
        )
    for key, test in values.items():
        if ".tost." in key:
            measure, one, _, other = key.split(".")[0], *key.split(".")[2].split("_")
            section.tell(key, f"{measure}: " + wording.equivalence(test, one, other))
        if key.endswith("bayes.ttest"):
            measure = key.split(".")[0]
            section.tell(
                key, *(wording.bayes(f"{measure}, {pair}", row["log_BF10"]) for pair, row in test.items())
            )
    if "multiplicity.family" in values:
        family = values["multiplicity.family"]
        rows = {name: {method: family[method][name] for method in family} for name in family["raw"]}
        call = "multiplicity.family; R: p.adjust"
        section.tables.append(_table("The seven omnibus tests as one family", rows, call, "test"))
    if "accuracy.screened.anova.type2" in values:
        section.tables.append(
            _table(
                "Accuracy of those who passed the comprehension questions",
                values["accuracy.screened.anova.type2"],
                f"accuracy.screened.anova.type2; screening_passed == 1; R: {R_CALLS['anova.type2']}",
                "term",
            )
        )


def _power(section: Section, results: Results) -> None:
    values = results.values
    if "power.sensitivity" in values:
        smallest = values["power.sensitivity"]["0.8"]["f_ncp96"]
        section.tell(
            "power.sensitivity",
            f"96 participants in three conditions show an effect of f = {smallest:.3f} with a power "
            "of 80 %. Smaller ones "
            "they miss more often than one time in five.",
        )
        rows = {f"f = {f}": row for f, row in values["power.given_f"].items()}
        section.tables.append(
            _table("Power", rows, "power.given_f; R: pwr::pwr.anova.test, pwr.f2.test", "effect")
        )
        people = {
            f"f = {f}": {"people a condition for 80 %": n} for f, n in values["power.n_per_group"].items()
        }
        section.tables.append(
            _table(
                "People needed",
                people,
                "power.n_per_group; R: pwr::pwr.anova.test(k = 3, power = .8)",
                "effect",
            )
        )
    if "power.planning" in values:
        planned = values["power.planning"]
        tasks = planned["tasks_for_80"]
        section.tell(
            "power.planning",
            "For a step from 57 % to 63 % right answers in one of three conditions, with people and tasks that differ "
            f"by {planned['person_sd']} and {planned['task_sd']} on the logit scale: 32 people a condition and 14 "
            f"tasks have a power of {planned['power']:.0%} by formula and {planned['simulated']:.0%} by "
            f"{planned['runs']} simulations through the two-way ANOVA; 80 % take {planned['people_for_80']:.0f} people "
            f"a condition at 14 tasks, or {tasks or 'no number of'} tasks at 32 people.",
        )


def _published(section: Section) -> None:
    rows = []
    for one in recompute():
        printed = one.printed
        df = ", ".join(map(str, printed.df))
        verdict = "reproduces" if one.reproduces else "does not reproduce"
        rows.append(
            [
                printed.where,
                printed.what,
                f"{printed.distribution}({df}) = {printed.statistic:.3f}",
                printed.p,
                f"{one.p:.4g}",
                verdict,
            ]
        )
    header = ["section", "test", "statistic", "printed p", "recomputed p", ""]
    section.tables.append(
        Table("From statistic and degrees of freedom", header, rows, "occlumap analyse --published")
    )
    failed = [row[1] for row in rows if row[-1] != "reproduces"]
    section.paragraphs.append(
        f"{len(rows) - len(failed)} of {len(rows)} reproduce; not: {', '.join(failed) or 'none'}."
    )


METHODS = (
    "Accuracy is the share of right answers of those that a participant gave. The saliency-feature "
    "ratio is the number of "
    "saliency-feature codes over that of all codes of a participant, excluded participants left out. "
    "Both are compared by "
    "two-way ANOVA (heatmap x scores, sum-to-zero contrasts, type II sums of squares), the ratio with a "
    "heteroscedasticity-consistent covariance (HC3), pairs of heatmaps by Tukey's method on estimated marginal means. "
    "Confidence is compared between the six cells by Kruskal and Wallis's test of participants' "
    "medians. Significance is "
    "p < .05, two-sided. Single answers are also modelled by a logistic mixed model with crossed random intercepts of "
    "participants and tasks (Laplace approximation), confidence by a cumulative logit model with the "
    "same, the ratio by a "
    "beta-binomial model."
)

DICTIONARY = (
    ("participants", "participant_id", "an opaque id"),
    ("participants", "source", "which study the participant belongs to"),
    ("participants", "heatmap", "none, lrp or occlusion: the condition"),
    ("participants", "scores", "not_shown or shown: the condition"),
    ("participants", "first_class", "the class whose block came first"),
    ("participants", "screening_passed", "1 if all comprehension questions were answered rightly"),
    ("participants", "excluded_from_features", "1 if the participant misunderstood the free-text questions"),
    ("responses", "task_id, position", "the task, and where it came in this participant's order"),
    (
        "responses",
        "image_class, outcome",
        "the class asked for; TP, FP, FN or TN of the system on the task's image",
    ),
    ("responses", "answer", "yes or no: will the system recognise the class? empty when missing"),
    ("responses", "correct", "1 if the answer is what the system does (yes for TP and FP)"),
    ("responses", "confidence", "1 extremely unconfident to 4 extremely confident"),
    ("codes", "code, group", "a code of the sensitive features named in an answer; saliency or general"),
    (
        "double_coding",
        "coder_a, coder_b, coder_c",
        "the code that each coder gave a segment; empty when not coded",
    ),
)


def _methods(section: Section, study: Study) -> None:
    section.paragraphs.append(METHODS)
    section.tables.append(
        Table("Data dictionary", ["table", "column", "holds"], DICTIONARY, "docs/analysis.md")
    )
    packages = ("occlumap", "numpy", "scipy", "statsmodels", "pandas", "matplotlib")
    versions = [[name, version(name)] for name in packages] + [["python", platform.python_version()]]
    section.tables.append(Table("Versions", ["package", "version"], versions, "importlib.metadata.version"))


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; font-size: 13px; margin: .5rem 0; }
th, td { border-bottom: 1px solid #ccc; padding: .2rem .6rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; }
td.number { white-space: nowrap; }
.scroll { overflow-x: auto; }
.call, figcaption, .mark { color: #555; font-size: 12px; }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
"""


def write_html(found: Sequence[Section], path: Path) -> None:
    """One file that needs no other, figures as SVG in it."""
    parts = [
        "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Analysis of the study</title><style>{STYLE}</style>",
        "<h1>Analysis of the study</h1>",
    ]
    for section in found:
        parts.append(f"<h2>{html.escape(section.title)}</h2>{_mark(section)}")
        parts += [f"<p>{html.escape(text)}</p>" for text in section.paragraphs]
        for _, caption, figure in section.figures:
            parts.append(f"<figure>{svg(figure)}<figcaption>{html.escape(caption)}</figcaption></figure>")
        for table in section.tables:
            names = (html.escape(str(cell)).replace("_", "_<wbr>") for cell in table.header)
            head = "".join(f"<th scope=col>{name}</th>" for name in names)
            rows = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
            parts.append(
                f"<div class=scroll><table><caption>{html.escape(table.title)}</caption><thead><tr>{head}</tr></thead>"
                f"<tbody>{rows}</tbody></table></div><p class=call>{html.escape(table.call)}</p>"
            )
    path.write_text("\n".join(parts) + "\n</html>\n", encoding="utf-8")


def _cell(text: str) -> str:
    return f"<td{' class=number' if _is_number(text) else ''}>{html.escape(text)}</td>"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _mark(section: Section) -> str:
    if section.exploratory is None:
        return ""
    told = (
        "Exploratory: not in the frozen plan."
        if section.exploratory
        else "Confirmatory: in the frozen plan. What is exploratory is marked."
    )
    return f"<p class=mark>{told}</p>"


PADDING = 2
"""Points at both sides of a cell of the PDF."""


def write_pdf(found: Sequence[Section], path: Path) -> None:
    """The same as PDF (A4), with reportlab."""
    import io

    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import (
        CondPageBreak,
        Image,
        LongTable,
        Paragraph,
        SimpleDocTemplate,
        Spacer,
        TableStyle,
    )

    styles = getSampleStyleSheet()
    styles["Heading2"].keepWithNext = 1  # no heading alone at the foot of a page
    small = styles["BodyText"].clone("small", fontSize=6.5, leading=8)
    flow: list[Any] = [Paragraph("Analysis of the study", styles["Title"])]
    document = SimpleDocTemplate(
        str(path), pagesize=A4, title="Analysis of the study", invariant=1, leftMargin=36, rightMargin=36
    )
    ruled = TableStyle(
        [
            ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.lightgrey),
            ("LEFTPADDING", (0, 0), (-1, -1), PADDING),
            ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
    )
    for section in found:
        flow.append(Paragraph(html.escape(section.title), styles["Heading2"]))
        if section.exploratory is not None:
            flow.append(Paragraph("Exploratory" if section.exploratory else "Confirmatory", small))
        flow += [Paragraph(html.escape(text), styles["BodyText"]) for text in section.paragraphs]
        for _, caption, figure in section.figures:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=200)
            buffer.seek(0)
            width, height = figure.get_size_inches()
            scale = min(1.0, document.width / (width * 72))
            flow += [
                Spacer(1, 6),
                Image(buffer, width * 72 * scale, height * 72 * scale),
                Paragraph(html.escape(caption), small),
            ]
        for table in section.tables:
            cells = [
                [Paragraph(html.escape(cell), small) for cell in row]
                for row in ([name.replace("_", "_ ") for name in table.header], *table.rows)
            ]
            widths = _widths(table, document.width, small.fontSize, 2 * PADDING + 1)
            flow += [
                CondPageBreak(80),  # no title alone at the foot of a page
                Paragraph(f"<b>{html.escape(table.title)}</b>", small),
                LongTable(cells, colWidths=widths, repeatRows=1, style=ruled, hAlign="LEFT"),
                Paragraph(html.escape(table.call), small),
                Spacer(1, 6),
            ]
    document.build(flow)


def _widths(table: Table, width: float, size: float, padding: float) -> list[float]:
    """Room for each column's longest word, not broken where that can be; the rest for those with longer texts."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    def longest(texts: Iterable[str]) -> float:
        return max((stringWidth(text, "Helvetica", size) for text in texts), default=0.0)

    columns = [
        ([*name.split("_"), *(word for cell in cells for word in cell.split())], [name, *cells])
        for name, *cells in zip(table.header, *table.rows, strict=True)
    ]
    least = [longest(words) + padding for words, _ in columns]
    wanted = [longest(texts) + padding - one for (_, texts), one in zip(columns, least, strict=True)]
    left = max(0.0, width - sum(least))
    scale = min(1.0, width / sum(least))
    more = min(1.0, left / sum(wanted)) if sum(wanted) else 0.0
    return [scale * one + more * extra for one, extra in zip(least, wanted, strict=True)]


def figure_files(found: Sequence[Section], folder: Path) -> Iterator[Path]:
    """Each figure as an SVG file in `folder`."""
    for section in found:
        for name, _, figure in section.figures:
            path = folder / f"{name}.svg"
            path.write_text(svg(figure), encoding="utf-8")
            yield path
