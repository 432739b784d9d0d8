"""The report of a study: its sections in their order, each marked as planned or exploratory."""

import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from occlumap.analysis import wording
from occlumap.analysis.document import Section, Table, number
from occlumap.analysis.figures import figures
from occlumap.analysis.plan import covers_time, within
from occlumap.analysis.published import recompute
from occlumap.analysis.report_as_published import accuracy, codes, confidence, design, ratio, reliability
from occlumap.analysis.report_beyond import better, power
from occlumap.analysis.results import Results
from occlumap.analysis.tables import Study
from occlumap.errors import OcclumapWarning


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
        _filled("Data", design, study, results),
        _filled("Prediction accuracy", accuracy, results),
        _filled("Confidence", confidence, results),
        _filled("Saliency-feature ratio", ratio, results),
        _filled("Mentioned features", codes, results),
        _filled("Agreement of coders", reliability, results),
        _filled("Variants of the tests", _variants, results, confirmatory),
        _filled("Beyond the text", better, results),
        _filled("Power of the published design", power, results),
        _filled("The text's printed figures, recomputed", _published),
        _filled("Methods, data dictionary, versions", _methods, results),
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
        told = f"{title}: the rest could not be made ({type(error).__name__}: {error}); please report it."
        section.paragraphs.append(told)
        warnings.warn(told, OcclumapWarning, stacklevel=3)
    return section


def _figures(section: Section, study: Study) -> None:
    for name, caption, figure in figures(study):
        section.figures.append((name, f"{name.capitalize().replace('-', ' ')}: {caption}", figure))


def _mark_planned(section: Section, confirmatory: Sequence[str], results: Results) -> None:
    """Whether its sentences' and tables' results, and so the section, are in the plan; what shows no result of a test
    stays.
    """

    def marked(text: str, names: Sequence[str]) -> str:
        shown = [one for one in results.values if any(within(one, name) for name in names)]
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


def _planned(name: str, confirmatory: Sequence[str]) -> bool:
    return any(within(name, one) for one in confirmatory)


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
    unknown = [one for one in plan["confirmatory"] if not any(within(name, one) for name in results.values)]
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


VARIANTS = (
    "results.json; R: shapiro.test, car::leveneTest, anova, car::Anova, emmeans::pairs, TukeyHSD, "
    "rstatix::games_howell_test, kruskal.test"
)


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
        told = [measure, test, variant, number(statistic), wording.p_value(row["p"])]
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
    section.tables.append(Table("Variants", header, rows, VARIANTS))


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


CROSSED = "with crossed random intercepts of participants and tasks (Laplace approximation)"
METHODS = (
    (
        "accuracy.anova.type2",
        "Accuracy, the share of right answers of those that a participant gave, is compared by two-way ANOVA (heatmap "
        "x scores, sum-to-zero contrasts, type II sums of squares).",
    ),
    (
        "ratio.white.type2.hc3",
        "The saliency-feature ratio, the number of saliency-feature codes over that of all codes of a participant, "
        "excluded participants left out, is compared by two-way ANOVA (heatmap x scores, sum-to-zero contrasts, type "
        "II) with a heteroscedasticity-consistent covariance (HC3).",
    ),
    (
        "accuracy.pairs.heatmap.tukey",
        "Pairs of heatmaps are compared in accuracy by Tukey's method on estimated marginal means.",
    ),
    (
        "ratio.pairs.heatmap.tukey",
        "Pairs of heatmaps are compared in the ratio by Tukey's method on estimated marginal means.",
    ),
    (
        "confidence.kruskal.participant_median",
        "Confidence is compared between the {cells} cells by Kruskal and Wallis's test of participants' medians.",
    ),
    ("glmm.base.fixed", f"Single answers are modelled by a logistic mixed model {CROSSED}."),
    ("confidence.clmm.fixed", f"Confidence is modelled by a cumulative logit model {CROSSED}."),
    ("ratio.betabinomial", "The ratio is modelled by a beta-binomial model."),
    (
        "accuracy.signal_detection_intervals",
        "Signal detection gives d' and the criterion, with log-linear correction and intervals by Gourevitch and "
        "Galanter.",
    ),
    *(
        (f"{measure}.tost", f"Equivalence of heatmaps in {of} is tested by two one-sided tests.")
        for measure, of in (("accuracy", "accuracy"), ("ratio", "the ratio"))
    ),
    *(
        (
            f"{measure}.bayes.ttest",
            f"Bayes factors of pairs of heatmaps in {of} have Jeffreys, Zellner and Siow's prior.",
        )
        for measure, of in (("accuracy", "accuracy"), ("ratio", "the ratio"))
    ),
    ("codes.kinds_within", "Kinds of codes are compared within each heatmap by Wilcoxon's signed-rank test."),
    (
        "codes.occlusion_vs_lrp",
        "Occlusion and LRP are compared in each code by Fisher's exact test with Holm's correction.",
    ),
    ("reliability.code.cohen_ab", "Agreement of coders is Cohen's kappa and Krippendorff's alpha."),
    ("multiplicity.family", "The omnibus tests are corrected as one family by Holm's method, beside others."),
    (
        "accuracy.screened.anova.type2",
        "The tests are repeated for those who passed the comprehension questions.",
    ),
)
"""Sentences of the methods paragraph, each told when its result is there and may be used."""


def _methods_told(results: Results) -> str:
    values = results.values
    cells = values.get("confidence.kruskal.participant_median", {}).get("df", 0) + 1
    told = [
        sentence.format(cells=cells)
        for name, sentence in METHODS
        if any(within(one, name) for one in values) and name.rpartition(".")[0] not in results.cautions
    ]
    return " ".join([*told, "Significance is p < .05, two-sided."])


DICTIONARY = (
    ("participants", "participant_id", "an opaque id"),
    ("participants", "source", "which study the participant belongs to"),
    ("participants", "heatmap", "none, lrp or occlusion: the condition"),
    ("participants", "scores", "not_shown or shown: the condition"),
    ("participants", "first_class", "the class whose block came first"),
    ("participants", "screening_passed", "1 if all comprehension questions were answered rightly"),
    ("participants", "excluded_from_features", "1 if the participant misunderstood the free-text questions"),
    (
        "participants",
        "over_quota",
        "1 if the participant finished beside the quota; empty or left out if unknown",
    ),
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


def _methods(section: Section, results: Results) -> None:
    section.paragraphs.append(_methods_told(results))
    section.tables.append(
        Table("Data dictionary", ["table", "column", "holds"], DICTIONARY, "docs/analysis.md")
    )
    packages = ("occlumap", "numpy", "scipy", "statsmodels", "pandas", "matplotlib")
    versions = [[name, version(name)] for name in packages] + [["python", platform.python_version()]]
    section.tables.append(Table("Versions", ["package", "version"], versions, "importlib.metadata.version"))
