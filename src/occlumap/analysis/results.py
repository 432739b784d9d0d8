"""What every test returns, and results under their ids with what could not be had."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from occlumap.errors import ArgumentError


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


@dataclass
class Results:
    """`values`: by id. `problems`: what could not be had, and why, by id. `cautions`: how to read one, by id.
    `stopped`: the ids of problems that cost a part of their results only.
    """

    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    cautions: dict[str, str] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)

    def add(self, prefix: str, make: Callable[[], Iterator[tuple[str, Any]]]) -> None:
        """All that `make` gives, under `prefix`: values, or functions that make one, each of which may fail alone.

        Why one failed stands under its name; why `make` stopped, under `prefix`.
        """
        given = False
        # a group without variation makes infinite and undefined values, which `plain` tells
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            try:
                for name, value in make():
                    self._put(f"{prefix}.{name}" if name else prefix, value)
                    given = True
            except _FAILURES as error:
                why = _why(error)
                if given:
                    self.stopped.add(prefix)
                earlier = self.problems.get(prefix)
                self.problems[prefix] = why if earlier is None else f"{earlier}; {why}"

    def tell_missing(self, ids: Iterable[str]) -> None:
        """Name, of `ids`, what the problems in `stopped` cost."""
        for prefix in sorted(self.stopped):
            missing = [
                one
                for one in ids
                if one.startswith(f"{prefix}.")
                and one not in self.values
                and not any(f"{one}.".startswith(f"{name}.") for name in self.problems if name != prefix)
            ]
            if missing:
                further = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
                self.problems[prefix] += f" (missing: {', '.join(missing[:5])}{further})"
        self.stopped.clear()

    def _put(self, name: str, value: Any) -> None:
        try:
            self.values[name] = plain(value() if callable(value) else value)
        except _FAILURES as error:
            self.problems[name] = _why(error)


_FAILURES = (ArgumentError, np.linalg.LinAlgError, ValueError, ZeroDivisionError)


def _why(error: Exception) -> str:
    if isinstance(error, ArgumentError):
        return str(error)
    if isinstance(error, ZeroDivisionError):
        return "nothing varies, or a cell has too few rows to vary"
    if isinstance(error, np.linalg.LinAlgError):
        return f"a singular model: a cell without rows, or too few ({error})"
    return f"{type(error).__name__}: {error}"


def plain(value: Any) -> Any:
    """Python's own numbers in dicts and lists; infinite ones as the text "Inf", undefined ones as None."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(one) for one in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return None
        if np.isinf(value):
            return "Inf" if value > 0 else "-Inf"
        return float(value)
    return value
