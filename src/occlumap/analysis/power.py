"""Power: by statsmodels' formulas, and, which it lacks, by simulation of answers through the same analysis."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._threads import one_thread
from occlumap.errors import ArgumentError


def anova_power(groups: int, per_group: float, f: float, alpha: float = 0.05) -> float:
    """Power of a one-way ANOVA for Cohen's f (Cohen 1988; pwr.anova.test): noncentrality groups x per_group x f^2."""
    from statsmodels.stats.power import ftest_anova_power

    return float(ftest_anova_power(f, groups * per_group, alpha, k_groups=groups))


def model_power(u: float, v: float, f2: float, alpha: float = 0.05, n: float | None = None) -> float:
    """Power of an F test with u and v degrees of freedom for f^2 (pwr.f2.test): noncentrality f2 n, n = u + v + 1 if
    left out.
    """
    from statsmodels.stats.power import ftest_power_f2

    return float(ftest_power_f2(f2, u, v, alpha, ncc=1 if n is None else n - u - v))


def t_power(per_group: float, d: float, alpha: float = 0.05) -> float:
    """Power of a two-sided t test of two equal groups for Cohen's d, the far tail left out (pwr.t.test)."""
    from statsmodels.stats.power import ttest_power

    return float(ttest_power(d, per_group / 2, alpha / 2, df=2 * (per_group - 1), alternative="larger"))


def effect_for(power: float, by_effect: Any, low: float = 1e-4, high: float = 5.0) -> float:
    """The effect at which `by_effect(effect)` is `power`; ArgumentError when none between `low` and `high` is."""
    from scipy import optimize

    if not by_effect(low) < power < by_effect(high):
        raise ArgumentError(f"expected a power that an effect from {low} to {high} reaches, got {power}")
    return float(optimize.brentq(lambda effect: by_effect(effect) - power, low, high, xtol=1e-13))


def per_group_for(power: float, groups: int, f: float, alpha: float = 0.05) -> float:
    """People in each of `groups` for that power of a one-way ANOVA; a fraction, to be rounded up."""
    return effect_for(power, lambda n: anova_power(groups, n, f, alpha), 2.0, 1e6)


_NODES = np.linspace(-8.5, 8.5, 401)
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.exp(-(_NODES**2) / 2).sum()
"""The trapezoidal rule over a standard normal: exact to 1e-6 for deviations up to 30 on the logit scale."""


def middle_logits(shares: Mapping[str, float], person_sd: float, task_sd: float) -> NDArray[np.float64]:
    """For each share the logit at a middling person and task, so that the mean over people and tasks is the share.

    It lies farther from 0 than the share's own logit: a mean over people and tasks that differ is nearer to one half.
    """
    from scipy import optimize

    _check(shares, person_sd, task_sd)
    spread = np.hypot(person_sd, task_sd) * _NODES

    def beyond(logit: float, share: float) -> float:
        return float(_WEIGHTS @ (1 / (1 + np.exp(-(logit + spread))))) - share

    return np.array([optimize.brentq(beyond, -400, 400, args=(share,)) for share in shares.values()])


def expected_f(shares: Mapping[str, float], tasks: int, person_sd: float, task_sd: float) -> float:
    """Cohen's f of participants' shares of right answers for `simulated_power`'s people and tasks.

    Within a condition people differ by themselves, and by chance and by their own liking for tasks, both divided by the
    number of tasks.
    """
    means, variances = [], []
    nodes, weights = _NODES, _WEIGHTS
    for middle in middle_logits(shares, person_sd, task_sd):
        chance = 1 / (1 + np.exp(-(middle + person_sd * nodes[:, None] + task_sd * nodes[None, :])))
        by_person, by_task = chance @ weights, weights @ chance
        mean = float(weights @ by_person)
        people = float(weights @ by_person**2) - mean**2
        items = float(by_task**2 @ weights) - mean**2
        total = float(weights @ chance**2 @ weights) - mean**2
        noise = float(weights @ (chance * (1 - chance)) @ weights)
        means.append(mean)
        variances.append(people + (noise + total - people - items) / tasks)
    return float(np.sqrt(np.var(means) / np.mean(variances)))


