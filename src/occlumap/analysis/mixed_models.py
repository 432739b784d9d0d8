"""Mixed models with crossed random intercepts by the Laplace approximation: logistic and cumulative logit.

The marginal likelihood is approximated at the mode of the random effects (Breslow & Clayton 1993; Pinheiro & Bates
1995; what lme4's glmer does with nAGQ = 1, glmmTMB and ordinal's clmm do). Maximum likelihood for fixed effects and
standard deviations together; standard errors from the observed information of both. Written out, as statsmodels has no
maximum likelihood of crossed random effects (its mixed GLMs are Bayesian) and no ordinal model with any.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from occlumap.errors import ArgumentError

Floats = NDArray[np.float64]

SINGULAR = 1e-3
"""A standard deviation of random effects below this is none: the fit is singular."""

NO_VARIANCE = 1e-12
"""A coefficient's variance below this, on the logit scale, is rounding."""


class _Rows(NamedTuple):
    """Log-likelihood of the rows, summed; its slope in each linear predictor, and minus its curvature."""

    value: float
    slope: Floats
    curvature: Floats


Family = Callable[[Floats, Floats], _Rows]
"""From (fixed parameters beside the coefficients, linear predictors) to `_Rows`."""


@dataclass(frozen=True)
class MixedModel:
    """A fit. `names`, `estimates`: fixed effects (thresholds first, in a cumulative model).

    `random_sd`: standard deviation of the random intercepts of each grouping. `loglik`: Laplace's. `n`: rows.
    `singular`: a standard deviation is 0, so that grouping explains nothing beyond chance. `converged`: the slope of
    the likelihood vanished.
    """

    names: tuple[str, ...]
    estimates: Floats
    random_sd: Mapping[str, float]
    loglik: float
    n: int
    singular: bool
    converged: bool
    _hessian: Callable[[], Floats]

    @cached_property
    def covariance(self) -> Floats:
        """Of the estimates, (p, p), from the observed information; NaN where it is singular."""
        fixed, deviations = len(self.names), np.array(list(self.random_sd.values()))
        # a standard deviation of 0 has no curvature: its row goes
        kept = [*range(fixed), *(fixed + np.flatnonzero(deviations))]
        try:
            inverse = np.linalg.inv(self._hessian()[np.ix_(kept, kept)])[:fixed, :fixed]
        except np.linalg.LinAlgError:
            return np.full((fixed, fixed), np.nan)
        return inverse.astype(np.float64)

    @property
    def parameters(self) -> int:
        """Fixed effects and standard deviations."""
        return len(self.names) + len(self.random_sd)

    def information(self) -> dict[str, float | int | bool]:
        """logLik, AIC, BIC, n and whether the fit is singular."""
        return {
            "logLik": self.loglik,
            "AIC": -2 * self.loglik + 2 * self.parameters,
            "BIC": -2 * self.loglik + self.parameters * float(np.log(self.n)),
            "n": self.n,
            "singular": self.singular,
        }

    def coefficients(self) -> dict[str, dict[str, float]]:
        """Estimate, standard error, z and p of each fixed effect."""
        return coefficient_table(self.names, self.estimates, self.covariance)


def coefficient_table(
    names: tuple[str, ...], estimates: Floats, covariance: Floats
) -> dict[str, dict[str, float]]:
    """Estimate, standard error, z and two-sided p by name; ArgumentError where the likelihood is flat."""
    from scipy import stats

    variances = np.diag(covariance)
    if not (variances > NO_VARIANCE).all():
        raise ArgumentError(
            "expected a likelihood with one maximum, got one that is flat or rises without end: a cell or a group with "
            "answers of one kind, or too few data"
        )
    errors = np.sqrt(variances)
    return {
        name: {
            "estimate": float(b),
            "se": float(se),
            "z": float(b / se),
            "p": float(2 * stats.norm.sf(abs(b / se))),
        }
        for name, b, se in zip(names, estimates, errors, strict=True)
    }


