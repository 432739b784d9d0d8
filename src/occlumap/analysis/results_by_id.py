"""Every result of the analysis under its id ("accuracy.anova.type2"), from the tables of a study.

The ids and the shapes of the values are those of the golden values that R gave; tests/analysis compares them. What a
study cannot give (one outcome only, a singular model) is left out, and said in `problems`.
"""

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap import agreement
from occlumap._threads import one_thread
from occlumap.analysis import (
    bayes_factors,
    code_kinds,
    effect_intervals,
    features,
    generalised_models,
    group_tests,
    measures,
    mixed_models,
    power,
)
from occlumap.analysis import linear_models as linear
from occlumap.analysis.tables import Study
from occlumap.errors import ArgumentError

Floats = NDArray[np.float64]
TERMS = ("heatmap", "scores", "heatmap:scores")
BOUNDS = {
    "accuracy": (
        ("occlusion", "lrp", 0.05),
        ("occlusion", "none", 0.05),
        ("occlusion", "lrp", 0.1),
        ("occlusion", "none", 0.1),
    ),
    "ratio": (("occlusion", "lrp", 0.1), ("occlusion", "lrp", 0.2)),
}
"""Bounds of equivalence: of shares of right answers, and of the saliency-feature ratio."""


@dataclass
class Results:
    """`values`: by id. `problems`: what could not be had, and why, by id. `cautions`: how to read one, by id."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    cautions: dict[str, str] = field(default_factory=dict)

    def add(self, prefix: str, make: Callable[[], Iterator[tuple[str, Any]]]) -> None:
        """All that `make` gives, under `prefix`: values, or functions that make one, each of which may fail alone.

        Why one failed stands under its name; why `make` stopped, under `prefix`, with the last id that it gave.
        """
        last = None
        # a group without variation makes infinite and undefined values, which `plain` tells
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            try:
                for name, value in make():
                    last = f"{prefix}.{name}" if name else prefix
                    self._put(last, value)
            except _FAILURES as error:
                why = _why(error)
                if last is not None:
                    why += f" (what stands up to {last} is there all the same)"
                earlier = self.problems.get(prefix)
                self.problems[prefix] = why if earlier is None else f"{earlier}; {why}"

    def _put(self, name: str, value: Any) -> None:
        try:
            self.values[name] = plain(value() if callable(value) else value)
        except _FAILURES as error:
            self.problems[name] = _why(error)


_FAILURES = (ArgumentError, np.linalg.LinAlgError, ValueError, ZeroDivisionError)


def _why(error: Exception) -> str:
    if isinstance(error, ArgumentError):
        return str(error)
    if isinstance(error, ZeroDivisionError):
        return "nothing varies, or a cell has too few rows to vary"
    if isinstance(error, np.linalg.LinAlgError):
        return f"a singular model: a cell without rows, or too few ({error})"
    return f"{type(error).__name__}: {error}"


def plain(value: Any) -> Any:
    """Python's own numbers in dicts and lists; infinite ones as the text "Inf", undefined ones as None."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(one) for one in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return None
        if np.isinf(value):
            return "Inf" if value > 0 else "-Inf"
        return float(value)
    return value


def every_result(
    study: Study,
    progress: Callable[[str], None] = lambda section: None,
    sections: Collection[str] | None = None,
) -> Results:
    """All results of `study`, or those of some of SECTIONS; `progress(section)` is called before each section.

    Raises ArgumentError for a section that there is none of.
    """
    import scipy.linalg  # noqa: F401 - loads its BLAS, which `one_thread` limits

    unknown = [name for name in sections or () if name not in SECTIONS]
    if unknown:
        raise ArgumentError(f"expected sections among {', '.join(SECTIONS)}, got {', '.join(unknown)}")
    found = Results()
    with one_thread():
        for name, make in SECTIONS.items():
            if sections is None or name in sections:
                progress(name)
                make(found, study)
    return found


