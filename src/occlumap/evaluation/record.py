"""benchmark.json: what was run, for the report and for going on."""

import json
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from occlumap import __version__ as occlumap_version
from occlumap import _archive
from occlumap.errors import ArgumentError, FileFormatError
from occlumap.evaluation.gallery import PHOTOGRAPHS
from occlumap.evaluation.judging import Panel, slug
from occlumap.evaluation.methods import METHODS
from occlumap.evaluation.protocol import DIRECTIONS, METRICS, Protocol, headline_references
from occlumap.evaluation.rows import Group
from occlumap.measuring import image_sha256


class Record:
    """benchmark.json: what was run, for the report and for going on."""

    def __init__(self, out: Path, protocol: Protocol, command: str) -> None:
        self._file = out / "benchmark.json"
        before = self._read()
        settings: dict[str, Any] = {key: getattr(protocol, key) for key in ("steps", "size", "seed")}
        settings["metrics"] = list(protocol.metrics)
        if before:
            for key, value in settings.items():
                if before["settings"].get(key) != value:
                    raise ArgumentError(
                        f"expected {key} as in the run that is in {out} already, {before['settings'].get(key)!r}, got "
                        f"{value!r}; choose another folder"
                    )
        methods = list(dict.fromkeys([*before.get("settings", {}).get("methods", ()), *protocol.methods]))
        budgets = sorted({*before.get("settings", {}).get("budgets", ()), *protocol.budgets})
        fills = {
            **before.get("fills", {}),
            **{name: METHODS[name].fill for name in methods if name in METHODS},
        }
        self._document: dict[str, Any] = {
            "command": " && ".join(
                dict.fromkeys(filter(None, [*before.get("command", "").split(" && "), command]))
            ),
            "settings": {**settings, "methods": methods, "budgets": budgets},
            "versions": _versions(),
            "headline_references": headline_references(fills.values()),
            "fills": fills,
            "directions": {name: DIRECTIONS[name] for metric in protocol.metrics for name in METRICS[metric]},
            "photographs": before.get("photographs", {}),
            "gallery": before.get("gallery", {}),
            "left_out": {},
            "failures": [],
        }

    def photographs(self, panel: Panel) -> None:
        """Write down who was right and who was wrong, and that they are the ones of an earlier run."""
        known = self._document["photographs"].setdefault(panel.name, {})
        fresh = {
            photograph.entry.name: f"{photograph.entry.class_index}:{image_sha256(photograph.pixels)}"
            for photograph in panel.photographs
        } | dict.fromkeys(panel.wrong, "wrong")
        for name, what in fresh.items():
            if known.setdefault(name, what) != what:
                raise ArgumentError(
                    f"expected the photograph {name} as in the run that is in {self._file.parent} already, got another "
                    "image, class or answer of the classifier; choose another folder"
                )
        drawn = [panel.name, *(photograph.entry.name for photograph in panel.photographs[:PHOTOGRAPHS])]
        self._document["gallery"] |= {slug(name): name for name in drawn}
        wrong = [name for name, what in known.items() if what == "wrong"]
        self._document["left_out"] = {
            **self._document["left_out"],
            panel.name: {"wrong": len(wrong), "of": len(known), "files": wrong},
        }
        self._write()

    def failure(self, group: Group, problem: str) -> None:
        """Write down that a method made no heatmap, and why."""
        line = {
            **dict(zip(("photo", "classifier", "method", "budget"), group, strict=True)),
            "problem": problem,
        }
        if line not in self._document["failures"]:
            self._document["failures"].append(line)
            self._write()

    def _read(self) -> dict[str, Any]:
        if not self._file.exists():
            return {}
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            found["settings"].items()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileFormatError(
                f"expected the settings of a benchmark in {self._file}, got another file; choose another folder"
            ) from error
        return dict(found)

    def _write(self) -> None:
        _archive.write_bytes(self._file, (json.dumps(self._document, indent=1) + "\n").encode())


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "occlumap": occlumap_version}
    for package in (
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
    ):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
