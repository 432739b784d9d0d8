"""Sections of the report on what the text lacks: models of single answers, effects, equivalence, power."""

from collections.abc import Sequence

from occlumap.analysis import wording
from occlumap.analysis.document import Section, with_interval
from occlumap.analysis.mixed_model_results import TESTS_USABLE
from occlumap.analysis.report_as_published import R_CALLS
from occlumap.analysis.results import Results


def better(section: Section, results: Results) -> None:
    """Models of single answers, signal detection, equivalence, Bayes factors, one family of all tests."""
    values = results.values
    section.paragraphs.append(
        "A participant's share of right answers hides that the tasks differ and that the same tasks "
        "recur: the mixed model "
        "takes participants and tasks as samples. Signal detection tells skill from a liking for yes."
    )
    if "design.cells" in values:
        section.paragraphs.append(_coefficients(list(values["design.cells"])))
    unusable = _caution(section, results, "glmm.base", "The mixed logistic model")
    if "glmm.base.random_sd" in values:
        deviations = values["glmm.base.random_sd"]
        if values["glmm.base.fit"]["singular"]:
            section.tell(
                "glmm.base.fit", "The mixed model is singular: a standard deviation of random effects is 0."
            )
        section.tell(
            "glmm.base.random_sd",
            f"Standard deviations on the logit scale{unusable}: "
            + ", ".join(f"{name}s {value:.2f}" for name, value in deviations.items())
            + ".",
        )
        _tests(section, results, "glmm.base", "right answers", "the mixed logistic model")
    _effects(section, results, "glmm.base", f"Mixed logistic model of single answers{unusable}", "glmm")
    if "glmm.base.pairs.heatmap.tukey" in values:
        if not unusable:
            section.tell(
                "glmm.base.pairs.heatmap.tukey",
                wording.odds_ratios(values["glmm.base.pairs.heatmap.tukey"], "a right answer"),
            )
        section.show(
            f"Its Wald tests{unusable}",
            values["glmm.base.wald.type2"],
            "glmm.base.wald.type2; R: car::Anova(m, type = 2)",
            "term",
        )
        section.show(
            f"Its differences, log odds ratios{unusable}",
            values["glmm.base.pairs.heatmap.tukey"],
            f"glmm.base.pairs.heatmap.tukey; R: {R_CALLS['pairs']}",
            "pair",
        )
    if "accuracy.signal_detection" in values:
        section.show(
            "Signal detection",
            values["accuracy.signal_detection"],
            "accuracy.signal_detection; R: psycho::dprime(hits, false alarms, misses, correct rejections)",
            "heatmap",
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
        section.show(
            "Signal detection, with 95 % intervals that take answers as independent",
            rows,
            "accuracy.signal_detection_intervals; Gourevitch & Galanter (1967), equation 8; not in R",
            "heatmap",
        )
    unusable = _caution(section, results, "confidence.clmm", "The cumulative logit model of confidence")
    if "confidence.clmm.random_sd" in values:
        if values.get("confidence.clmm.singular"):
            section.tell(
                "confidence.clmm.singular",
                "The model of confidence is singular: a standard deviation of random effects is 0.",
            )
        _tests(section, results, "confidence.clmm", "confidence", "the cumulative logit model")
        if "confidence.clmm.pairs.heatmap.tukey" in values and not unusable:
            section.tell(
                "confidence.clmm.pairs.heatmap.tukey",
                wording.odds_ratios(values["confidence.clmm.pairs.heatmap.tukey"], "a higher confidence"),
            )
    _effects(section, results, "confidence.clmm", f"Cumulative logit model of confidence{unusable}", "clmm")
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
        spread = "phi" in values["ratio.betabinomial"]
        section.show(
            f"{'Beta-binomial' if spread else 'Binomial'} model of the ratio",
            with_interval(values["ratio.betabinomial"]["fixed"]),
            f"ratio.betabinomial; R: {R_CALLS['betabinomial']}",
            "effect",
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
        section.tell("multiplicity.family", wording.family(family["raw"], family["holm"]))
        section.show("The omnibus tests as one family", rows, call, "test")
    passed = "of those who passed the comprehension questions"
    for key, title, call in (
        ("accuracy.screened.anova.type2", f"Accuracy {passed}", R_CALLS["anova.type2"]),
        ("ratio.screened.white.type2.hc3", f"Saliency-feature ratio {passed}, HC3", R_CALLS["white"]),
    ):
        if key in values:
            whole = values.get(key.replace(".screened", ""), {})
            section.tell(key, wording.screened(values[key], whole, title))
            section.show(title, values[key], f"{key}; screening_passed == 1; R: {call}", "term")
    key = "confidence.screened.kruskal.participant_median"
    if key in values:
        call = f"{key}; screening_passed == 1; R: {R_CALLS['kruskal']}"
        cells, whole = {"cells": values[key]}, {"cells": values.get(key.replace(".screened", ""), {})}
        section.tell(key, wording.screened(cells, whole, f"Median confidence {passed}"))
        section.show(f"Median confidence {passed}", cells, call)


def _coefficients(cells: Sequence[str]) -> str:
    """Which levels the names of coefficients stand for; `cells`: of the design, in order."""
    levels = [list(dict.fromkeys(names)) for names in zip(*(cell.split(":") for cell in cells), strict=True)]
    named = [
        f"{factor}{at} is {level}"
        for factor, of in zip(("heatmap", "scores"), levels, strict=True)
        for at, level in enumerate(of[:-1], start=1)
    ]
    last = " and ".join(of[-1] for of in levels)
    return (
        f"In the tables of models {', '.join(named)}: how far the level lies from the mean of all levels (sum-to-zero "
        f"contrasts). The last levels, {last}, have no row: each is minus the sum of the others of its factor."
    )


def _tests(section: Section, results: Results, of: str, measure: str, model: str) -> None:
    """Tell a model's likelihood-ratio tests, unless the caution on it says that they are not usable."""
    if not results.cautions.get(of, TESTS_USABLE).endswith(TESTS_USABLE):
        return
    tests = results.values.get(f"{of}.lrt", {})
    for term, name in (("heatmap", "the heatmap"), ("heatmap:scores", "the interaction with scores")):
        if term in tests:
            section.tell(f"{of}.lrt", wording.likelihood_ratio(tests[term], name, measure, model))


def _effects(section: Section, results: Results, of: str, title: str, call: str) -> None:
    """The table of a mixed model's fixed effects, where it is there."""
    if f"{of}.fixed" in results.values:
        rows = with_interval(results.values[f"{of}.fixed"])
        section.show(title, rows, f"{of}.fixed; R: {R_CALLS[call]}", "effect")


def _caution(section: Section, results: Results, of: str, name: str) -> str:
    """Tell the caution on a model, if there is one; what the titles of its tables then end with."""
    if of not in results.cautions:
        return ""
    section.tell(f"{of}.random_sd", f"{name}: {results.cautions[of]}.")
    return " (not usable, as told)"


def power(section: Section, results: Results) -> None:
    """What the text's design could show, and how many people would do."""
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
        section.show("Power", rows, "power.given_f; R: pwr::pwr.anova.test, pwr.f2.test", "effect")
        people = {
            f"f = {f}": {"people a condition for 80 %": n} for f, n in values["power.n_per_group"].items()
        }
        section.show(
            "People needed",
            people,
            "power.n_per_group; R: pwr::pwr.anova.test(k = 3, power = .8)",
            "effect",
        )
    if "power.planning" in values:
        planned = values["power.planning"]
        tasks = planned["tasks_for_80"]
        section.tell(
            "power.planning",
            "For a step from 57 % to 63 % right answers, over all people and tasks, in one of three conditions, with "
            f"people and tasks that differ by {planned['person_sd']} and {planned['task_sd']} on the logit scale: "
            f"32 people a condition and 14 tasks have a power of {planned['power']:.0%} by formula and "
            f"{planned['simulated']:.0%} (standard error {planned['simulated_se']:.1%}) by {planned['runs']} "
            "simulations through the two-way ANOVA; 80 % take "
            f"{planned['people_for_80']:.0f} people a condition at 14 tasks, or {tasks or 'no number of'} tasks at 32 "
            "people.",
        )