def _design(found: Results, study: Study) -> None:
    def make() -> Iterator[tuple[str, Any]]:
        people, responses = study.participants, study.responses
        included = measures.analysed_people(study)
        order = measures.cells(study)
        yield "participants", len(people)
        yield "cells", _counts(people, order)
        yield "responses", len(responses)
        yield "responses_missing", int(responses["correct"].isna().sum())
        yield "participants_features", len(included)
        yield "cells_features", _counts(included, order)
        tasks = responses.drop_duplicates("task_id")["outcome"].value_counts()
        yield "tasks_per_outcome", {name: int(tasks[name]) for name in outcomes(responses)}
        yield "codes_total", len(study.codes)
        yield "codes_analysed", int(study.codes["participant_id"].isin(included["participant_id"]).sum())

    found.add("design", make)


def _counts(people: Any, order: list[str]) -> dict[str, int]:
    cell = people["heatmap"].astype(str) + ":" + people["scores"].astype(str)
    return {name: int((cell == name).sum()) for name in order}


def outcomes(answers: Any) -> list[str]:
    """The outcomes that occur in a table of answers, in the order TP, FP, FN, TN."""
    there = set(answers["outcome"])
    return [name for name in ("TP", "FP", "FN", "TN") if name in there]


def linear_section(table: Any, measure: str, study: Study) -> Iterator[tuple[str, Any]]:
    """What accuracy and ratio have in common: descriptives, assumptions, ANOVA, contrasts, ranks, equivalence."""
    y = table[measure].to_numpy(np.float64)
    heatmaps = [level for level in table["heatmap"].cat.categories if (table["heatmap"] == level).any()]
    cells = group_tests.groups_of(y, table["cell"].to_numpy(), measures.cells(study))
    by_heatmap = group_tests.groups_of(y, table["heatmap"].astype(str).to_numpy(), heatmaps)
    by_scores = group_tests.groups_of(
        y, table["scores"].astype(str).to_numpy(), list(table["scores"].cat.categories)
    )
    yield "descriptives.overall", group_tests.describe(y)
    for name, groups in (("heatmap", by_heatmap), ("scores", by_scores), ("cell", cells)):
        yield f"descriptives.{name}", {key: group_tests.describe(values) for key, values in groups.items()}
    model = linear.fit(linear.design(table, TERMS), y)
    tables = {type_: linear.anova(model, type_) for type_ in (1, 2, 3)}
    for type_, result in tables.items():
        yield f"anova.type{type_}", result
    for type_ in (2, 3):
        yield f"effects.type{type_}", linear.effect_sizes(tables[type_], len(y))
    yield "shapiro.raw", partial(group_tests.shapiro_wilk, y)
    yield "shapiro.residuals", partial(group_tests.shapiro_wilk, model.residuals)
    for center in ("median", "mean"):
        yield f"levene.{center}", partial(group_tests.levene, cells, center)
    yield "bartlett", partial(group_tests.bartlett, cells)
    yield "fligner", partial(group_tests.fligner, cells)
    yield "fligner_exact", partial(group_tests.fligner_exact, cells)
    for type_ in (2, 3):
        for kind in ("hc0", "hc1", "hc2", "hc3", "hc4"):
            yield f"white.type{type_}.{kind}", partial(linear.white_anova, model, type_, kind.upper())
    yield from _contrasts(model, "const", "")
    within: dict[str, Any] = {}
    for level in table["scores"].cat.categories:
        pairs = linear.pairwise(
            model.design,
            model.coefficients,
            model.covariance(),
            model.df,
            "heatmap",
            "tukey",
            {"scores": level},
            False,
        )
        within.update({f"{level} | {name}": row for name, row in pairs.items()})
    yield "pairs.heatmap_within_scores.tukey", within
    if measure == "ratio":
        yield from _contrasts(model, "HC3", "_hc3")
        yield "ols.coef", dict(zip(model.design.names, model.coefficients, strict=True))
        yield (
            "ols.se",
            {
                kind: dict(zip(model.design.names, np.sqrt(np.diag(model.covariance(kind))), strict=True))
                for kind in linear.COVARIANCES
            },
        )
    oneway_df = len(y) - len(by_heatmap)
    oneway = sum(((values - values.mean()) ** 2).sum() for values in by_heatmap.values()) / oneway_df
    yield "tukeyhsd.oneway", partial(group_tests.tukey_hsd, by_heatmap, oneway, oneway_df)
    yield "tukeyhsd.twoway", partial(group_tests.tukey_hsd, by_heatmap, model.rss / model.df, model.df)
    yield "games_howell", partial(group_tests.games_howell, by_heatmap)
    yield "welch.heatmap", partial(group_tests.welch_anova, by_heatmap)
    yield "welch.cell", partial(group_tests.welch_anova, cells)
    if measure == "ratio":
        yield "dunn.heatmap", partial(group_tests.dunn, by_heatmap)
    yield "kruskal.heatmap", partial(group_tests.kruskal, by_heatmap)
    yield "kruskal.cell", partial(group_tests.kruskal, cells)
    for one, other, bound in BOUNDS[measure]:
        if one in by_heatmap and other in by_heatmap:
            yield (
                f"tost.{one}_vs_{other}.{bound}",
                partial(group_tests.tost, by_heatmap[one], by_heatmap[other], bound),
            )
    names = list(by_heatmap)
    yield (
        "bayes.ttest",
        lambda: {
            f"{other}-{one}": bayes_factors.two_groups(by_heatmap[one], by_heatmap[other])
            for at, one in enumerate(names)
            for other in names[at + 1 :]
            if group_tests.varies(by_heatmap[one], by_heatmap[other])
        },
    )
    yield "bayes.anova", partial(_bayes_anova, model)
    yield (
        "effects.intervals",
        lambda: {
            term: effect_intervals.partial_eta2(row["F"], row["df"], model.df)
            for term, row in tables[2].items()
            if term != "residual"
        },
    )
    yield "effects.cohens_d", partial(effect_intervals.standardised_differences, by_heatmap)