def tasks_for(
    power: float,
    shares: Mapping[str, float],
    per_group: int,
    person_sd: float,
    task_sd: float,
    most: int = 1000,
) -> int | None:
    """The fewest tasks for that power of a one-way ANOVA with `per_group` people; None if `most` are too few."""

    def reached(tasks: int) -> bool:
        return anova_power(len(shares), per_group, expected_f(shares, tasks, person_sd, task_sd)) >= power

    low, high = 1, most
    if not reached(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle + 1, high)
    return low


SMALLEST = 1e-6
"""The smallest share of right answers, and of wrong ones."""

LARGEST = 10_000_000
"""Answers in one simulated run."""


def _check(shares: Mapping[str, float], person_sd: float, task_sd: float) -> None:
    if not all(SMALLEST <= share <= 1 - SMALLEST for share in shares.values()) or len(shares) < 2:
        raise ArgumentError(
            f"expected two or more shares from {SMALLEST:.6f} to {1 - SMALLEST:.6f}, got {list(shares.values())}"
        )
    if not all(0 <= deviation <= 20 for deviation in (person_sd, task_sd)):
        raise ArgumentError(
            f"expected deviations from 0 to 20 on the logit scale, got {person_sd} and {task_sd}"
        )


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
    """Power of the two-way ANOVA of participants' shares of right answers (type II), by simulation of the answers.

    `shares`: the share of right answers over all people and tasks, for each condition. `person_sd`, `task_sd`: standard
    deviations of people and tasks on the logit scale, as the mixed model gives them. Everyone does the same `tasks`,
    redrawn in each of `runs`; every second person sees scores, which change nothing. Gives the share of runs whose test
    of the conditions, by the analysis' own ANOVA, has p < alpha, with its standard error; and `untested`, the runs in
    which nothing varies within the cells, which count as not significant. Deterministic for a seed.
    """
    import pandas as pd
    import scipy.linalg  # noqa: F401 - loads its BLAS, which `one_thread` limits

    from occlumap.analysis import linear_models as linear

    _check(shares, person_sd, task_sd)
    if per_group < 3 or min(tasks, runs) < 2 or seed < 0:
        raise ArgumentError(
            "expected at least 3 people a group, 2 tasks, 2 runs and a seed from 0, got "
            f"{per_group}, {tasks}, {runs} and {seed}"
        )
    if len(shares) * per_group * tasks > LARGEST:
        raise ArgumentError(
            f"expected up to {LARGEST:,} answers to simulate in a run, got {len(shares)} conditions of {per_group:,} "
            f"people with {tasks:,} tasks"
        )
    conditions = np.repeat(list(shares), per_group)
    shown = np.tile(np.arange(per_group) % 2, len(shares)).astype(str)
    table = pd.DataFrame({"heatmap": pd.Categorical(conditions, list(shares)), "scores": shown})
    design = linear.design(table, ("heatmap", "scores", "heatmap:scores"))
    random = np.random.default_rng(seed)
    middles = middle_logits(shares, person_sd, task_sd)
    significant = untested = 0
    with one_thread():
        for _ in range(runs):
            people = random.normal(0, person_sd, (len(middles), per_group, 1))
            items = random.normal(0, task_sd, tasks)
            chance = 1 / (1 + np.exp(-(middles[:, None, None] + people + items)))
            accuracy: NDArray[np.float64] = (random.random(chance.shape) < chance).mean(axis=2)
            try:
                model = linear.fit(design, accuracy.ravel())
            except ArgumentError:
                untested += 1  # nothing varies within the cells
                continue
            significant += bool(linear.anova(model, 2)["heatmap"]["p"] < alpha)
    power = significant / runs
    return {
        "power": power,
        "se": float(np.sqrt(power * (1 - power) / runs)),
        "runs": runs,
        "untested": untested,
    }
