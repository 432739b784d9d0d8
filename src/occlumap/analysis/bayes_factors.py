"""Bayes factors with Jeffreys-Zellner-Siow priors: two groups, and a two-way design (as R's BayesFactor has them).

Written out, as statsmodels and SciPy have none.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SCALE = 2**0.5 / 2
"""Of the Cauchy prior of the standardised difference."""

FIXED_SCALE = 0.5
"""Of the prior of fixed effects in a design."""


def two_groups(first: Floats, second: Floats, scale: float = SCALE) -> dict[str, float]:
    """BF10 of a difference between two groups with equal variances (Rouder et al. 2009, equation 1).

    `error`: of the numerical integral, as a share of BF10.
    """
    from scipy import integrate, stats

    n1, n2 = len(first), len(second)
    t = float(stats.ttest_ind(first, second).statistic)
    df, size = n1 + n2 - 2, n1 * n2 / (n1 + n2)

    def inside(g: float) -> float:
        spread = 1 + size * g * scale**2
        prior = (2 * np.pi) ** -0.5 * g**-1.5 * np.exp(-1 / (2 * g))
        return float(spread**-0.5 * (1 + t * t / (spread * df)) ** (-(df + 1) / 2) * prior)

    value, error = integrate.quad(inside, 0, np.inf, epsabs=0, epsrel=1e-10, limit=200)
    bf10 = value / (1 + t * t / df) ** (-(df + 1) / 2)
    return {"BF10": bf10, "log_BF10": float(np.log(bf10)), "error": error / value}


def design(y: Floats, effects: Sequence[Floats], scale: float = FIXED_SCALE, points: int = 61) -> float:
    """Log BF10 of fixed effects against the mean alone (Rouder et al. 2012).

    `effects`: for each effect its columns (n, k), orthonormal contrasts of its levels; each effect has a variance g
    of its
    own with the prior inverse chi-square of one degree, scaled. The integral over all g is a sum on a grid of log g.
    """
    n = len(y)
    centred = y - y.mean()
    total = float(centred @ centred)
    logs = np.linspace(np.log(1e-5), np.log(1e4), points)
    width = logs[1] - logs[0]
    log_prior = (
        np.log(scale) - 0.5 * np.log(2 * np.pi) - 0.5 * logs - scale**2 / (2 * np.exp(logs))
    )  # of log g
    columns = np.concatenate([effect - effect.mean(axis=0) for effect in effects], axis=1)
    owner = np.repeat(np.arange(len(effects)), [effect.shape[1] for effect in effects])
    gram, towards = columns.T @ columns, columns.T @ centred
    places = np.stack(np.meshgrid(*[np.arange(points)] * len(effects), indexing="ij"), axis=-1).reshape(
        -1, len(effects)
    )
    inverse = np.exp(-logs[places])[:, owner]  # (grid, columns): 1 / g of each column
    inner = gram + inverse[:, :, None] * np.eye(len(owner))
    explained = (
        np.linalg.solve(inner, np.broadcast_to(towards[:, None], (len(places), len(owner), 1)))[..., 0]
        @ towards
    )
    determinant = np.linalg.slogdet(inner)[1] - np.log(inverse).sum(axis=1)
    values = (
        -0.5 * determinant - (n - 1) / 2 * np.log((total - explained) / total) + log_prior[places].sum(axis=1)
    )
    highest = values.max()
    return float(highest + np.log(np.exp(values - highest).sum()) + len(effects) * np.log(width))


def orthonormal_contrasts(count: int) -> Floats:
    """(levels, levels - 1): effects that add up to 0 with equal prior variances (Rouder et al. 2012, section 7)."""
    centring = np.eye(count) - 1 / count
    _, vectors = np.linalg.eigh(centring)
    contrasts: Floats = vectors[:, 1:]
    return contrasts
