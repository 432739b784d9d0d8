"""Checks of arguments that several public functions share."""

import difflib
import math
import operator
import reprlib
import threading
from collections.abc import Iterable

from occlumap.errors import ArgumentError


def whole_number(name: str, value: object, *, minimum: int, maximum: int | None = None) -> int:
    """`value` as an int within `minimum`..`maximum`, or an ArgumentError that names the argument.

    >>> whole_number("depth", 4, minimum=1)
    4
    """
    bounds = f"from {minimum} to {maximum}" if maximum is not None else f"of {minimum} or more"
    expected = f"expected {name} to be a whole number {bounds}, got {value!r}"
    if isinstance(value, bool):
        raise ArgumentError(expected)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ArgumentError(expected) from None
    if number < minimum or (maximum is not None and number > maximum):
        raise ArgumentError(expected)
    return number


def seconds(name: str, value: object) -> float:
    """`value` as seconds, a finite number above 0, or an ArgumentError that names the argument.

    >>> seconds("timeout", 30)
    30.0
    """
    return positive_number(name, value, threading.TIMEOUT_MAX, "of seconds, not infinite,")


def positive_number(name: str, value: object, most: float, unit: str) -> float:
    """`value` as a float above 0, `most` at most, or an ArgumentError that names argument and unit."""
    try:
        number = math.nan if isinstance(value, bool | str | bytes) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 < number <= most:
        raise ArgumentError(f"expected {name} to be a number {unit} above 0, got {reprlib.repr(value)}")
    return number


def reason(error: BaseException) -> str:
    """What went wrong in words: of an OSError without its number and its path, which our messages name.

    Of bytes that are not in the encoding that was asked for, the line.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a.txt"))
    'No such file or directory'
    """
    if isinstance(error, UnicodeDecodeError):
        line = error.object[: error.start].count(b"\n") + 1
        return f"other bytes in line {line}, which {error.encoding} does not decode"
    return str((isinstance(error, OSError) and error.strerror) or error)


def one_of(name: str, value: object, options: Iterable[str]) -> str:
    """`value` if it is one of `options`, or an ArgumentError that offers the nearest."""
    known = list(options)
    if isinstance(value, str) and value in known:
        return value
    raise ArgumentError(
        f"expected {name} to be one of {', '.join(known)}; got {value!r}{nearest(value, known)}"
    )


def nearest(value: object, options: Iterable[str], count: int = 3) -> str:
    """`; did you mean a, b?` for what in `options` resembles `value`, or an empty text.

    >>> nearest("neighbors", ["neighbours", "mean"])
    '; did you mean neighbours?'
    """
    by_lower = {option.lower(): option for option in options}
    found = difflib.get_close_matches(str(value).lower(), list(by_lower), n=count, cutoff=0.6)
    return f"; did you mean {', '.join(by_lower[key] for key in found)}?" if found else ""
