"""Results of the logistic mixed models of single answers, and cautions on models."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from occlumap.analysis import generalised_models, measures, mixed_models
from occlumap.analysis import linear_models as linear
from occlumap.analysis.accuracy_results import outcomes
from occlumap.analysis.linear_results import TERMS
from occlumap.analysis.results import Results
from occlumap.analysis.tables import Study
from occlumap.errors import ArgumentError


def mixed_model_results(found: Results, study: Study) -> None:
    """Put the logistic models of single answers into `found`, and what of them cannot be had."""
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
        name: str,
        terms: tuple[str, ...],
        tests: Callable[..., dict[str, Any]] | None,
        contrasts: Callable[..., Iterator[tuple[str, Any]]],
    ) -> Iterator[tuple[str, Any]]:
        if any("outcome" in term for term in terms) and len(outcomes(given)) < 2:
            raise ArgumentError("expected several outcomes for a model with outcome, got one only")
        model = linear.design(given, terms, {"outcome": outcomes(given)})
        model.check()
        apart = separation(model, y)
        tell_caution(found, name, apart)
        best = fitted(model)
        if tests is not None:
            yield "lrt", partial(tests, model, best)
        tell_caution(found, name, apart, best)
        yield "random_sd", dict(best.random_sd)
        yield "fit", best.information()
        table = best.coefficients()
        yield "fixed", table
        yield "fixed_tmb", {"fixed": table, "random_sd": dict(best.random_sd), "logLik": best.loglik}
        for type_ in (2, 3):
            yield f"wald.type{type_}", linear.wald(model, best.estimates, best.covariance, type_)
        yield from contrasts(model, best)

    def base_tests(model: linear.Design, best: mixed_models.MixedModel) -> dict[str, Any]:
        additive = model.without("heatmap:scores")
        both = fitted(additive)
        return {
            "heatmap:scores": likelihood_ratio(both.loglik, best.loglik, len(model.terms["heatmap:scores"])),
            "heatmap": likelihood_ratio(
                fitted(additive.without("heatmap")).loglik, both.loglik, len(model.levels["heatmap"]) - 1
            ),
            "scores": likelihood_ratio(fitted(additive.without("scores")).loglik, both.loglik, 1),
        }

    def base_contrasts(model: linear.Design, best: mixed_models.MixedModel) -> Iterator[tuple[str, Any]]:
        arguments = (model, best.estimates, best.covariance, np.inf, "heatmap")
        yield "pairs.heatmap.tukey", linear.pairwise(*arguments, "tukey")
        yield (
            "emmeans.heatmap",
            {level: _as_probability(row) for level, row in linear.marginal_means(*arguments).items()},
        )

    def interaction_tests(model: linear.Design, best: mixed_models.MixedModel) -> dict[str, Any]:
        without = fitted(model.without("heatmap:outcome"))
        df = len(model.terms["heatmap:outcome"])
        return {"heatmap:outcome": likelihood_ratio(without.loglik, best.loglik, df)}

    def none(model: linear.Design, best: mixed_models.MixedModel) -> Iterator[tuple[str, Any]]:
        return iter(())

    for name, terms, tests, contrasts in (
        ("glmm.base", TERMS, base_tests, base_contrasts),
        ("glmm.outcome", (*TERMS[:2], "outcome", TERMS[2]), None, none),
        ("glmm.interaction", ("heatmap", "outcome", "scores", "heatmap:outcome"), interaction_tests, none),
    ):
        found.add(name, partial(section, name, terms, tests, contrasts))

    def clustered() -> Iterator[tuple[str, Any]]:
        yield "", generalised_models.clustered_logistic(linear.design(given, TERMS), y, groups["participant"])

    found.add("logit.cluster", clustered)


EXTREME = 10.0
"""On the logit scale: an estimate beyond this with a standard error beyond it is one that has no maximum, and so is a
standard deviation of random effects beyond this.
"""


TESTS_USABLE = "; its likelihood-ratio tests are"
"""What the caution on a model ends with if so."""


def separation(model: linear.Design, y: Any) -> str:
    """In words: which cells of the design have answers that drive a model's estimates to infinity; "" for none."""
    cells = generalised_models.separated_cells(model, y, y.min(), y.max())
    if cells:
        return f"all answers of {', '.join(cells)} are of one kind (separation), so that estimates run off to infinity"
    return ""


def tell_caution(found: Results, name: str, apart: str, best: mixed_models.MixedModel | None = None) -> None:
    """Tell that the Wald results of a model are not usable: separation (`apart`, in words), or a fit without a maximum;
    and whether its likelihood-ratio tests are, if it has any.
    """
    why, tests = apart, True
    if best is not None:
        extreme = (np.abs(best.estimates) > EXTREME) & (np.sqrt(np.diag(best.covariance)) > EXTREME)
        wide = {group: sd for group, sd in best.random_sd.items() if sd > EXTREME}
        if wide:
            told = " and ".join(f"of {group}s ({sd:.3g} on the logit scale)" for group, sd in wide.items())
            far = f"the standard deviation {told} runs off, as it does where the answers of each are of one kind"
            why, tests = f"{why}; {far}" if why else far, False
        elif not why and extreme.any():
            names = ", ".join(name for name, one in zip(best.names, extreme, strict=True) if one)
            why = f"{names} run off to infinity (separation)"
        if not best.converged:
            why, tests = f"{why}; the fit did not converge" if why else "the fit did not converge", False
    if why:
        told = f"{why}: its estimates, standard errors, Wald tests, pairs and intervals are not usable"
        found.cautions[name] = told + (TESTS_USABLE if tests and f"{name}.lrt" in found.values else "")


def likelihood_ratio(less: float, more: float, df: int) -> dict[str, float]:
    """Chi-square, its df and p from the log-likelihoods of a model and of one with `df` more parameters."""
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
