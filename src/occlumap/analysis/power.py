"""Power: by formula, and by simulation of answers through the same analysis."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.errors import ArgumentError


def anova_power(groups: int, per_group: float, f: float, alpha: float = 0.05) -> float:
    """Power of a one-way ANOVA for Cohen's f (Cohen 1988; pwr.anova.test): noncentrality groups x per_group x f^2."""
    return _f_power(groups - 1, groups * per_group - groups, groups * per_group * f**2, alpha)


def model_power(u: float, v: float, f2: float, alpha: float = 0.05, ncp: float | None = None) -> float:
    """Power of an F test with u and v degrees of freedom for f^2 (pwr.f2.test): noncentrality f2 (u + v + 1), or
    `ncp`.
    """
    return _f_power(u, v, f2 * (u + v + 1) if ncp is None else ncp, alpha)


def _f_power(df1: float, df2: float, noncentrality: float, alpha: float) -> float:
    from scipy import stats

    return float(stats.ncf.sf(stats.f.isf(alpha, df1, df2), df1, df2, noncentrality))


def t_power(per_group: float, d: float, alpha: float = 0.05) -> float:
    """Power of a two-sided t test of two equal groups for Cohen's d, the far tail left out (pwr.t.test)."""
    from scipy import stats

    df = 2 * (per_group - 1)
    return float(stats.nct.sf(stats.t.isf(alpha / 2, df), df, d * np.sqrt(per_group / 2)))


def effect_for(power: float, by_effect: Any, low: float = 1e-4, high: float = 5.0) -> float:
    """The effect at which `by_effect(effect)` is `power`; ArgumentError when none between `low` and `high` is."""
    from scipy import optimize

    if not by_effect(low) < power < by_effect(high):
        raise ArgumentError(f"expected a power that an effect from {low} to {high} reaches, got {power}")
    return float(optimize.brentq(lambda effect: by_effect(effect) - power, low, high, xtol=1e-13))


def per_group_for(power: float, groups: int, f: float, alpha: float = 0.05) -> float:
    """People in each of `groups` for that power of a one-way ANOVA; a fraction, to be rounded up."""
    return effect_for(power, lambda n: anova_power(groups, n, f, alpha), 2.0, 1e6)


def simulated_power(
    shares: Mapping[str, float],
    per_group: int,
    tasks: int,
    person_sd: float,
    task_sd: float,
    runs: int = 1000,
    seed: int = 0,
    alpha: float = 0.05,
) -> dict[str, float]:
    """Power of the ANOVA of participants' shares of right answers, by simulation of the answers.

    `shares`: the probability of a right answer of a person and a task in the middle, for each condition. `person_sd`,
    `task_sd`: standard deviations of people and tasks on the logit scale, as the mixed model gives them. Everyone does
    the same `tasks`, redrawn in each of `runs`. Gives the share of runs with p < alpha, with its standard error.
    Deterministic for a seed.
    """
    from scipy import stats

    if not all(0 < share < 1 for share in shares.values()) or len(shares) < 2:
        raise ArgumentError(f"expected two or more probabilities between 0 and 1, got {dict(shares)}")
    if min(per_group, tasks, runs) < 2 or min(person_sd, task_sd) < 0:
        raise ArgumentError(
            "expected at least 2 people a group, 2 tasks and 2 runs, and deviations of 0 or more"
        )
    random = np.random.default_rng(seed)
    middles = np.log([share / (1 - share) for share in shares.values()])
    significant = 0
    for _ in range(runs):
        people = random.normal(0, person_sd, (len(middles), per_group, 1))
        items = random.normal(0, task_sd, tasks)
        chance = 1 / (1 + np.exp(-(middles[:, None, None] + people + items)))
        accuracy: NDArray[np.float64] = (random.random(chance.shape) < chance).mean(axis=2)
        within = accuracy.var(axis=1, ddof=1).mean()
        between = per_group * accuracy.mean(axis=1).var(ddof=1)
        if within > 0:
            p = stats.f.sf(between / within, len(middles) - 1, len(middles) * (per_group - 1))
            significant += bool(p < alpha)
    power = significant / runs
    return {"power": power, "se": float(np.sqrt(power * (1 - power) / runs)), "runs": runs}