def _varies(found: Results, table: Any, measure: str) -> bool:
    """Whether `measure` varies within the cells; if not, a test would be of rounding, and it is told as left out."""
    values = table[measure].to_numpy(np.float64)
    if not group_tests.varies(values):
        found.problems[measure] = f"nothing varies: all values are the same, {values[0]:.3g}"
    elif not group_tests.varies(*(part.to_numpy(np.float64) for _, part in table.groupby("cell")[measure])):
        found.problems[measure] = "nothing varies within the cells, so nothing can be tested against chance"
    return measure not in found.problems


def _tell_left_out(found: Results, table: Any, measure: str) -> None:
    """The comparisons that `linear_section` leaves out, as nobody in `table` has one of their heatmaps."""
    there = set(table["heatmap"].astype(str))
    for one, other, bound in BOUNDS[measure]:
        absent = [name for name in (one, other) if name not in there]
        if absent:
            found.problems[f"{measure}.tost.{one}_vs_{other}.{bound}"] = (
                f"nobody with heatmap {absent[0]} is analysed"
            )


def _contrasts(model: linear.LinearModel, kind: str, suffix: str) -> Iterator[tuple[str, Any]]:
    covariance = model.covariance(kind)
    arguments = (model.design, model.coefficients, covariance, model.df, "heatmap")
    yield f"emmeans.heatmap{suffix}", linear.marginal_means(*arguments)
    for adjust in linear.ADJUSTMENTS:
        yield f"pairs.heatmap{suffix}.{adjust}", linear.pairwise(*arguments, adjust)


def _bayes_anova(model: linear.LinearModel) -> dict[str, Any]:
    of = model.design
    main = {
        name: bayes_factors.orthonormal_contrasts(len(of.levels[name]))[of.values[name]]
        for name in ("heatmap", "scores")
    }
    both = np.einsum("ni,nj->nij", main["heatmap"], main["scores"]).reshape(len(model.y), -1)
    models = {
        "heatmap": [main["heatmap"]],
        "scores": [main["scores"]],
        "heatmap + scores": [main["heatmap"], main["scores"]],
        "heatmap + scores + heatmap:scores": [main["heatmap"], main["scores"], both],
    }
    return {name: {"log_BF10": bayes_factors.design(model.y, effects)} for name, effects in models.items()}


