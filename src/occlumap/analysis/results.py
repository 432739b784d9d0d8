"""TestResult: what every test returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TestResult:
    """One test: its name, the statistic and its degrees of freedom, p, perhaps an effect and its interval.

    `df`: one number or several (numerator first), empty when there are none. `source`: the call in R that gives the
    same, or the reference. `assumptions`: what it takes for granted, in words.
    """

    __test__ = False  # pytest: not a class of tests

    name: str
    statistic: float
    df: tuple[float, ...]
    p: float
    effect: float | None = None
    interval: tuple[float, float] | None = None
    assumptions: str = ""
    source: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
