"""Agreement between coders, in plain arithmetic: Cohen's kappa, Fleiss' kappa, Krippendorff's alpha (nominal).

For the coding bench and the analysis alike; imports only the standard library. A code is any hashable value; None is a
missing one.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from occlumap.errors import ArgumentError

Code = Hashable
_Z95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


@dataclass(frozen=True)
class CohenKappa:
    """Agreement of two coders beyond chance, -1 to 1.

    `agreement`, `expected`: observed and chance shares. `se0`, `z`, `p`: of the test that kappa is 0 (Fleiss, Cohen &
    Everitt 1969). `se`, `ci_lower`, `ci_upper`: the asymptotic standard error (same source) and its 95 % interval. NaN
    where both used one code only: then kappa is not defined.
    """

    kappa: float
    agreement: float
    expected: float
    n: int
    se0: float
    z: float
    p: float
    se: float
    ci_lower: float
    ci_upper: float


@dataclass(frozen=True)
class FleissKappa:
    """Agreement of several coders who all coded all n units (Fleiss 1971)."""

    kappa: float
    agreement: float
    expected: float
    n: int
    raters: int


@dataclass(frozen=True)
class KrippendorffAlpha:
    """1 - observed / expected disagreement of nominal codes, from the coincidence matrix (Krippendorff 2011)."""

    alpha: float
    observed: float
    expected: float
    pairable_values: int


def cohen_kappa(first: Sequence[Code | None], second: Sequence[Code | None]) -> CohenKappa:
    """Cohen's unweighted kappa (Cohen 1960) of two coders, unit by unit; units that one left out do not count.

    Raises ArgumentError for sequences of different lengths, or with no unit that both coded.

    >>> round(cohen_kappa("aabb", "aaba").kappa, 3)
    0.5
    """
    if len(first) != len(second):
        raise ArgumentError(f"expected as many codes of both coders, got {len(first)} and {len(second)}")
    pairs = [
        (one, other)
        for one, other in zip(first, second, strict=True)
        if one is not None and other is not None
    ]
    n = len(pairs)
    if not n:
        raise ArgumentError("expected at least one unit that both coders coded, got none")
    cells = Counter(pairs)
    rows, columns = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    codes = sorted({*rows, *columns}, key=str)
    agreement = sum(cells[code, code] for code in codes) / n
    share_of = {code: (rows[code] / n, columns[code] / n) for code in codes}
    expected = sum(row * column for row, column in share_of.values())
    if expected >= 1:
        nan = math.nan
        return CohenKappa(nan, agreement, expected, n, nan, nan, nan, nan, nan, nan)
    kappa = (agreement - expected) / (1 - expected)
    sums = sum(row * column * (row + column) for row, column in share_of.values())
    se0 = math.sqrt(max(0.0, expected + expected**2 - sums)) / ((1 - expected) * math.sqrt(n))
    z = kappa / se0 if se0 else math.nan
    p = math.erfc(abs(z) / math.sqrt(2)) if se0 else math.nan
    se = _asymptotic_se(cells, share_of, kappa, expected, n)
    return CohenKappa(kappa, agreement, expected, n, se0, z, p, se, kappa - _Z95 * se, kappa + _Z95 * se)


def _asymptotic_se(
    cells: Counter[tuple[Code, Code]],
    share_of: dict[Code, tuple[float, float]],
    kappa: float,
    expected: float,
    n: int,
) -> float:
    """Equation 13 of Fleiss, Cohen & Everitt (1969)."""
    agreed = sum(
        cells[code, code] / n * (1 - (row + column) * (1 - kappa)) ** 2
        for code, (row, column) in share_of.items()
    )
    differed = (1 - kappa) ** 2 * sum(
        count / n * (share_of[one][1] + share_of[other][0]) ** 2
        for (one, other), count in cells.items()
        if one != other
    )
    variance = (agreed + differed - (kappa - expected * (1 - kappa)) ** 2) / (n * (1 - expected) ** 2)
    return math.sqrt(max(0.0, variance))


def fleiss_kappa(units: Sequence[Sequence[Code]]) -> FleissKappa:
    """Fleiss' kappa of units that the same number of coders coded.

    Raises ArgumentError for no units, fewer than two codes a unit, or units of different numbers of codes.

    >>> round(fleiss_kappa(["aab", "bbb", "aaa"]).kappa, 3)
    0.55
    """
    sizes = {len(unit) for unit in units}
    if len(sizes) != 1 or sizes.pop() < 2:
        raise ArgumentError("expected units with the same number of codes, two or more, got others or none")
    n, raters = len(units), len(units[0])
    agreement = sum(_pairs(tuple(unit)) for unit in units) / (n * raters * (raters - 1))
    totals = Counter(code for unit in units for code in unit)
    expected = sum((count / (n * raters)) ** 2 for count in totals.values())
    kappa = (agreement - expected) / (1 - expected) if expected < 1 else math.nan
    return FleissKappa(kappa, agreement, expected, n, raters)


def krippendorff_alpha(units: Sequence[Sequence[Code | None]]) -> KrippendorffAlpha:
    """Krippendorff's alpha for nominal codes; None is missing, and units with fewer than two codes do not count.

    Raises ArgumentError when no unit has two codes.

    >>> round(krippendorff_alpha(["aa", "bb", "ab", ["a", None]]).alpha, 3)
    0.444
    """
    coded = [tuple(code for code in unit if code is not None) for unit in units]
    coded = [unit for unit in coded if len(unit) > 1]
    if not coded:
        raise ArgumentError("expected at least one unit with two codes, got none")
    values = sum(len(unit) for unit in coded)
    totals = Counter(code for unit in coded for code in unit)
    same = sum(_pairs(unit) / (len(unit) - 1) for unit in coded)
    observed = 1 - same / values
    expected = 1 - sum(c * (c - 1) for c in totals.values()) / (values * (values - 1))
    alpha = 1 - observed / expected if expected else math.nan
    return KrippendorffAlpha(alpha, observed, expected, values)


@lru_cache(maxsize=1024)  # a bootstrap asks for the same units again and again
def _pairs(unit: tuple[Code, ...]) -> int:
    """Ordered pairs of coders who gave the unit the same code."""
    return sum(count * (count - 1) for count in Counter(unit).values())


def bootstrap_interval(
    statistic: Callable[[Sequence[Sequence[Code | None]]], float],
    units: Sequence[Sequence[Code | None]],
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of an agreement, units drawn with replacement (Zapf et al. 2016).

    The same for any order of the units. Draws whose agreement is not defined (one code only, no unit of two codes) do
    not count; NaN when those are more than half.

    >>> low, high = bootstrap_interval(lambda units: fleiss_kappa(units).kappa, ["aa", "bb", "ab"] * 9)
    >>> round(low, 2), round(high, 2)
    (-0.11, 0.7)
    """
    random = Random(seed)  # noqa: S311 - a resampling, no secret
    ordered, found = sorted(units, key=repr), []
    for _ in range(resamples):
        try:
            value = statistic(random.choices(ordered, k=len(ordered)))
        except ArgumentError:
            continue
        if not math.isnan(value):
            found.append(value)
    if len(found) <= resamples / 2:
        return math.nan, math.nan
    found.sort()
    return found[math.floor(0.025 * (len(found) - 1))], found[math.ceil(0.975 * (len(found) - 1))]