def _accuracy(found: Results, study: Study) -> None:
    table = measures.accuracy(study)
    for heatmap in table["heatmap"].cat.categories:
        if not (table["heatmap"] == heatmap).any():
            found.problems[f"accuracy.descriptives.heatmap.{heatmap}"] = "every answer is missing"
    if _varies(found, table, "accuracy"):
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
    _tell_left_out(found, table, "accuracy")

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
        yield "design", _counts(part, measures.cells(study))
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


def _mixed_models(found: Results, study: Study) -> None:
    given = measures.answers(study)
    y = given["correct"].to_numpy(np.float64)
    if len(np.unique(y)) < 2:
        found.problems["glmm"] = "expected right and wrong answers for logistic models, got one kind only"
        return
    groups = {
        "participant": measures.numbered(given["participant_id"]),
        "task": measures.numbered(given["task_id"]),
    }

    def fitted(model: linear.Design) -> mixed_models.MixedModel:
        return mixed_models.logistic(model.matrix, model.names, y, groups)

    def section(
        name: str, terms: tuple[str, ...], tests: Callable[..., Iterator[tuple[str, Any]]]
    ) -> Iterator[tuple[str, Any]]:
        if any("outcome" in term for term in terms) and len(outcomes(given)) < 2:
            raise ArgumentError("expected several outcomes for a model with outcome, got one only")
        model = linear.design(given, terms, {"outcome": outcomes(given)})
        best = fitted(model)
        _caution(found, name, model, y, best)
        table = best.coefficients()
        yield "fixed", table
        yield "fixed_tmb", {"fixed": table, "random_sd": dict(best.random_sd), "logLik": best.loglik}
        yield "random_sd", dict(best.random_sd)
        yield "fit", best.information()
        for type_ in (2, 3):
            yield f"wald.type{type_}", linear.wald(model, best.estimates, best.covariance, type_)
        yield from tests(model, best)

    def base_tests(model: linear.Design, best: mixed_models.MixedModel) -> Iterator[tuple[str, Any]]:
        additive = model.without("heatmap:scores")
        both = fitted(additive)
        yield (
            "lrt",
            {
                "heatmap:scores": _likelihood_ratio(
                    both.loglik, best.loglik, len(model.terms["heatmap:scores"])
                ),
                "heatmap": _likelihood_ratio(
                    fitted(additive.without("heatmap")).loglik, both.loglik, len(model.levels["heatmap"]) - 1
                ),
                "scores": _likelihood_ratio(fitted(additive.without("scores")).loglik, both.loglik, 1),
            },
        )
        arguments = (model, best.estimates, best.covariance, np.inf, "heatmap")
        yield "pairs.heatmap.tukey", linear.pairwise(*arguments, "tukey")
        yield (
            "emmeans.heatmap",
            {level: _as_probability(row) for level, row in linear.marginal_means(*arguments).items()},
        )

    def interaction_tests(model: linear.Design, best: mixed_models.MixedModel) -> Iterator[tuple[str, Any]]:
        without = fitted(model.without("heatmap:outcome"))
        yield (
            "lrt",
            {
                "heatmap:outcome": _likelihood_ratio(
                    without.loglik, best.loglik, len(model.terms["heatmap:outcome"])
                )
            },
        )

    for name, terms, tests in (
        ("glmm.base", TERMS, base_tests),
        ("glmm.outcome", (*TERMS[:2], "outcome", TERMS[2]), lambda *_: iter(())),
        ("glmm.interaction", ("heatmap", "outcome", "scores", "heatmap:outcome"), interaction_tests),
    ):
        found.add(name, partial(section, name, terms, tests))

    def clustered() -> Iterator[tuple[str, Any]]:
        yield "", generalised_models.clustered_logistic(linear.design(given, TERMS), y, groups["participant"])

    found.add("logit.cluster", clustered)


EXTREME = 10.0
"""On the logit scale: an estimate beyond this with a standard error beyond it is one that has no maximum."""


