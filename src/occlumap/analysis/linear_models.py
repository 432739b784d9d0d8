"""Linear models with sum-to-zero contrasts: ANOVA of types I to III, White-corrected, marginal means and their
contrasts.

What R's stats, car, sandwich and emmeans give. Least squares, HC0 to HC3 and adjusted p values are statsmodels';
written out is what it lacks without formulas: HC4, sums of squares and Wald tests of types II and III, emmeans'
contrasts. Checked against R's values (tests/analysis).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.errors import ArgumentError

Floats = NDArray[np.float64]

NO_VARIANCE = 1e-12
"""A variance below this share of the largest of its model is rounding: nothing varies there."""

ADJUSTMENTS = ("tukey", "holm", "bonferroni", "none")
COVARIANCES = ("const", "HC0", "HC1", "HC2", "HC3", "HC4")


@dataclass(frozen=True)
class Design:
    """A model matrix by term: `terms` maps a term ("heatmap", "heatmap:scores") to its columns; names as R's.

    `matrix`: (n, p), the intercept first. `levels`: of each factor, in order. `values`: the factor's level index of
    each row.
    """

    matrix: Floats
    names: tuple[str, ...]
    terms: Mapping[str, tuple[int, ...]]
    levels: Mapping[str, tuple[str, ...]]
    values: Mapping[str, NDArray[np.int64]]

    def relatives(self, term: str) -> tuple[str, ...]:
        """The terms that contain `term` and are not it."""
        ours = set(term.split(":"))
        return tuple(other for other in self.terms if other != term and ours < set(other.split(":")))

    def check(self) -> None:
        """ArgumentError where its rows cannot tell the coefficients apart: it names the cells of its terms that have no
        row, or tells that there are too few.
        """
        empty = [name for name, rows in self.cells() if not rows.any()]
        if empty:
            raise ArgumentError(
                f"expected rows in every cell of the design, got none in {', '.join(empty)}: a singular model"
            )
        n, p = self.matrix.shape
        if n <= p or np.linalg.matrix_rank(self.matrix) < p:
            raise ArgumentError(
                f"expected a model that {n} rows can tell apart, got a singular one of {p} coefficients "
                f"({', '.join(self.names)}); there are too few"
            )

    def cells(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Each cell ("lrp:shown") of the terms that no other contains, and which rows are in it."""
        for term in self.terms:
            if not self.relatives(term):
                factors = term.split(":")
                for cell in product(*(range(len(self.levels[factor])) for factor in factors)):
                    rows = [self.values[factor] == at for factor, at in zip(factors, cell, strict=True)]
                    names = (self.levels[factor][at] for factor, at in zip(factors, cell, strict=True))
                    yield ":".join(names), np.logical_and.reduce(rows)

    def without(self, *left_out: str) -> "Design":
        """The same without some terms."""
        kept = [term for term in self.terms if term not in left_out]
        columns = [0, *(column for term in kept for column in self.terms[term])]
        place = {column: at for at, column in enumerate(columns)}
        return Design(
            self.matrix[:, columns],
            tuple(self.names[column] for column in columns),
            {term: tuple(place[column] for column in self.terms[term]) for term in kept},
            self.levels,
            self.values,
        )


def sum_contrasts(count: int) -> Floats:
    """R's contr.sum: (levels, levels - 1), the last level -1 throughout."""
    contrasts: Floats = np.vstack([np.eye(count - 1), -np.ones(count - 1)])
    return contrasts


def treatment_contrasts(count: int) -> Floats:
    """R's contr.treatment: (levels, levels - 1), the first level 0 throughout. Not for tests of type III."""
    contrasts: Floats = np.vstack([np.zeros(count - 1), np.eye(count - 1)])
    return contrasts


