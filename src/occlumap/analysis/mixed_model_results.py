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
        name: str, terms: tuple[str, ...], tests: Callable[..., Iterator[tuple[str, Any]]]
    ) -> Iterator[tuple[str, Any]]:
        if any("outcome" in term for term in terms) and len(outcomes(given)) < 2:
            raise ArgumentError("expected several outcomes for a model with outcome, got one only")
        model = linear.design(given, terms, {"outcome": outcomes(given)})
        best = fitted(model)
        tell_caution(found, name, model, y, best)
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
                "heatmap:scores": likelihood_ratio(
                    both.loglik, best.loglik, len(model.terms["heatmap:scores"])
                ),
                "heatmap": likelihood_ratio(
                    fitted(additive.without("heatmap")).loglik, both.loglik, len(model.levels["heatmap"]) - 1
                ),
                "scores": likelihood_ratio(fitted(additive.without("scores")).loglik, both.loglik, 1),
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
                "heatmap:outcome": likelihood_ratio(
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


def tell_caution(
    found: Results, name: str, model: linear.Design, y: Any, best: mixed_models.MixedModel
) -> None:
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