def _caution(found: Results, name: str, model: linear.Design, y: Any, best: mixed_models.MixedModel) -> None:
    """Tell that the Wald results of a model are not usable: separation, or a fit without a maximum."""
    cells = generalised_models.separated_cells(model, y, y.min(), y.max())
    extreme = (np.abs(best.estimates) > EXTREME) & (np.sqrt(np.diag(best.covariance)) > EXTREME)
    if cells:
        why = f"all answers of {', '.join(cells)} are of one kind (separation), so that estimates run off to infinity"
    elif extreme.any():
        names = ", ".join(name for name, one in zip(best.names, extreme, strict=True) if one)
        why = f"{names} run off to infinity (separation)"
    elif not best.converged:
        why = "the fit did not converge"
    else:
        return
    found.cautions[name] = (
        f"{why}: its estimates, standard errors, Wald tests, pairs and intervals are not usable"
        + ("; its likelihood-ratio tests are" if best.converged else "")
    )


def _likelihood_ratio(less: float, more: float, df: int) -> dict[str, float]:
    from scipy import stats

    chi2 = max(0.0, 2 * (more - less))
    return {"chi2": chi2, "df": df, "p": float(stats.chi2.sf(chi2, df))}


def _as_probability(row: dict[str, float]) -> dict[str, float]:
    def share(value: float) -> float:
        return float(1 / (1 + np.exp(-value)))

    middle = share(row["mean"])
    return {
        "prob": middle,
        "se": row["se"] * middle * (1 - middle),
        "lower": share(row["lower"]),
        "upper": share(row["upper"]),
    }


def _confidence(found: Results, study: Study) -> None:
    rated = study.responses.dropna(subset=["confidence"]).join(
        study.participants.set_index("participant_id")[["heatmap", "scores"]], on="participant_id"
    )
    if not len(rated):
        found.problems["confidence"] = "no answer has a rating"
        return
    if rated["confidence"].nunique() == 1:
        found.problems["confidence"] = f"all values are the same, {rated['confidence'].iloc[0]:g}"
        return
    rated = rated.assign(cell=rated["heatmap"].astype(str) + ":" + rated["scores"].astype(str))

    def make() -> Iterator[tuple[str, Any]]:
        values = rated["confidence"].to_numpy(np.float64)
        order = measures.cells(study)
        yield "median", float(np.median(values))
        yield "counts", _rating_counts(values)
        by_cell = group_tests.groups_of(values, rated["cell"].to_numpy(), order)
        yield "counts_by_cell", {name: _rating_counts(group) for name, group in by_cell.items()}
        people = measures.confidence(study)
        for kind in ("median", "mean"):
            groups = group_tests.groups_of(people[kind].to_numpy(), people["cell"].to_numpy(), order)
            yield f"kruskal.participant_{kind}", partial(group_tests.kruskal, groups)
            yield f"kruskal_effects.participant_{kind}", partial(effect_intervals.epsilon2, groups)
        yield "kruskal.responses", partial(group_tests.kruskal, by_cell)
        heatmaps = list(people["heatmap"].cat.categories)
        groups = group_tests.groups_of(
            people["mean"].to_numpy(), people["heatmap"].astype(str).to_numpy(), heatmaps
        )
        yield "kruskal.heatmap", partial(group_tests.kruskal, groups)
        yield "dunn.heatmap", partial(group_tests.dunn, groups)

    found.add("confidence", make)

    def screened() -> Iterator[tuple[str, Any]]:
        people = measures.confidence(study)
        part = people[people["screening_passed"] == 1]
        groups = group_tests.groups_of(
            part["median"].to_numpy(), part["cell"].to_numpy(), measures.cells(study)
        )
        yield "kruskal.participant_median", group_tests.kruskal(groups)

    found.add("confidence.screened", screened)
    y = measures.numbered(rated["confidence"])
    labels = [f"{value:g}" for value in sorted(rated["confidence"].unique())]

    def cumulative(model: linear.Design, crossed: bool) -> mixed_models.MixedModel:
        groups = (
            {name: measures.numbered(rated[f"{name}_id"]) for name in ("participant", "task")}
            if crossed
            else {}
        )
        return mixed_models.cumulative(model.matrix[:, 1:], model.names[1:], y, groups, labels)

    def clm() -> Iterator[tuple[str, Any]]:
        yield "", cumulative(linear.design(rated, TERMS), False).coefficients()

    found.add("confidence.clm", clm)

    def clmm() -> Iterator[tuple[str, Any]]:
        full = linear.design(rated, TERMS)
        best = cumulative(full, True)
        _caution(found, "confidence.clmm", full, y, best)
        yield "fixed", best.coefficients()
        yield "random_sd", dict(best.random_sd)
        yield "singular", best.singular
        estimates = np.concatenate(
            [[0.0], best.estimates[len(labels) - 1 :]]
        )  # no intercept: 0, cancels in pairs
        covariance = np.zeros((len(estimates), len(estimates)))
        covariance[1:, 1:] = best.covariance[len(labels) - 1 :, len(labels) - 1 :]
        yield "pairs.heatmap.tukey", linear.pairwise(full, estimates, covariance, np.inf, "heatmap", "tukey")
        additive = cumulative(full.without("heatmap:scores"), True)
        scores = cumulative(full.without("heatmap:scores", "heatmap"), True)
        yield (
            "lrt",
            {
                "heatmap:scores": _likelihood_ratio(
                    additive.loglik, best.loglik, len(full.terms["heatmap:scores"])
                ),
                "heatmap": _likelihood_ratio(scores.loglik, additive.loglik, len(full.terms["heatmap"])),
            },
        )

    found.add("confidence.clmm", clmm)