def design(table: Any, terms: Sequence[str], levels: Mapping[str, Sequence[str]] | None = None) -> Design:
    """The model matrix of `terms` ("heatmap", "scores", "heatmap:scores") of a data frame, with sum-to-zero contrasts.

    A factor's levels are those of its categorical that occur, or `levels`. ArgumentError for one
    of a single level.
    """
    factors = list(dict.fromkeys(factor for term in terms for factor in term.split(":")))
    of = {factor: tuple((levels or {}).get(factor) or _levels(table[factor])) for factor in factors}
    values = {
        factor: np.array([of[factor].index(str(value)) for value in table[factor]], np.int64)
        for factor in factors
    }
    alone = [factor for factor in factors if len(of[factor]) < 2]
    if alone:
        raise ArgumentError(f"expected two levels or more of {', '.join(alone)} to compare, got one or none")
    columns, names = [np.ones(len(table))], ["(Intercept)"]
    by_term: dict[str, tuple[int, ...]] = {}
    for term in terms:
        parts: list[tuple[str, Floats]] = [("", np.ones(len(table)))]
        for factor in term.split(":"):
            coded = sum_contrasts(len(of[factor]))[values[factor]]
            parts = [
                (f"{name}:{factor}{at + 1}" if name else f"{factor}{at + 1}", column * coded[:, at])
                for at in range(coded.shape[1])
                for name, column in parts
            ]
        by_term[term] = tuple(range(len(names), len(names) + len(parts)))
        names += [name for name, _ in parts]
        columns += [column for _, column in parts]
    return Design(np.stack(columns, axis=1), tuple(names), by_term, of, values)


def _levels(column: Any) -> list[str]:
    there = set(map(str, column))
    categories = list(map(str, column.cat.categories)) if hasattr(column, "cat") else sorted(there)
    return [level for level in categories if level in there]


@dataclass(frozen=True)
class LinearModel:
    """An ordinary least squares fit. `ols`: statsmodels' own result."""

    design: Design
    y: Floats
    coefficients: Floats
    residuals: Floats
    df: int
    ols: Any

    @property
    def rss(self) -> float:
        """Residual sum of squares."""
        return float(self.residuals @ self.residuals)

    def covariance(self, kind: str = "const") -> Floats:
        """Of the coefficients, (p, p): constant variance, or heteroscedasticity-consistent HC0 to HC4.

        MacKinnon & White (1985), Cribari-Neto (2004); as R's sandwich::vcovHC. HC4's exponent is min(4, n h / p).
        NaN by HC2 to HC4 where a row is alone in its cell: nothing tells that cell's variance.
        """
        if kind == "const":
            return np.asarray(self.ols.cov_params(), np.float64)
        matrix, bread = self.design.matrix, self.ols.normalized_cov_params
        n, p = matrix.shape
        leverage = np.einsum("ij,jk,ik->i", matrix, bread, matrix)
        if kind not in ("HC0", "HC1") and leverage.max() > 1 - 1e-9:
            return np.full((p, p), np.nan)
        if kind != "HC4":
            return np.asarray(getattr(self.ols, f"cov_{kind}"), np.float64)
        weight = self.residuals**2 / (1 - leverage) ** np.minimum(4, n * leverage / p)
        sandwich: Floats = bread @ (matrix * weight[:, None]).T @ matrix @ bread
        return sandwich


def fit(model: Design, y: Floats) -> LinearModel:
    """Least squares of y, (n,), on the design.

    Raises ArgumentError for a design that is singular: a cell of it has no row, which is named, or there are too few;
    and where y varies by no more than rounding around the cells' means, so that a test would be of noise.
    """
    from statsmodels.regression.linear_model import OLS

    model.check()
    n, p = model.matrix.shape
    ols = OLS(y, model.matrix).fit()
    if np.abs(ols.resid).max() <= 1e-10 * np.abs(y).max():
        raise ArgumentError(
            "nothing varies: all values are the same"
            if np.ptp(y) <= 1e-10 * np.abs(y).max()
            else "nothing varies within the cells, so nothing can be tested against chance"
        )
    return LinearModel(model, y, ols.params, ols.resid, n - p, ols)


def anova(model: LinearModel, type_: int) -> dict[str, dict[str, float]]:
    """Sums of squares, F and p by term, and the residual: type 1 (sequential), 2 (marginal) or 3 (car::Anova)."""
    from scipy import stats

    of = model.design
    found: dict[str, dict[str, float]] = {}
    variance = model.rss / model.df
    for at, term in enumerate(of.terms):
        if type_ == 1:
            later = list(of.terms)[at:]
            less, more = of.without(*later), of.without(*later[1:])
        elif type_ == 2:
            above = of.relatives(term)
            less, more = of.without(term, *above), of.without(*above)
        else:
            less, more = _without_columns(of, of.terms[term]), of
        squares = _rss(less, model.y) - _rss(more, model.y)
        df = len(of.terms[term])
        value = squares / df / variance
        found[term] = {"df": df, "F": value, "p": float(stats.f.sf(value, df, model.df)), "SS": squares}
    found["residual"] = {"df": model.df, "SS": model.rss}
    return found


