"""Targets: which class an index, a name, or nothing at all means."""

import re
from collections.abc import Mapping, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import nearest
from occlumap.classifiers import Classifier
from occlumap.errors import TargetError

Target = int | str


def class_names(classifier: Classifier, count: int | None = None) -> list[str] | None:
    """The classifier's names of its classes, None when it has none; TargetError when they do not fit.

    `count`: of the classes, None while it is not known.
    """
    names = getattr(classifier, "classes", None)
    if names is None:
        return None
    if isinstance(names, str | bytes | Mapping | Set) or not hasattr(names, "__len__"):
        advice = (
            "; hand in list(classes.values()), in the order of the scores"
            if isinstance(names, Mapping)
            else "; a set has no order"
            if isinstance(names, Set)
            else ""
        )
        raise TargetError(
            f"expected .classes to be a list of names, one for each score, got {type(names).__name__}{advice}"
        )
    if None in list(names):
        raise TargetError(
            f"expected .classes to have a name for each score, got None at place {list(names).index(None)}"
        )
    for place, name in enumerate(names):
        if isinstance(name, Sequence | Mapping | Set | np.ndarray) and not isinstance(name, str):
            raise TargetError(
                f"expected .classes to have one name for each score, got {type(name).__name__} at place {place}"
            )
    if count is not None and len(names) != count:
        raise TargetError(f"expected {count} class names for {count} scores, got {len(names)} in .classes")
    return [str(name) for name in names]


def resolve_targets(
    targets: Sequence[Target | None], row: NDArray[np.float64], names: Sequence[str] | None
) -> list[int]:
    """Class indices of several targets, see `resolve_target`; TargetError for none."""
    if not targets:
        raise TargetError(
            "expected at least one target, got an empty list; leave target out for the top class"
        )
    return [resolve_target(target, row, names) for target in targets]


def resolve_target(target: Target | None, row: NDArray[np.float64], names: Sequence[str] | None) -> int:
    """The class index that `target` means, given the original image's scores (classes,) and their names.

    None is the top class. A name matches a class whole or by one of its comma-separated synonyms, in any case
    of letters; where none does, a number matches a name that is the same number. TargetError for a class that does
    not exist, or a name of several.

    >>> resolve_target("tabby", np.zeros(2), ["tiger cat", "tabby, tabby cat"])
    1
    """
    if target is None:
        return int(np.argmax(row))
    if isinstance(target, bool | np.bool_) or not isinstance(target, int | np.integer | str):
        raise TargetError(
            f"expected target to be a class index, a class name or None, got {target!r}; several go in a list"
        )
    if not isinstance(target, str):
        if not 0 <= int(target) < len(row):
            named = str(int(target)) in (names or ())
            advice = f'; the class named {int(target)} is target="{int(target)}"' if named else ""
            raise TargetError(f"expected a class index from 0 to {len(row) - 1}, got {int(target)}{advice}")
        return int(target)
    if names is None:
        raise TargetError(
            f"expected a class index from 0 to {len(row) - 1}, got the name {target!r}, and the classifier has no "
            "names; give it an attribute `classes`, a list of names"
        )
    wanted = target.strip().lower()
    whole = [index for index, name in enumerate(names) if name.strip().lower() == wanted]
    parts: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        for part in {part.strip().lower(): None for part in name.split(",")}:
            parts.setdefault(part, []).append(index)
    found = whole or parts.get(wanted, []) or of_number(target, names)
    if len(found) > 1:
        listed = ", ".join(f"{index} ({names[index]})" for index in found)
        advice = "give the index"
        if _number(target) is not None:  # which the command line takes for the name
            advice += f" in Python, target={found[0]}, or names that differ"
        raise TargetError(f"expected a name of one class, got {target!r}, which fits {listed}; {advice}")
    if not found:
        raise TargetError(f"expected the name of a class, got {target!r}{_similar(wanted, parts, names)}")
    return found[0]


def of_number(text: str, names: Sequence[str]) -> list[int]:
    """The classes whose name is the number that `text` is, however both are written: "1" is "1.0"."""
    number = _number(text)
    return [index for index, name in enumerate(names) if number is not None and _number(name) == number]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _similar(wanted: str, parts: dict[str, list[int]], names: Sequence[str]) -> str:
    containing = [part for part in parts if wanted and wanted in part]
    containing.sort(key=lambda part: wanted not in re.findall(r"\w+", part))  # "cat": tabby cat before bobcat
    if containing:
        return f"; did you mean {', '.join(f'{names[parts[part][0]]!r}' for part in containing[:3])}?"
    return nearest(wanted, parts) or "; no class has a similar name"