def _rating_counts(values: Floats) -> dict[str, int]:
    return {str(value): int((values == value).sum()) for value in (1, 2, 3, 4)}


def _ratio(found: Results, study: Study) -> None:
    table = measures.ratio(study)
    if not len(table):
        found.problems["ratio"] = "no codes of participants who are not excluded"
        return
    for cell in measures.cells(study):
        if not (table["cell"] == cell).any():
            found.problems[f"ratio.descriptives.cell.{cell}"] = (
                "nobody of this cell is analysed for features: all are excluded, or have no codes"
            )
    if not _varies(found, table, "ratio"):
        return
    found.add("ratio", lambda: linear_section(table, "ratio", study))
    _tell_left_out(found, table, "ratio")
    saliency, codes = table["saliency"].to_numpy(np.float64), table["codes"].to_numpy(np.float64)

    def quasi() -> Iterator[tuple[str, Any]]:
        yield "", generalised_models.quasibinomial_anova(linear.design(table, TERMS), saliency, codes)

    found.add("ratio.quasibinomial.type2", quasi)

    def screened() -> Iterator[tuple[str, Any]]:
        part = table[table["screening_passed"] == 1]
        fitted = linear.fit(linear.design(part, TERMS), part["ratio"].to_numpy(np.float64))
        yield "design", _counts(part, measures.cells(study))
        yield "white.type2.hc3", linear.white_anova(fitted, 2, "HC3")

    found.add("ratio.screened", screened)

    try:
        model = linear.design(table, TERMS)
    except ArgumentError:
        return  # one condition only, as linear_section said
    cells = generalised_models.separated_cells(model, saliency / codes, 0, 1)
    if cells:
        found.problems["ratio.betabinomial"] = (
            f"expected codes of both kinds in every cell, got one kind only in {', '.join(cells)}: no maximum; so of "
            "its pairs and dispersion"
        )
        return

    def fitted(mean: linear.Design, spread: Floats) -> dict[str, Any]:
        return generalised_models.beta_binomial(mean.matrix, spread, saliency, codes)

    def betabinomial() -> Iterator[tuple[str, Any]]:
        best = fitted(model, np.ones((len(table), 1)))
        yield (
            "",
            {
                "fixed": mixed_models.coefficient_table(
                    model.names, best["coefficients"], best["covariance"]
                ),
                "phi": best["phi"],
                "logLik": best["loglik"],
            },
        )
        if best["no_spread"]:
            found.problems["ratio.betabinomial.phi"] = (
                "a singular model: the ratios vary no more than chance, so phi has no maximum; the coefficients are "
                "those of the binomial model"
            )

    found.add("ratio.betabinomial", betabinomial)

    def pairs() -> Iterator[tuple[str, Any]]:
        best = fitted(model, np.ones((len(table), 1)))
        arguments = (model, best["coefficients"], best["covariance"], np.inf, "heatmap")
        yield "", linear.pairwise(*arguments, "tukey")

    found.add("ratio.betabinomial_pairs", pairs)

    def dispersion() -> Iterator[tuple[str, Any]]:
        spread = linear.design(table, ("heatmap",)).matrix
        one = float(fitted(model, np.ones((len(table), 1)))["loglik"])
        full = float(fitted(model, spread)["loglik"])
        additive = float(fitted(model.without("heatmap:scores"), spread)["loglik"])
        scores = float(fitted(model.without("heatmap:scores", "heatmap"), spread)["loglik"])
        yield (
            "",
            {
                "logLik": full,
                "lrt_dispersion": _likelihood_ratio(one, full, spread.shape[1] - 1),
                "lrt_heatmap": _likelihood_ratio(scores, additive, spread.shape[1] - 1),
            },
        )

    found.add("ratio.betabinomial_dispersion", dispersion)