def _without_columns(of: Design, columns: Sequence[int]) -> Design:
    kept = [column for column in range(of.matrix.shape[1]) if column not in columns]
    return Design(of.matrix[:, kept], tuple(of.names[at] for at in kept), {}, of.levels, of.values)


def _rss(of: Design, y: Floats) -> float:
    coefficients, *_ = np.linalg.lstsq(of.matrix, y, rcond=None)
    residuals = y - of.matrix @ coefficients
    return float(residuals @ residuals)


def hypothesis(of: Design, term: str, type_: int, covariance: Floats) -> Floats:
    """The contrasts (df, p) that a Wald test of type 2 or 3 of `term` sets to 0 (as car's Anova, ConjComp)."""
    identity = np.eye(of.matrix.shape[1])
    own = identity[list(of.terms[term])]
    above = [column for other in of.relatives(term) for column in of.terms[other]] if type_ == 2 else []
    if not above:
        return own
    relatives = identity[above]
    both = np.vstack([relatives, own])
    crossed = both @ covariance @ relatives.T
    left, singular, _ = np.linalg.svd(crossed, full_matrices=True)
    rank = int((singular > singular[0] * 1e-10).sum())
    contrasts: Floats = left[:, rank:].T @ both
    return contrasts


def wald(of: Design, coefficients: Floats, covariance: Floats, type_: int) -> dict[str, dict[str, float]]:
    """Wald chi-square, its df and p by term, of type 2 or 3, for any model with these coefficients and covariance.

    NaN where the covariance has no variance in a direction that is tested.
    """
    from scipy import stats

    found = {}
    for term in of.terms:
        contrasts = hypothesis(of, term, type_, covariance)
        values = contrasts @ coefficients
        spread = contrasts @ covariance @ contrasts.T
        told = np.linalg.eigvalsh(spread).min() > NO_VARIANCE * np.diag(covariance).max()
        chi2 = float(values @ np.linalg.solve(spread, values)) if told else float("nan")
        found[term] = {"chi2": chi2, "df": len(contrasts), "p": float(stats.chi2.sf(chi2, len(contrasts)))}
    return found


def white_anova(model: LinearModel, type_: int, kind: str) -> dict[str, dict[str, float]]:
    """F and p by term with a heteroscedasticity-consistent covariance (White 1980; car's white.adjust).

    NaN where the covariance is.
    """
    from scipy import stats

    covariance = model.covariance(kind)
    found: dict[str, dict[str, float]] = {}
    if np.isfinite(covariance).all():
        tests = wald(model.design, model.coefficients, covariance, type_)
    else:
        tests = {
            term: {"chi2": float("nan"), "df": len(columns)} for term, columns in model.design.terms.items()
        }
    for term, test in tests.items():
        value = test["chi2"] / test["df"]
        found[term] = {"df": test["df"], "F": value, "p": float(stats.f.sf(value, test["df"], model.df))}
    found["residual"] = {"df": model.df}
    return found


def effect_sizes(table: Mapping[str, Mapping[str, float]], n: int) -> dict[str, dict[str, float]]:
    """Eta, omega and epsilon squared and Cohen's f by term of an ANOVA table, as R's effectsize has them.

    Omega and epsilon squared below 0 are 0.
    """
    error = table["residual"]["SS"]
    variance = error / table["residual"]["df"]
    total = sum(row["SS"] for row in table.values())
    found = {}
    for term, row in table.items():
        if term == "residual":
            continue
        squares, df = row["SS"], row["df"]
        partial = squares / (squares + error)
        found[term] = {
            "eta2_partial": partial,
            "eta2": squares / total,
            "omega2_partial": max(0.0, (squares - df * variance) / (squares + (n - df) * variance)),
            "epsilon2_partial": max(0.0, (squares - df * variance) / (squares + error)),
            "cohens_f_partial": float(np.sqrt(partial / (1 - partial))),
        }
    return found