def logistic(
    matrix: Floats, names: tuple[str, ...], y: Floats, groupings: Mapping[str, NDArray[np.int64]]
) -> MixedModel:
    """The logistic model P(y = 1) = 1 / (1 + exp(-(matrix @ coefficients + random intercepts))).

    `y`: 0 or 1, (n,). `groupings`: by name the group of each row, numbered from 0.

    Raises ArgumentError when y is all one value.
    """
    if len(np.unique(y)) < 2:
        raise ArgumentError("expected right and wrong answers for a logistic model, got one kind only")

    def family(_: Floats, eta: Floats) -> _Rows:
        share = _logistic(eta)
        value = float((y * eta - np.logaddexp(0, eta)).sum())
        return _Rows(value, y - share, share * (1 - share))

    start = np.zeros(matrix.shape[1])
    start[0] = np.log(y.mean() / (1 - y.mean()))
    return _fit(family, matrix, names, 0, start, groupings)


def cumulative(
    matrix: Floats,
    names: tuple[str, ...],
    y: NDArray[np.int64],
    groupings: Mapping[str, NDArray[np.int64]],
    values_of: Sequence[str] = (),
) -> MixedModel:
    """Logit P(y <= k) = threshold k - (matrix @ coefficients + random intercepts): y 0..K, each there, (n,).

    `matrix` without an intercept. `values_of`: names of the values, 1 to K + 1 if left out.

    Without groupings the plain cumulative model (McCullagh 1980).
    Raises ArgumentError when a value between is not there.
    """
    values = np.unique(y)
    if len(values) < 2 or not np.array_equal(values, np.arange(len(values))):
        told = "all answers the same" if len(values) < 2 else f"{values.tolist()}"
        raise ArgumentError(f"expected answers 0 to K, two or more and each of them there, got {told}")
    inner = len(values) - 1
    labels = list(values_of) or [str(k + 1) for k in range(len(values))]

    def family(parameters: Floats, eta: Floats) -> _Rows:
        cuts = np.concatenate([[-np.inf], parameters[:inner], [np.inf]])
        upper, lower = cuts[y + 1] - eta, cuts[y] - eta
        above, below = _logistic(upper), _logistic(lower)
        share = np.maximum(above - below, 1e-300)
        slope_above, slope_below = above * (1 - above), below * (1 - below)
        slope = -(slope_above - slope_below) / share
        bend = (slope_above * (1 - 2 * above) - slope_below * (1 - 2 * below)) / share
        return _Rows(float(np.log(share).sum()), slope, slope**2 - bend)

    below = np.cumsum(np.bincount(y))[:-1] / len(y)
    start = np.concatenate([np.log(below / (1 - below)), np.zeros(matrix.shape[1])])
    thresholds = tuple(f"{labels[k]}|{labels[k + 1]}" for k in range(inner))
    return _fit(family, matrix, thresholds + names, inner, start, groupings)


def _logistic(values: Floats) -> Floats:
    with np.errstate(over="ignore"):
        shares: Floats = 1 / (1 + np.exp(-values))
    return shares


def _fit(
    family: Family,
    matrix: Floats,
    names: tuple[str, ...],
    others: int,
    start: Floats,
    groupings: Mapping[str, NDArray[np.int64]],
) -> MixedModel:
    """`others`: how many of the fixed parameters stand before the coefficients."""
    from scipy import optimize

    fixed = len(start)
    laplace = _Laplace(family, matrix, others, list(groupings.values()))
    begin = np.concatenate([start, np.full(len(groupings), np.log(0.5))])

    def slope(parameters: Floats) -> Floats:
        return _slope(laplace, parameters, 1e-4)

    try:
        found = optimize.minimize(
            laplace, begin, jac=slope, method="BFGS", options={"gtol": 1e-5, "maxiter": 500}
        )
    except np.linalg.LinAlgError as error:
        raise ArgumentError(
            "expected a likelihood with a maximum, got one that rises without end: a cell or a group with answers of "
            "one kind, or too few data"
        ) from error
    best = found.x
    deviations = np.exp(best[fixed:])
    deviations[deviations < SINGULAR] = 0  # how near the iterations came to 0 is theirs alone
    return MixedModel(
        names,
        best[:fixed],
        dict(zip(groupings, deviations.tolist(), strict=True)),
        -float(laplace(best)),
        len(matrix),
        bool((deviations == 0).any()),
        bool(np.abs(slope(best)[:fixed]).max() < 1e-2),
        partial(_hessian, laplace, best),
    )


