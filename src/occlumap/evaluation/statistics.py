"""Intervals and paired tests over photographs; plain values in, plain values out.

A photograph is the unit: one number per photograph and method. Imports SciPy and statsmodels inside its
functions, so that whoever only needs the names pays nothing.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlumap.errors import ArgumentError

CONFIDENCE = 0.95
RESAMPLES = 9_999
"""Bootstrap resamples."""
FLIPS = 50_000
"""Combinations of signs to try: all where there are no more. Times 153 pairs of 18 methods, their p is fine enough."""


@dataclass(frozen=True)
class Interval:
    """A mean over `n` photographs and its 95 % interval; `low` and `high` are NaN where there is none."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Paired:
    """How much more one method has than another on the same `n` photographs: the mean of a - b.

    `low`, `high`: its 95 % interval. `p`: two-sided, before any correction. NaN where there is none.
    """

    difference: float
    low: float
    high: float
    p: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0, its ends included; no interval excludes nothing."""
        return self.low > 0 or self.high < 0


def mean_interval(values: ArrayLike, seed: int = 0) -> Interval:
    """The mean of `values` (n,), one per photograph, with its 95 % bootstrap interval.

    Bias-corrected and accelerated (Efron, JASA 1987), 9,999 resamples, by `scipy.stats.bootstrap`; the same
    values and `seed` give the same interval. With fewer than two values there is no interval (NaN), with none
    there is no mean either. Values that are all equal give an interval of no width: the bootstrap cannot know
    of spread that it has not seen, and below some 20 photographs it is rather too narrow in general.
    Raises ArgumentError for values that are not one row of finite numbers.

    >>> mean_interval([0.5, 0.5, 0.5])
    Interval(mean=0.5, low=0.5, high=0.5, n=3)
    >>> mean_interval([0.5])
    Interval(mean=0.5, low=nan, high=nan, n=1)
    """
    values = _row("values", values)
    mean = float(values.mean()) if values.size else math.nan
    if values.size < 2:
        return Interval(mean, math.nan, math.nan, values.size)
    if _all_equal(values):
        return Interval(mean, mean, mean, values.size)
    low, high = _bootstrap(values, "BCa", seed)
    if not (math.isfinite(low) and math.isfinite(high)):  # no acceleration can be estimated
        low, high = _bootstrap(values, "percentile", seed)
    return Interval(mean, low, high, values.size)


def paired(a: ArrayLike, b: ArrayLike, seed: int = 0) -> Paired:
    """Compare two methods, `a` (n,) and `b` (n,), on the same photographs in the same order.

    The interval is that of `mean_interval` for a - b. The test asks how often signs thrown at random over the
    differences give a mean as far from 0 as theirs (Fisher's randomisation test for pairs, The Design of
    Experiments, 1935, section 21): every combination of signs up to 15 photographs, above 50,000: the one that is
    there and random ones. It assumes only that without a difference between the methods a - b
    would be as likely as b - a. The smallest p it can give is `smallest_p(n)`.
    Raises ArgumentError when `a` and `b` are not two rows of finite numbers of one length.

    >>> paired([0.5, 0.75, 1.0], [0.25, 0.5, 0.75])
    Paired(difference=0.25, low=0.25, high=0.25, p=0.25, n=3)
    """
    a, b = _row("a", a), _row("b", b)
    if a.size != b.size:
        raise ArgumentError(
            f"expected a and b to hold one value for each of the same photographs, got {a.size} and {b.size}; "
            "keep only the photographs that both methods have"
        )
    differences = a - b
    interval = mean_interval(differences, seed)
    return Paired(interval.mean, interval.low, interval.high, _sign_flip_p(differences, seed), interval.n)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """`p_values` (k,) of one family of tests, corrected for their number: Holm's step-down, float64 (k,).

    Holm (Scandinavian Journal of Statistics 1979), by `statsmodels.stats.multitest.multipletests`. Reject
    where the corrected p is below the level, and the chance of even one false rejection in the family stays
    below it, however the tests depend on each other. NaN (a test that could not be made) stays NaN and does
    not count. Raises ArgumentError for anything but one row of numbers from 0 to 1.

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, dtype=np.float64)
    made = ~np.isnan(p)
    if p.ndim != 1 or not np.all((p[made] >= 0) & (p[made] <= 1)):
        raise ArgumentError(f"expected p_values to be one row of numbers from 0 to 1, got {p_values!r}")
    corrected = np.full(p.shape, math.nan)
    if made.any():
        from statsmodels.stats.multitest import multipletests

        corrected[made] = multipletests(p[made], method="holm")[1]
    return corrected


def smallest_p(n: int) -> float:
    """The smallest p that `paired` can give with `n` photographs: 2 / 2^n, or 1 / 50,000 where that is more.

    >>> smallest_p(5)
    0.0625
    """
    return max(2 / 2**n, 1 / FLIPS) if n else math.nan


def _row(name: str, values: ArrayLike) -> NDArray[np.float64]:
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or not np.isfinite(row).all():
        raise ArgumentError(
            f"expected {name} to be one row of finite numbers, one per photograph, got shape {row.shape} with "
            f"{np.count_nonzero(~np.isfinite(row))} not finite; leave out photographs without a value"
        )
    return row


def _all_equal(values: NDArray[np.float64]) -> bool:
    """Equal but for rounding: the acceleration of the bootstrap would be made of rounding errors."""
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())


def _bootstrap(values: NDArray[np.float64], method: str, seed: int) -> tuple[float, float]:
    from scipy import stats

    exponent = np.frexp(np.abs(values).max())[1]  # an exact scale: third powers of 1e200 are no numbers
    scaled = np.ldexp(values, -exponent)
    means = scaled[_resamples(values.size, seed)].mean(axis=-1)
    found: Any = stats.bootstrap(
        (scaled,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=0,  # all are made
        bootstrap_result=SimpleNamespace(bootstrap_distribution=means),
        method=method,
    )
    interval = found.confidence_interval
    return float(np.ldexp(interval.low, exponent)), float(np.ldexp(interval.high, exponent))


@lru_cache(maxsize=4)
def _resamples(n: int, seed: int) -> NDArray[np.int64]:
    """The photographs of each resample, (resamples, n), as SciPy draws them; once for thousands of means."""
    return np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))


@lru_cache(maxsize=2)
def _signs(n: int, seed: int) -> NDArray[np.float64]:
    """Rows of `n` signs, the first all +: every combination, or that one and random ones."""
    if 2**n <= FLIPS:
        negative = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        negative = np.random.default_rng(seed).integers(0, 2, (FLIPS, n), dtype=np.int8)
        negative[0] = 0
    return np.where(negative, -1.0, 1.0)


def _sign_flip_p(differences: NDArray[np.float64], seed: int) -> float:
    if differences.size == 0:
        return math.nan
    sums = np.abs(_signs(differences.size, seed) @ differences)
    rounding = 1e-12 * np.abs(differences).sum()  # what is equal but for rounding is as far from 0
    return float(np.mean(sums >= sums[0] - rounding))
