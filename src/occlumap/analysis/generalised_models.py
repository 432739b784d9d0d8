"""Models of counts and shares without random effects: logistic with clustered errors, quasi-binomial, beta-binomial."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.analysis.linear_models import Design
from occlumap.analysis.mixed_models import _hessian, _slope, coefficient_table
from occlumap.errors import ArgumentError

Floats = NDArray[np.float64]

NO_SPREAD = 1e4
"""A phi above this is none: the counts vary no more than binomial ones."""


def logistic_coefficients(matrix: Floats, successes: Floats, trials: Floats) -> Floats:
    """Maximum likelihood by Newton's method; ArgumentError where there is no maximum (all right or all wrong)."""
    coefficients = np.zeros(matrix.shape[1])
    for _ in range(100):
        share = 1 / (1 + np.exp(-matrix @ coefficients))
        weight = trials * share * (1 - share)
        step = np.linalg.solve((matrix * weight[:, None]).T @ matrix, matrix.T @ (successes - trials * share))
        coefficients = coefficients + step
        if np.abs(coefficients).max() > 30:
            break
        if np.abs(step).max() < 1e-13:
            return coefficients
    if np.abs(coefficients).max() > 30:
        raise ArgumentError(
            "expected right and wrong answers in every cell, got a cell of one kind: no maximum"
        )
    return coefficients


def deviance(matrix: Floats, successes: Floats, trials: Floats) -> float:
    """Minus twice the log-likelihood ratio to the saturated model."""
    share = 1 / (1 + np.exp(-matrix @ logistic_coefficients(matrix, successes, trials)))
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.where(successes > 0, successes * np.log(successes / (trials * share)), 0)
        failures = trials - successes
        other = np.where(failures > 0, failures * np.log(failures / (trials * (1 - share))), 0)
    return float(2 * (one + other).sum())


def quasibinomial_anova(design: Design, successes: Floats, trials: Floats) -> dict[str, Any]:
    """F by term, type 2, of a binomial model whose dispersion is Pearson's (McCullagh & Nelder 1989; car::Anova)."""
    from scipy import stats

    coefficients = logistic_coefficients(design.matrix, successes, trials)
    share = 1 / (1 + np.exp(-design.matrix @ coefficients))
    df = len(trials) - design.matrix.shape[1]
    pearson = ((successes - trials * share) ** 2 / (trials * share * (1 - share))).sum()
    dispersion = float(pearson / df)
    found: dict[str, Any] = {}
    for term in design.terms:
        above = design.relatives(term)
        more, less = design.without(*above), design.without(term, *above)
        drop = deviance(less.matrix, successes, trials) - deviance(more.matrix, successes, trials)
        count = len(design.terms[term])
        value = drop / count / dispersion
        found[term] = {"df": count, "F": value, "p": float(stats.f.sf(value, count, df))}
    return {**found, "dispersion": dispersion, "residual_df": df}


def clustered_logistic(design: Design, y: Floats, clusters: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """A logistic model of single answers with errors clustered by participant (Liang & Zeger 1986; sandwich::vcovCL).

    Without a correction for the number of clusters, with G / (G - 1), and with that times (N - 1) / (N - K).
    """
    matrix = design.matrix
    n, k = matrix.shape
    coefficients = logistic_coefficients(matrix, y, np.ones(n))
    share = 1 / (1 + np.exp(-matrix @ coefficients))
    bread = np.linalg.inv((matrix * (share * (1 - share))[:, None]).T @ matrix)
    scores = matrix * (y - share)[:, None]
    count = int(clusters.max()) + 1
    sums = np.stack([np.bincount(clusters, column, count) for column in scores.T], axis=1)
    covariance = bread @ (sums.T @ sums) @ bread
    factors = {
        "no_adjustment": 1.0,
        "g_over_g_minus_1": count / (count - 1),
        "both_factors": count / (count - 1) * (n - 1) / (n - k),
    }
    return {
        name: coefficient_table(design.names, coefficients, covariance * factor)
        for name, factor in factors.items()
    }


def beta_binomial(matrix: Floats, dispersion: Floats, successes: Floats, trials: Floats) -> dict[str, Any]:
    """Beta-binomial regression: mean = logistic(matrix @ b), phi = exp(dispersion @ d), alpha = mean x phi.

    (Skellam 1948; the parameters of glmmTMB.) `dispersion`: a column of ones for one phi. Gives `coefficients`,
    `covariance` of them, `phi` of the first row, `loglik` (the binomial coefficient included), `no_spread`: the counts
    vary no more than chance, so the likelihood rises without end with phi; the covariance is then the binomial one's.
    """
    from scipy import optimize, special

    count = matrix.shape[1]
    combinations = (
        special.gammaln(trials + 1) - special.gammaln(successes + 1) - special.gammaln(trials - successes + 1)
    )

    def minus_loglik(parameters: Floats) -> float:
        mean = 1 / (1 + np.exp(-matrix @ parameters[:count]))
        phi = np.exp(np.clip(dispersion @ parameters[count:], -10, 15))
        alpha, beta = mean * phi, (1 - mean) * phi
        rows = special.betaln(successes + alpha, trials - successes + beta) - special.betaln(alpha, beta)
        return -float((combinations + rows).sum())

    start = np.concatenate([logistic_coefficients(matrix, successes, trials), np.ones(dispersion.shape[1])])
    found = optimize.minimize(
        minus_loglik,
        start,
        jac=lambda at: _slope(minus_loglik, at, 1e-5),
        method="BFGS",
        options={"gtol": 1e-5, "maxiter": 500},
    )
    hessian = _hessian(minus_loglik, found.x, 1e-4)
    phi = np.exp(dispersion @ found.x[count:])
    # without more spread than chance phi has no maximum: the model is the binomial one, whose curvature is taken
    none = bool(phi.max() > NO_SPREAD)
    covariance = np.linalg.inv(hessian[:count, :count] if none else hessian)
    return {
        "no_spread": none,
        "coefficients": found.x[:count],
        "covariance": covariance[:count, :count],
        "phi": float(phi[0]),
        "loglik": -float(found.fun),
    }