def _codes(found: Results, study: Study) -> None:
    if len(measures.analysed_codes(study)):
        answered = set(measures.analysed_answers(study)["image_class"])
        for name in sorted(set(study.responses["image_class"]) - answered):
            found.problems[f"codes.percent.{name}"] = "no answers of this class are analysed"
        found.add("codes", lambda: features.code_results(study))
        found.add("codes", lambda: code_kinds.kind_results(study))
    else:
        found.problems["codes"] = "no codes of participants who are not excluded"


def _reliability(found: Results, study: Study) -> None:
    if study.double_coding is None or not len(study.double_coding):
        found.problems["reliability"] = "no double_coding.csv"
        return
    group_of = dict(zip(study.codes["code"], study.codes["group"], strict=True))

    def make() -> Iterator[tuple[str, Any]]:
        table = study.double_coding
        coders = {name: [value or None for value in table[f"coder_{name}"]] for name in "abc"}
        for level in ("code", "group"):
            of = {
                name: [
                    group_of.get(value) if level == "group" and value is not None else value
                    for value in values
                ]
                for name, values in coders.items()
            }
            yield f"{level}.cohen_ab", _kappa(agreement.cohen_kappa(of["a"], of["b"]))
            yield f"{level}.krippendorff_ab", _alpha(list(zip(of["a"], of["b"], strict=True)))
            if not any(value is not None for value in of["c"]):
                continue
            units = list(zip(of["a"], of["b"], of["c"], strict=True))
            yield f"{level}.krippendorff_abc", _alpha(units)
            yield f"{level}.cohen_ac", _kappa(agreement.cohen_kappa(of["a"], of["c"]))
            yield f"{level}.fleiss", _fleiss([unit for unit in units if None not in unit])

    found.add("reliability", make)


def _kappa(kappa: agreement.CohenKappa) -> dict[str, float]:
    return {
        "kappa": kappa.kappa,
        "se0": kappa.se0,
        "z": kappa.z,
        "p": kappa.p,
        "agreement": kappa.agreement,
        "expected": kappa.expected,
        "n": kappa.n,
        "se_asymptotic": kappa.se,
        "ci_lower": kappa.ci_lower,
        "ci_upper": kappa.ci_upper,
        "se_psych": kappa.se,
    }


def _fleiss(units: Sequence[Sequence[Any]]) -> dict[str, float]:
    fleiss = agreement.fleiss_kappa(units)
    lower, upper = agreement.bootstrap_interval(lambda drawn: agreement.fleiss_kappa(drawn).kappa, units)
    return {
        "kappa": fleiss.kappa,
        "Pbar": fleiss.agreement,
        "Pe": fleiss.expected,
        "n": fleiss.n,
        "raters": fleiss.raters,
        "ci_lower": lower,
        "ci_upper": upper,
    }


def _alpha(units: Sequence[Sequence[Any]]) -> dict[str, float]:
    alpha = agreement.krippendorff_alpha(units)
    lower, upper = agreement.bootstrap_interval(
        lambda drawn: agreement.krippendorff_alpha(drawn).alpha, units
    )
    return {
        "alpha": alpha.alpha,
        "pairable_values": alpha.pairable_values,
        "Do": alpha.observed,
        "De": alpha.expected,
        "ci_lower": lower,
        "ci_upper": upper,
    }


