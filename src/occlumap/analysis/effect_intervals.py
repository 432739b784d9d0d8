"""Effect sizes with intervals: partial eta squared and Cohen's f, d and Hedges' g, epsilon squared, d'.

Written out: statsmodels' interval of a noncentrality holds to three digits only, and it has none of the others.
"""

from collections.abc import Mapping
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.analysis.group_tests import varies

Floats = NDArray[np.float64]

LEVEL_OF_ETA = 0.90
"""Of the interval of partial eta squared: it leaves out 0 just when the F test has p < .05 (Steiger 2004)."""


def partial_eta2(f: float, df1: float, df2: float, level: float = LEVEL_OF_ETA) -> dict[str, float]:
    """Partial eta squared and Cohen's f of an F test, with intervals from the noncentral F distribution.

    The noncentrality's interval is Steiger's (2004). A noncentrality of c is an F of c / df1, so its eta squared is
    c / (c + df2), as effectsize::F_to_eta2 has it; Steiger's own, of the population, is c / (c + n).
    """
    share = f * df1 / (f * df1 + df2)
    lower, upper = (
        noncentrality / (noncentrality + df2) for noncentrality in _noncentral_f(f, df1, df2, level)
    )
    as_f = [float(np.sqrt(value / (1 - value))) for value in (share, lower, upper)]
    return {
        "eta2_partial": share,
        "eta2_lower": lower,
        "eta2_upper": upper,
        "cohens_f": as_f[0],
        "f_lower": as_f[1],
        "f_upper": as_f[2],
        "level": level,
    }


def _noncentral_f(f: float, df1: float, df2: float, level: float) -> tuple[float, float]:
    from scipy import optimize, stats

    def solved(tail: float) -> float:
        if stats.f.cdf(f, df1, df2) <= tail:
            return 0.0
        high = 10.0 + 2 * f * df1
        while stats.ncf.cdf(f, df1, df2, high) > tail:
            high *= 2
        return float(optimize.brentq(lambda c: stats.ncf.cdf(f, df1, df2, c) - tail, 0.0, high, xtol=1e-9))

    return solved((1 + level) / 2), solved((1 - level) / 2)


def standardised_differences(
    groups: Mapping[str, Floats], level: float = 0.95
) -> dict[str, dict[str, float]]:
    """Cohen's d of each pair, "later-earlier", with the pooled deviation, Hedges' g, and d's interval (noncentral t).

    (Cumming & Finch 2001.) Undefined, NaN, where nothing varies.
    """
    found = {}
    for one, other in combinations(groups, 2):
        first, second = groups[one], groups[other]
        df = len(first) + len(second) - 2
        pooled = (first.var(ddof=1) * (len(first) - 1) + second.var(ddof=1) * (len(second) - 1)) / df
        scale = float(np.sqrt(len(first) * len(second) / (len(first) + len(second))))
        spread = varies(first, second)
        d = float((second.mean() - first.mean()) / np.sqrt(pooled)) if spread else float("nan")
        lower, upper = _noncentral_t(d * scale, df, level)
        found[f"{other}-{one}"] = {
            "d": d,
            "lower": lower / scale,
            "upper": upper / scale,
            "hedges_g": d * (1 - 3 / (4 * df - 1)),
        }
    return found


def _noncentral_t(t: float, df: float, level: float) -> tuple[float, float]:
    from scipy import optimize, stats

    if not np.isfinite(t):
        return float("nan"), float("nan")
    reach = 5 * float(np.sqrt(1 + t * t / (2 * df)))  # five standard errors

    def solved(tail: float) -> float:
        if not np.isfinite(stats.nct.cdf(t, df, [t - reach, t + reach])).all():
            # SciPy has no value for a difference this large: the normal approximation (Hedges & Olkin 1985)
            return float(t - stats.norm.ppf(tail) * reach / 5)
        return float(
            optimize.brentq(lambda c: stats.nct.cdf(t, df, c) - tail, t - reach, t + reach, xtol=1e-9)
        )

    return solved((1 + level) / 2), solved((1 - level) / 2)


def epsilon2(groups: Mapping[str, Floats], resamples: int = 1000, seed: int = 0) -> dict[str, float]:
    """Epsilon squared of Kruskal and Wallis's H with a 95 % percentile bootstrap interval, resampled within groups.

    As H cannot be below 0, the interval never holds 0 alone: read it as a size, not as a test. NaN where all is one
    value.
    """
    from scipy import stats

    random = np.random.default_rng(seed)
    parts = [np.sort(part) for part in groups.values()]  # so that the order of the rows changes nothing
    ends = np.cumsum([0, *map(len, parts)])
    n = int(ends[-1])
    if not varies(np.concatenate(parts)):
        return dict.fromkeys(("epsilon2", "lower", "upper"), float("nan"))

    def sizes(samples: Floats) -> Floats:
        """H, corrected for ties, is n - 1 times the share of the ranks' sum of squares between groups."""
        ranks = stats.rankdata(samples, axis=1)
        means = np.stack([ranks[:, i:j].mean(axis=1) for i, j in pairwise(ends)], axis=1)
        between = (np.diff(ends) * (means - (n + 1) / 2) ** 2).sum(axis=1)
        total = ((ranks - (n + 1) / 2) ** 2).sum(axis=1)
        shares: Floats = between / np.where(total > 0, total, 1)  # H (n + 1) / (n^2 - 1) is this share
        return shares

    drawn = [part[random.integers(0, len(part), (resamples, len(part)))] for part in parts]
    lower, upper = np.quantile(sizes(np.concatenate(drawn, axis=1)), [0.025, 0.975])
    return {
        "epsilon2": float(sizes(np.concatenate(parts)[None])[0]),
        "lower": float(lower),
        "upper": float(upper),
    }


def d_prime(row: Mapping[str, Any]) -> dict[str, float]:
    """D' and criterion with 95 % intervals (Gourevitch & Galanter 1967) from hits, signal, false_alarms and noise.

    Rates have the log-linear correction; answers are taken as independent.
    """
    from scipy import stats

    rates = np.array(
        [
            (row["hits"] + 0.5) / (row["signal"] + 1),
            (row["false_alarms"] + 0.5) / (row["noise"] + 1),
        ]
    )
    z = stats.norm.ppf(rates)
    counts = np.array([row["signal"], row["noise"]])
    se = float(np.sqrt((rates * (1 - rates) / (counts * stats.norm.pdf(z) ** 2)).sum()))
    reach = float(stats.norm.ppf(0.975)) * se
    d, criterion = float(z[0] - z[1]), -float(z.sum()) / 2
    return {
        "d_prime": d,
        "se": se,
        "d_lower": d - reach,
        "d_upper": d + reach,
        "criterion": criterion,
        "criterion_lower": criterion - reach / 2,
        "criterion_upper": criterion + reach / 2,
    }