def marginal_rows(
    of: Design, factor: str, at: Mapping[str, str] | None = None
) -> tuple[tuple[str, ...], Floats]:
    """Levels of `factor` and the coefficients (levels, p) that give its marginal mean, equal weights over the
    others.
    """
    rows = []
    for level in range(len(of.levels[factor])):
        row = np.zeros(of.matrix.shape[1])
        row[0] = 1
        for term, columns in of.terms.items():
            product = np.ones(1)
            for name in term.split(":"):
                coded = sum_contrasts(len(of.levels[name]))
                if name == factor:
                    mean = coded[level]
                elif at is not None and name in at:
                    mean = coded[of.levels[name].index(at[name])]
                else:
                    mean = coded.mean(axis=0)
                product = np.array([one * other for other in mean for one in product])
            row[list(columns)] = product
        rows.append(row)
    return of.levels[factor], np.array(rows)


def marginal_means(
    of: Design, coefficients: Floats, covariance: Floats, df: float, factor: str
) -> dict[str, dict[str, float]]:
    """Estimated marginal means of `factor` with standard errors and 95 % intervals (emmeans)."""
    from scipy import stats

    levels, rows = marginal_rows(of, factor)
    critical = stats.t.ppf(0.975, df)
    found = {}
    for level, row in zip(levels, rows, strict=True):
        mean, se = float(row @ coefficients), float(np.sqrt(row @ covariance @ row))
        found[level] = {
            "mean": mean,
            "se": se,
            "df": df,
            "lower": mean - critical * se,
            "upper": mean + critical * se,
        }
    return found


def pairwise(
    of: Design,
    coefficients: Floats,
    covariance: Floats,
    df: float,
    factor: str,
    adjust: str,
    at: Mapping[str, str] | None = None,
    intervals: bool = True,
) -> dict[str, dict[str, float]]:
    """Differences of marginal means, each pair of levels, with p adjusted by `adjust` (emmeans::pairs).

    Intervals are simultaneous in the same way; Holm's have none. NaN where a difference has no variance.
    """
    from scipy import stats

    levels, rows = marginal_rows(of, factor, at)
    pairs = list(combinations(range(len(levels)), 2))
    found = {}
    for one, other in pairs:
        contrast = rows[one] - rows[other]
        estimate, variance = float(contrast @ coefficients), float(contrast @ covariance @ contrast)
        told = variance > NO_VARIANCE * np.diag(covariance).max()
        se = float(np.sqrt(variance)) if told else float("nan")
        statistic = estimate / se
        raw = float(2 * stats.t.sf(abs(statistic), df))
        found[f"{levels[one]} - {levels[other]}"] = {
            "estimate": estimate,
            "se": se,
            "df": df,
            "statistic": statistic,
            "p": raw,
        }
    critical: float | None = None
    if adjust == "tukey":
        for row in found.values():
            row["p"] = tukey_p(abs(row["statistic"]), len(levels), df)
        critical = tukey_critical(len(levels), df)
    elif adjust in ("holm", "bonferroni"):
        p_values = adjusted([row["p"] for row in found.values()], adjust)
        for row, p in zip(found.values(), p_values, strict=True):
            row["p"] = p
        if adjust == "bonferroni":
            critical = float(stats.t.ppf(1 - 0.025 / len(pairs), df))
    else:
        critical = float(stats.t.ppf(0.975, df))
    if critical is not None and intervals:
        for row in found.values():
            row["lower"] = row["estimate"] - critical * row["se"]
            row["upper"] = row["estimate"] + critical * row["se"]
    return found


def tukey_p(statistic: float, means: int, df: float) -> float:
    """P of the studentised range for a |t| between two of `means` means (Tukey 1949)."""
    from scipy import stats

    return float(stats.studentized_range.sf(statistic * np.sqrt(2), means, df))


@cache
def tukey_critical(means: int, df: float) -> float:
    """The |t| whose `tukey_p` is 0.05."""
    from scipy import stats

    return float(stats.studentized_range.ppf(0.95, means, df) / np.sqrt(2))


def adjusted(p: Sequence[float | None], method: str) -> list[float]:
    """P values adjusted for their number: "holm", "hochberg", "BH", "BY" or "bonferroni" (R's p.adjust).

    Those that are None or NaN are NaN, and do not count.
    """
    from statsmodels.stats.multitest import multipletests

    values = np.array(p, np.float64)
    known = ~np.isnan(values)
    if known.any():
        name = {"hochberg": "simes-hochberg", "BH": "fdr_bh", "BY": "fdr_by"}.get(method, method)
        values[known] = multipletests(values[known], method=name)[1]
    return [float(value) for value in values]