class _Laplace:
    """Minus the Laplace log-likelihood as a function of (other parameters, coefficients, log standard deviations)."""

    def __init__(self, family: Family, matrix: Floats, others: int, groups: list[NDArray[np.int64]]) -> None:
        self._family, self._matrix, self._others, self._groups = family, matrix, others, groups
        self._sizes = [int(group.max()) + 1 for group in groups]
        self._starts = np.cumsum([0, *self._sizes])
        self._modes = np.zeros(self._starts[-1])

    def __call__(self, parameters: Floats) -> float:
        fixed = self._others + self._matrix.shape[1]
        others, coefficients = parameters[: self._others], parameters[self._others : fixed]
        if self._others and (np.diff(others) <= 0).any():
            return 1e10  # thresholds out of order
        fixed_part = self._matrix @ coefficients
        if not self._groups:
            return -self._family(others, fixed_part).value
        scales = np.exp(np.minimum(parameters[fixed:], 5))
        modes = self._modes
        value, slope, hessian = self._inner(others, fixed_part, scales, modes)
        for _ in range(100):
            step = np.linalg.solve(hessian, slope)
            for _ in range(30):
                tried = self._inner(others, fixed_part, scales, modes - step)
                if tried[0] <= value + 1e-12 * abs(value):
                    break
                step = step / 2
            modes = modes - step
            value, slope, hessian = tried
            if np.abs(step).max() < 1e-7:  # Newton's error is squared: the modes are good to 1e-14
                break
        self._modes = modes  # where the next begins
        return value + 0.5 * float(np.linalg.slogdet(hessian)[1])

    def _inner(
        self, others: Floats, fixed_part: Floats, scales: Floats, modes: Floats
    ) -> tuple[float, Floats, Floats]:
        """Minus the joint log density of rows and standardised random effects, its slope and curvature in these."""
        parts = [modes[start : start + size] for start, size in zip(self._starts, self._sizes, strict=False)]
        eta = fixed_part + sum(s * part[g] for s, part, g in zip(scales, parts, self._groups, strict=True))
        rows = self._family(others, eta)
        slope = modes.copy()
        hessian = np.eye(len(modes))
        for a, (scale, group) in enumerate(zip(scales, self._groups, strict=True)):
            at = slice(self._starts[a], self._starts[a + 1])
            slope[at] -= scale * np.bincount(group, rows.slope, self._sizes[a])
            for b in range(a, len(scales)):
                to = slice(self._starts[b], self._starts[b + 1])
                weights = scale * scales[b] * rows.curvature
                cells = np.bincount(
                    group * self._sizes[b] + self._groups[b], weights, self._sizes[a] * self._sizes[b]
                ).reshape(self._sizes[a], self._sizes[b])
                hessian[at, to] += cells
                if a != b:
                    hessian[to, at] += cells.T
        return 0.5 * float(modes @ modes) - rows.value, slope, hessian


def _slope(function: Callable[[Floats], float], at: Floats, step: float) -> Floats:
    """By central differences."""
    moves = np.eye(len(at)) * step
    return np.array([(function(at + move) - function(at - move)) / (2 * step) for move in moves])


def _hessian(function: Callable[[Floats], float], at: Floats, step: float = 1e-3) -> Floats:
    """Second derivatives by central differences, (p, p)."""
    count = len(at)
    moves = np.eye(count) * step
    middle = function(at)
    hessian = np.empty((count, count))
    for i in range(count):
        hessian[i, i] = (function(at + moves[i]) - 2 * middle + function(at - moves[i])) / step**2
        for j in range(i):
            corners = [
                sign_i * sign_j * function(at + sign_i * moves[i] + sign_j * moves[j])
                for sign_i in (1, -1)
                for sign_j in (1, -1)
            ]
            hessian[i, j] = hessian[j, i] = sum(corners) / (4 * step**2)
    return hessian
