"""benchmark.json: what was run, for the report and for going on."""

import json
import platform
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from occlumap import __version__ as occlumap_version
from occlumap import _archive
from occlumap._versions import versions_of
from occlumap.errors import ArgumentError, FileFormatError
from occlumap.evaluation.gallery import PHOTOGRAPHS
from occlumap.evaluation.judging import Panel, slug
from occlumap.evaluation.methods import METHODS
from occlumap.evaluation.protocol import DIRECTIONS, METRICS, Protocol, headline_references
from occlumap.evaluation.rows import Group

_GROUP = ("photo", "classifier", "method", "budget")


class Anew(TypedDict):
    """Methods made anew: of which photographs, by classifier, the rows go, and of which the heatmaps."""

    methods: list[str]
    rows: dict[str, list[str]]
    maps: dict[str, list[str]]


class Record:
    """benchmark.json: what was run, for the report and for going on."""

    def __init__(self, out: Path, protocol: Protocol, command: str) -> None:
        self._folder = out
        self._file = out / "benchmark.json"
        before = self._read()
        settings: dict[str, Any] = {
            "steps": protocol.steps,
            "size": protocol.size,
            "seed": protocol.seed,
            "metrics": list(protocol.metrics),
        }
        if before:
            settings = self._as_before(settings, before["settings"])
        methods = list(dict.fromkeys([*before.get("settings", {}).get("methods", ()), *protocol.methods]))
        budgets = sorted({*before.get("settings", {}).get("budgets", ()), *protocol.budgets})
        fills = {
            **before.get("fills", {}),
            **{name: METHODS[name].fill for name in methods if name in METHODS},
        }
        sides = before.get("sides")
        if sides is None:  # of a run before sides were written down
            size = before.get("settings", {}).get("size")
            sides = {} if size is None else dict.fromkeys(before.get("photographs", {}), size)
        self._document: dict[str, Any] = {
            "command": " && ".join(
                dict.fromkeys(filter(None, [*before.get("command", "").split(" && "), command]))
            ),
            "settings": {**settings, "methods": methods, "budgets": budgets},
            "versions": before.get("versions", {}),
            "headline_references": headline_references(fills.values()),
            "fills": fills,
            "directions": {
                name: DIRECTIONS[name] for metric in settings["metrics"] for name in METRICS[metric]
            },
            "sides": sides,
            "photographs": before.get("photographs", {}),
            "beside": before.get("beside", {}),
            "scores": before.get("scores", {}),
            "blurred_scores": before.get("blurred_scores", {}),
            "gallery": before.get("gallery", {}),
            "left_out": before.get("left_out", {}),
            "failures": before.get("failures", []),
            "anew": before.get("anew"),
        }

    def photographs(self, panels: Iterable[Panel]) -> None:
        """Write down who was right and who was wrong, once all is seen to be as in an earlier run.

        Raises ArgumentError for another image or class, another side, another score of a classifier, and other
        photographs beside one.
        """
        for panel in panels:
            self._photographs(panel)
        self._write()

    def _photographs(self, panel: Panel) -> None:
        self._check_side(panel)
        known = self._document["photographs"].setdefault(panel.name, {})
        fresh = {
            photograph.entry.name: photograph.identity for photograph in panel.photographs
        } | dict.fromkeys(panel.wrong, "wrong")
        for name, what in fresh.items():
            if known.setdefault(name, what) != what:
                raise ArgumentError(
                    f"expected the photograph {name} as in the run that is in {self._folder} already, got another "
                    "image, class or answer of the classifier; choose another folder"
                )
        self._check_scores(panel)
        self._check_beside(panel)
        drawn = [panel.name, *(photograph.entry.name for photograph in panel.photographs[:PHOTOGRAPHS])]
        self._document["gallery"] |= {slug(name): name for name in drawn}
        wrong = [name for name, what in known.items() if what == "wrong"]
        self._document["left_out"] = {
            **self._document["left_out"],
            panel.name: {"wrong": len(wrong), "of": len(known), "files": wrong},
        }

    def _as_before(self, settings: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of the run before, or an ArgumentError where these differ; a size is each classifier's own."""
        for key in ("steps", "seed", "metrics"):
            theirs, ours = known.get(key), settings[key]
            if theirs != ours and not (key == "metrics" and sorted(map(str, theirs or ())) == sorted(ours)):
                raise ArgumentError(
                    f"expected {key} as in the run that is in {self._folder} already, {theirs!r}, got {ours!r}; "
                    "choose another folder"
                )
        return {key: known.get(key) for key in settings}

    def _check_side(self, panel: Panel) -> None:
        side = self._document["sides"].setdefault(panel.name, panel.side)
        if side != panel.side:
            raise ArgumentError(
                f"expected a size of {side}, which the images of {panel.name} have in the run that is in "
                f"{self._folder} already, got {panel.side}; choose another folder"
            )

    def _check_scores(self, panel: Panel) -> None:
        # not equal: another batch size, thread count or machine, or a noise of the classifier's own may change it, more
        # so where little speaks for the class
        for key, what, found, rtol in (
            ("scores", "", panel.scores, 1e-2),
            ("blurred_scores", ", blurred,", panel.blurred_scores(), 1e-1),
        ):
            known = self._document[key].setdefault(panel.name, {})
            for name, ours in found.items():
                theirs = known.setdefault(name, ours)
                if not np.isclose(ours, theirs, rtol=rtol, atol=1e-6):
                    raise ArgumentError(
                        f"expected {panel.name} to be the classifier of the run that is in {self._folder} already, "
                        f"which gives the photograph {name}{what} the score {theirs:g} for its class, got {ours:g}; go "
                        "on with the classifier of that run, or choose another folder"
                    )

    def _check_beside(self, panel: Panel) -> None:
        """Other photographs that a photograph is judged with come from the table: not from two different ones."""
        known = self._document["beside"].setdefault(panel.name, {})
        for photograph in panel.photographs:
            ours, name = panel.beside(photograph), photograph.entry.name
            theirs = known.get(name, ours)
            if list(theirs) != list(ours):
                raise ArgumentError(
                    f"expected {name} to be judged beside {', '.join(theirs)} of the table (as reference, in mosaics "
                    f"and as control), as in the run that is in {self._folder} already, got {', '.join(ours)}: the "
                    "table has other lines, or another order, after it. Use the table of that run, or choose another "
                    "folder"
                )
            # a run before these were written down has names alone
            if isinstance(theirs, dict) and theirs != ours:
                changed = next(one for one in ours if ours[one] != theirs[one])
                raise ArgumentError(
                    f"expected the photograph {changed}, beside which {name} is judged (as reference, in mosaics or as "
                    f"control), as in the run that is in {self._folder} already, got another image or class; put the "
                    "one of that run back, or choose another folder"
                )
            known[name] = ours

    def versions(self) -> None:
        """Write down the packages that rows are made with now, beside those of earlier runs."""
        known = self._document["versions"]
        for package, ours in _versions().items():
            theirs = known.get(package)
            if theirs is None or ours not in theirs.split(", "):
                known[package] = ours if theirs is None else f"{theirs}, {ours}"
        self._write()

    @property
    def anew(self) -> Anew | None:
        """What a run that was stopped had begun to make anew."""
        found: Anew | None = self._document["anew"]
        return found

    def start_anew(self, anew: Anew | None) -> None:
        """Write down that rows and heatmaps are being taken out, or None: that they are."""
        self._document["anew"] = anew
        self._write()

    def failure(self, group: Group, problem: str) -> None:
        """Write down that a method made no heatmap, and why."""
        self._forget(lambda line: _group(line) == group)
        self._document["failures"].append({**dict(zip(_GROUP, group, strict=True)), "problem": problem})
        self._write()

    def successes(self, groups: Collection[Group]) -> None:
        """Earlier failures of `groups`, which have their numbers now, are no longer told."""
        if self._forget(lambda line: _group(line) in groups):
            self._write()

    def _forget(self, mended: Callable[[Mapping[str, Any]], bool]) -> bool:
        failures = self._document["failures"]
        self._document["failures"] = [line for line in failures if not mended(line)]
        return len(self._document["failures"]) < len(failures)

    def _read(self) -> dict[str, Any]:
        if not self._file.exists():
            return {}
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            for one in (found["settings"], found.get("anew") or {}, *found.get("failures", ())):
                one.items()
            for name in (
                "fills",
                "sides",
                "photographs",
                "beside",
                "scores",
                "blurred_scores",
                "gallery",
                "left_out",
            ):
                found.get(name, {}).items()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileFormatError(
                f"expected the settings of a benchmark in {self._file}, got another file; choose another folder"
            ) from error
        return dict(found)

    def _write(self) -> None:
        _archive.write_bytes(self._file, (json.dumps(self._document, indent=1) + "\n").encode())


def _group(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(line.get(name) for name in _GROUP)


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "occlumap": occlumap_version,
        **versions_of(
            "numpy",
            "pillow",
            "scipy",
            "scikit-image",
            "lime",
            "shap",
            "captum",
            "torch",
            "opencv-python-headless",
            "onnxruntime",
        ),
    }
