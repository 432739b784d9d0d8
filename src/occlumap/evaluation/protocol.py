"""The protocol of a benchmark: metrics, references and all else that decides a number."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from occlumap._checks import nearest, one_of, whole_number
from occlumap.errors import ArgumentError, MissingDependencyError
from occlumap.evaluation.methods import METHODS, Method, installed
from occlumap.evaluation.peers import hipe, lime
from occlumap.evaluation.photographs import CROPS

REFERENCES = ("blur", "mean", "linear", "photograph", "noise")
"""What metrics hide with; "photograph" is another photograph of the table."""

DIRECTIONS = {
    "insertion": "higher",
    "deletion": "lower",
    "srg": "higher",
    "comprehensiveness": "higher",
    "sufficiency": "lower",
    "region_spearman": "higher",
    "region_r2": "higher",
    "sensitivity_n": "higher",
    "infidelity": "lower",
    "grid_pointing": "higher",
    "randomised_outputs": "lower",
    "other_class": "lower",
    "other_seed": "higher",
}
"""The metrics of rows.csv, and where better lies."""

METRICS = {
    "curves": ("insertion", "deletion", "srg"),
    "areas": ("comprehensiveness", "sufficiency"),
    "regions": ("region_spearman", "region_r2"),
    "sensitivity": ("sensitivity_n",),
    "infidelity": ("infidelity",),
    "grid-pointing": ("grid_pointing",),
    "sanity": ("randomised_outputs", "other_class", "other_seed"),
}
"""The choices of metrics, and what each writes."""

_WITHOUT_REFERENCE = ("grid-pointing", "sanity")
CONTROLS = ("blurred", "other")


@dataclass(frozen=True)
class Protocol:
    """All that decides a number of the benchmark, apart from the photographs and the classifiers.

    `methods`: names of `methods.METHODS`, all that are installed unless said. `budgets`: calls at most, each
    method at each. `metrics`: names of `METRICS`. `controls`: whether each method's map is judged blurred, and
    its map of another photograph, too. `crops`: "centre", "off-centre" or both. `steps`: of the curves.
    `size`: side of the images, None for the classifier's own `input_size`, or 224.

    Raises ArgumentError for values that do not exist, MissingDependencyError for a method whose packages do not.
    """

    methods: tuple[str, ...] = field(default_factory=installed)
    budgets: tuple[int, ...] = (100, 300)
    metrics: tuple[str, ...] = ("curves", "regions")
    controls: bool = False
    crops: tuple[str, ...] = CROPS[:1]
    steps: int = 16
    size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, values, known in (
            ("a method", self.methods, METHODS),
            ("a metric", self.metrics, METRICS),
            ("a crop", self.crops, CROPS),
        ):
            if not values or len(set(values)) < len(values):
                raise ArgumentError(f"expected {name} or more, none of them twice, got {', '.join(values)!r}")
            for value in values:
                one_of(name, value, known)
        for budget in self.budgets:
            whole_number("a budget", budget, minimum=1)
        if not self.budgets or len(set(self.budgets)) < len(self.budgets):
            raise ArgumentError(f"expected a budget or more, none of them twice, got {self.budgets}")
        whole_number("steps", self.steps, minimum=1)
        whole_number("seed", self.seed, minimum=0)
        if self.size is not None:
            whole_number("size", self.size, minimum=8)
        for name, method in zip(self.methods, self.chosen, strict=True):
            _check(name, method)
            if missing := method.missing():
                raise MissingDependencyError(
                    f"the method {method.name} needs {', '.join(missing)}, not installed; run, in a clone of occlumap: "
                    "pip install '.[benchmark,peers]' (rex-xai: docs/benchmark.md), or leave it out of --methods"
                )

    @property
    def chosen(self) -> list[Method]:
        """The methods themselves."""
        return [METHODS[name] for name in self.methods]

    def groups(self) -> list[tuple[str, int]]:
        """Every (method, budget) that is judged on a photograph, controls last."""
        plain = [
            (method.name, budget)
            for method in self.chosen
            for budget in (self.budgets if method.spends_calls else (0,))
        ]
        if not self.controls:
            return plain
        altered = [(f"{name}~{control}", budget) for name, budget in plain if budget for control in CONTROLS]
        return plain + altered

    def group_size(self, method: str) -> int:
        """How many rows a method has for one photograph, classifier and budget."""
        count = 0
        for metric in self.metrics:
            if metric not in _WITHOUT_REFERENCE:
                count += len(METRICS[metric]) * len(REFERENCES)
            elif "~" not in method:
                count += len(METRICS[metric])
        return count


def _check(name: str, method: Method) -> None:
    """ArgumentError for a method of the caller's own that could not be told from others in rows, files and headline."""
    if not isinstance(method, Method) or method.name != name or not re.fullmatch(r"[\w.-]{1,60}", name):
        got = f"Method({method.name!r}, ...)" if isinstance(method, Method) else type(method).__name__
        raise ArgumentError(
            f"expected METHODS[{name!r}] to be a Method of the same name, at most 60 letters, digits, points, _ and -, "
            f"got {got}"
        )
    if not isinstance(method.fill, str):
        raise ArgumentError(f"expected a text as the fill of {name}, got {type(method.fill).__name__}")
    words = {*re.findall("[a-z]+", method.fill.lower())} & {*REFERENCES}
    meant = (
        f"; did you mean {', '.join(sorted(words))}?" if words else nearest(method.fill, REFERENCES, count=1)
    )
    if meant and method.fill not in (*REFERENCES, hipe.FILL, lime.FILL):
        raise ArgumentError(
            f"expected the fill of {name} to be one of the references {', '.join(REFERENCES)}, which then leaves the "
            f"headline, or another word, got {method.fill!r}{meant}"
        )


def headline_references(fills: Collection[str]) -> list[str]:
    """The references that no method hides with, given what each hides with: what the headline is the mean of."""
    return [name for name in REFERENCES if name not in fills]