def _power(found: Results, study: Study) -> None:
    """For the design as it was published: three heatmaps, 32 people each, 90 degrees of freedom of error."""

    def f_power(f: float) -> float:
        return power.model_power(2, 90, f**2, n=96)

    def make() -> Iterator[tuple[str, Any]]:
        yield (
            "given_f",
            {
                f: {
                    "oneway_k3_n32": power.anova_power(3, 32, f),
                    "f2_u2_v90": power.model_power(2, 90, f**2),
                    "f2_u2_v90_ncp96": f_power(f),
                }
                for f in (0.1, 0.25, 0.4)
            },
        )
        yield (
            "sensitivity",
            {
                wanted: {
                    "oneway_f": power.effect_for(wanted, lambda f: power.anova_power(3, 32, f)),
                    "f2": power.effect_for(wanted, lambda f2: power.model_power(2, 90, f2)),
                    "f_ncp96": power.effect_for(wanted, f_power),
                }
                for wanted in (0.8, 0.9)
            },
        )
        yield "n_per_group", {f: power.per_group_for(0.8, 3, f) for f in (0.1, 0.25, 0.4)}
        yield (
            "pairwise_d",
            {
                "d_unadjusted": power.effect_for(0.8, lambda d: power.t_power(32, d)),
                "d_bonferroni3": power.effect_for(0.8, lambda d: power.t_power(32, d, 0.05 / 3)),
            },
        )

    found.add("power", make)

    found.add("power", lambda: iter([("planning", _planning())]))


@cache
def _planning() -> dict[str, Any]:
    """Of a step from 57 % to 63 %: power of the published design, and what 80 % take."""
    shares, spread = {"none": 0.57, "occlusion": 0.57, "lrp": 0.63}, (0.41, 1.04)
    f = power.expected_f(shares, 14, *spread)
    simulated = power.simulated_power(shares, 32, 14, *spread, runs=300)
    return {
        "person_sd": spread[0],
        "task_sd": spread[1],
        "f": f,
        "power": power.anova_power(3, 32, f),
        "simulated": simulated["power"],
        "runs": 300,
        "people_for_80": float(np.ceil(power.per_group_for(0.8, 3, f))),
        "tasks_for_80": power.tasks_for(0.8, shares, 32, *spread),
    }


def _multiplicity(found: Results, study: Study) -> None:
    def make() -> Iterator[tuple[str, Any]]:
        needed = ("accuracy.anova.type2", "ratio.white.type2.hc3", "confidence.kruskal.participant_median")
        missing = [name for name in needed if name not in found.values]
        if missing:
            raise ArgumentError(
                f"expected {', '.join(missing)} for the family of tests, which could not be had"
            )
        accuracy, ratio = found.values["accuracy.anova.type2"], found.values["ratio.white.type2.hc3"]
        raw = {
            "accuracy_heatmap": accuracy["heatmap"]["p"],
            "accuracy_scores": accuracy["scores"]["p"],
            "accuracy_interaction": accuracy["heatmap:scores"]["p"],
            "confidence": found.values["confidence.kruskal.participant_median"]["p"],
            "ratio_heatmap": ratio["heatmap"]["p"],
            "ratio_scores": ratio["scores"]["p"],
            "ratio_interaction": ratio["heatmap:scores"]["p"],
        }
        methods = ("holm", "hochberg", "BH", "BY", "bonferroni")
        table: dict[str, Any] = {"raw": raw}
        for method in methods:
            table[method] = dict(zip(raw, linear.adjusted(list(raw.values()), method), strict=True))
        yield "family", table

    found.add("multiplicity", make)


SECTIONS: dict[str, Callable[[Results, Study], None]] = {
    "design": _design,
    "accuracy": _accuracy,
    "mixed models": _mixed_models,
    "confidence": _confidence,
    "saliency-feature ratio": _ratio,
    "codes": _codes,
    "agreement of coders": _reliability,
    "power": _power,
    "multiplicity": _multiplicity,
}
"""What makes the results, in order; multiplicity needs accuracy, confidence and ratio."""
