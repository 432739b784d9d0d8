"""Models of counts and shares without random effects: logistic with clustered errors, quasi-binomial, beta-binomial.

Binomial models are statsmodels'; written out is what it lacks: their tests of type II, and the beta-binomial model.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.analysis.linear_models import NO_VARIANCE, Design
from occlumap.analysis.mixed_models import _hessian, _slope, coefficient_table
from occlumap.errors import ArgumentError

Floats = NDArray[np.float64]

NO_SPREAD = 1e4
"""A phi above this is none: the counts vary no more than binomial ones."""

NO_GAIN = 1e-4
"""Nor is one a phi with which the log-likelihood is no more than this above the binomial model's."""

CERTAIN = 1e-9
"""A fitted share this near 0 or 1 is one that the likelihood drives there."""


def separated_cells(design: Design, y: Floats, lowest: float, highest: float) -> list[str]:
    """Cells of the design ("lrp:shown") in which y is `lowest`, or `highest`, throughout.

    Of the terms that no other contains; the likelihood of a logistic model drives such a cell's coefficients to
    infinity (Albert & Anderson 1984).
    """
    return [
        name
        for name, rows in design.cells()
        if rows.any() and ((y[rows] == lowest).all() or (y[rows] == highest).all())
    ]


def ordered_apart(design: Design, y: NDArray[np.int64]) -> tuple[int, list[str], list[str]] | None:
    """A value of the ordered y, 0 to K, that no cell's values lie on both sides of; the cells up to it, and from it.

    The likelihood of a cumulative model drives these apart without end. None: there is no such value.
    """
    ranges = {name: (y[rows].min(), y[rows].max()) for name, rows in design.cells() if rows.any()}
    for value in range(1, int(y.max())):
        low = [name for name, (_, highest) in ranges.items() if highest <= value]
        high = [name for name, (lowest, _) in ranges.items() if lowest >= value]
        if {*low, *high} == ranges.keys():
            return value, low, high
    return None


def _check_both_kinds(design: Design, shares: Floats) -> None:
    design.check()
    cells = separated_cells(design, shares, 0, 1)
    if cells:
        raise ArgumentError(
            f"expected right and wrong answers in every cell, got one kind only in {', '.join(cells)}: no maximum"
        )


def binomial(matrix: Floats, shares: Floats, trials: Floats | None = None, **options: Any) -> Any:
    """Statsmodels' fit of a binomial model; ArgumentError where there is no maximum (a cell all right or all wrong).

    `shares`: of successes, 0 to 1, among `trials`, 1 each if left out. `options`: of its `fit`.
    """
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    model = GLM(shares, matrix, family=Binomial(), var_weights=trials)
    found = model.fit(tol=1e-12, **options)
    if np.minimum(found.mu, 1 - found.mu).min() < CERTAIN:
        raise ArgumentError(
            "expected right and wrong answers in every cell, got a cell of one kind: no maximum"
        )
    return found


def quasibinomial_anova(design: Design, successes: Floats, trials: Floats) -> dict[str, Any]:
    """F by term, type 2, of a binomial model whose dispersion is Pearson's (McCullagh & Nelder 1989; car::Anova)."""
    from scipy import stats

    _check_both_kinds(design, successes / trials)
    full = binomial(design.matrix, successes / trials, trials, scale="X2")
    dispersion, df = float(full.scale), int(full.df_resid)
    if dispersion < NO_VARIANCE:
        raise ArgumentError("nothing varies within the cells, so nothing can be tested against chance")
    found: dict[str, Any] = {}
    for term in design.terms:
        above = design.relatives(term)
        more, less = design.without(*above), design.without(term, *above)
        deviances = [binomial(of.matrix, successes / trials, trials).deviance for of in (less, more)]
        count = len(design.terms[term])
        value = float(deviances[0] - deviances[1]) / count / dispersion
        found[term] = {"df": count, "F": value, "p": float(stats.f.sf(value, count, df))}
    return {**found, "dispersion": dispersion, "residual_df": df}


def clustered_logistic(design: Design, y: Floats, clusters: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """A logistic model of single answers with errors clustered by participant (Liang & Zeger 1986; sandwich::vcovCL).

    Without a correction for the number of clusters, with G / (G - 1), and with that times (N - 1) / (N - K).
    """
    n, k = design.matrix.shape
    _check_both_kinds(design, y)
    found = binomial(
        design.matrix,
        y,
        cov_type="cluster",
        cov_kwds={"groups": clusters, "use_correction": False},
    )
    count = int(clusters.max()) + 1
    factors = {
        "no_adjustment": 1.0,
        "g_over_g_minus_1": count / (count - 1),
        "both_factors": count / (count - 1) * (n - 1) / (n - k),
    }
    return {
        name: coefficient_table(design.names, found.params, found.cov_params() * factor)
        for name, factor in factors.items()
    }


def beta_binomial(matrix: Floats, dispersion: Floats, successes: Floats, trials: Floats) -> dict[str, Any]:
    """Beta-binomial regression: mean = logistic(matrix @ b), phi = exp(dispersion @ d), alpha = mean x phi.

    (Skellam 1948; the parameters of glmmTMB.) `dispersion`: a column of ones for one phi. Gives `coefficients`,
    `covariance` of them, `phi` of the first row, `loglik` (the binomial coefficient included), `no_spread`: counts of
    some rows, those of one phi, vary no more than chance, so the likelihood rises without end with it; all is then the
    binomial model's, and `phi` infinite.
    """
    from scipy import optimize, special

    count = matrix.shape[1]
    combinations = (
        special.gammaln(trials + 1) - special.gammaln(successes + 1) - special.gammaln(trials - successes + 1)
    )

    def rows(parameters: Floats) -> Floats:
        mean = 1 / (1 + np.exp(-matrix @ parameters[:count]))
        phi = np.exp(np.clip(dispersion @ parameters[count:], -10, 15))
        alpha, beta = mean * phi, (1 - mean) * phi
        both = special.betaln(successes + alpha, trials - successes + beta) - special.betaln(alpha, beta)
        return np.asarray(combinations + both)

    def binomial_rows(mean: Floats) -> Floats:
        return np.asarray(combinations + successes * np.log(mean) + (trials - successes) * np.log(1 - mean))

    def minus_loglik(parameters: Floats) -> float:
        return -float(rows(parameters).sum())

    without = binomial(matrix, successes / trials, trials)
    start = np.concatenate([without.params, np.ones(dispersion.shape[1])])
    found = optimize.minimize(
        minus_loglik,
        start,
        jac=lambda at: _slope(minus_loglik, at, 1e-5),
        method="BFGS",
        options={"gtol": 1e-5, "maxiter": 500},
    )
    phi = np.exp(dispersion @ found.x[count:])
    gained = rows(found.x) - binomial_rows(special.expit(matrix @ found.x[:count]))
    groups = np.unique(dispersion, axis=0, return_inverse=True)[1].ravel()
    if phi.max() > NO_SPREAD or np.bincount(groups, gained).min() < NO_GAIN:
        return {
            "no_spread": True,
            "coefficients": without.params,
            "covariance": without.cov_params(),
            "phi": np.inf,
            "loglik": float(binomial_rows(without.mu).sum()),
        }
    return {
        "no_spread": False,
        "coefficients": found.x[:count],
        "covariance": np.linalg.inv(_hessian(minus_loglik, found.x, 1e-4))[:count, :count],
        "phi": float(phi[0]),
        "loglik": -float(found.fun),
    }
