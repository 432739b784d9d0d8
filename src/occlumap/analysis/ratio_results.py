"""Results of the saliency-feature ratio: tests, quasi-binomial and beta-binomial models."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.analysis import generalised_models, measures, mixed_models
from occlumap.analysis import linear_models as linear
from occlumap.analysis.linear_results import TERMS, counts, linear_section, measure_varies, tell_left_out
from occlumap.analysis.mixed_model_results import likelihood_ratio
from occlumap.analysis.results import Results
from occlumap.analysis.tables import Study
from occlumap.errors import ArgumentError

Floats = NDArray[np.float64]


def ratio_results(found: Results, study: Study) -> None:
    """Put all of the saliency-feature ratio into `found`, and what of it cannot be had."""
    table = measures.ratio(study)
    if not len(table):
        found.problems["ratio"] = "no codes of participants who are not excluded"
        return
    for cell in measures.cells(study):
        if not (table["cell"] == cell).any():
            found.problems[f"ratio.descriptives.cell.{cell}"] = (
                "nobody of this cell is analysed for features: all are excluded, or have no codes"
            )
    if not measure_varies(found, table, "ratio"):
        return
    found.add("ratio", lambda: linear_section(table, "ratio", study))
    tell_left_out(found, table, "ratio")
    saliency, codes = table["saliency"].to_numpy(np.float64), table["codes"].to_numpy(np.float64)

    def quasi() -> Iterator[tuple[str, Any]]:
        yield "", generalised_models.quasibinomial_anova(linear.design(table, TERMS), saliency, codes)

    found.add("ratio.quasibinomial.type2", quasi)

    def screened() -> Iterator[tuple[str, Any]]:
        part = table[table["screening_passed"] == 1]
        fitted = linear.fit(linear.design(part, TERMS), part["ratio"].to_numpy(np.float64))
        yield "design", counts(part, measures.cells(study))
        yield "white.type2.hc3", linear.white_anova(fitted, 2, "HC3")

    found.add("ratio.screened", screened)

    try:
        model = linear.design(table, TERMS)
        model.check()
    except ArgumentError as error:
        found.problems["ratio.betabinomial"] = f"{error}; so are its pairs and dispersion"
        return
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
        table_of = mixed_models.coefficient_table(model.names, best["coefficients"], best["covariance"])
        if best["no_spread"]:
            found.problems["ratio.betabinomial.phi"] = (
                "a singular model: the ratios vary no more than chance, so phi has no maximum; the coefficients, "
                "standard errors and pairs are those of the binomial model"
            )
            yield "", {"fixed": table_of, "logLik": best["loglik"]}
        else:
            yield "", {"fixed": table_of, "phi": best["phi"], "logLik": best["loglik"]}

    found.add("ratio.betabinomial", betabinomial)

    def pairs() -> Iterator[tuple[str, Any]]:
        best = fitted(model, np.ones((len(table), 1)))
        arguments = (model, best["coefficients"], best["covariance"], np.inf, "heatmap")
        yield "", linear.pairwise(*arguments, "tukey")

    found.add("ratio.betabinomial_pairs", pairs)

    def dispersion() -> Iterator[tuple[str, Any]]:
        spread = linear.design(table, ("heatmap",)).matrix
        fits = [
            fitted(model, np.ones((len(table), 1))),
            fitted(model, spread),
            fitted(model.without("heatmap:scores"), spread),
            fitted(model.without("heatmap:scores", "heatmap"), spread),
        ]
        if any(fit["no_spread"] for fit in fits):
            raise ArgumentError(
                "a singular model: the ratios of a heatmap, or all, vary no more than chance, so a phi has no maximum "
                "and a likelihood-ratio test has no chi-square distribution; for the heatmap take the quasi-binomial "
                "model's test"
            )
        one, full, additive, scores = (float(fit["loglik"]) for fit in fits)
        yield (
            "",
            {
                "logLik": full,
                "lrt_dispersion": likelihood_ratio(one, full, spread.shape[1] - 1),
                "lrt_heatmap": likelihood_ratio(scores, additive, spread.shape[1] - 1),
            },
        )

    found.add("ratio.betabinomial_dispersion", dispersion)
