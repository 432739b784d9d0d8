"""The configuration of a study: one YAML file, checked; its texts, with money and names filled in from one place."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from occlumap._extras import from_extra
from occlumap._fingerprints import of_file
from occlumap._yaml_files import read_yaml
from occlumap.errors import ArgumentError
from occlumap.study.domain import colours, reward, stimulus_set, texts

FILL_IN = "FILL IN"
"""A value that begins so has not been filled in; a launch is refused while one is there."""

MOST_MONEY = 10_000

MARK = re.compile(r"\{\{\s*(\w+)\s*\}\}")
"""What stands in a text, {{ name }}, for something that is filled in."""

PLACEHOLDERS = ("institution", "investigator", "contact", "ethics_number", "data_controller")

DEFAULTS: dict[str, Any] = {
    "title": "Interacting with an object recognition system",
    "version": "1",
    "seed": 1,
    "quota_per_cell": 16,
    "places": 0,
    "lease_minutes": 60,
    "heatmaps": ["none", "lrp", "occlusion"],
    "scores": ["not_shown", "shown"],
    "comprehension_rule": "record",
    "comprehension": None,
    "payment": {"currency": "GBP", "base": "8.00", "per_correct": "0.50"},
    "people": {name: f"{FILL_IN}: {name.replace('_', ' ')}" for name in PLACEHOLDERS},
    "codes": {
        "completed": "DONE",
        "no_consent": "NOCONSENT",
        "screened_out": "SCREENEDOUT",
        "over_quota": "FULL",
    },
    "completion_url": "",
    "entries_per_minute": 60,
    "signed_links": {"keys": "", "audience": "", "study_id": ""},
    "colours": colours.DEFAULTS,
    "stimuli": "stimuli/manifest.json",
    "texts": {},
}


@dataclass(frozen=True)
class Configuration:
    """`values`: those of the file over DEFAULTS. `folder`: where the file lies, to which `stimuli` is relative."""

    values: Mapping[str, Any]
    folder: Path

    @cached_property
    def sha256(self) -> str:
        """Of all values, the texts and the stimulus set's manifest: stands in every participant's row."""
        questions = [(question, right) for question, right, _ in self._questions]
        everything = [self.values, self.own_texts, questions, self.manifest]
        return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()

    @property
    def frozen(self) -> str:
        """All that is served, as text, for `thawed`: values, manifest, and the hash of each image's file."""
        return json.dumps(
            {"values": dict(self.values), "manifest": self.manifest, "images": self.images_sha256}
        )

    @cached_property
    def images_sha256(self) -> dict[str, str]:
        """The SHA-256 of the file of each image that is there."""
        return digests(self.images)

    @property
    def cells(self) -> list[str]:
        """The cells of the design: "heatmap:scores"."""
        return [
            f"{heatmap}:{scores}" for heatmap in self.values["heatmaps"] for scores in self.values["scores"]
        ]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The stimulus set; FileFormatError when it cannot be read."""
        return stimulus_set.read(self.folder / self.values["stimuli"])

    @cached_property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """The tasks of the stimulus set by id."""
        return {str(task["id"]): task for task in self.manifest["tasks"]}

    @property
    def classes(self) -> list[str]:
        """The classes that tasks ask for."""
        return sorted({str(task["class"]) for task in self.tasks.values()})

    def image(self, name: str) -> Path | None:
        """The file of an image that the manifest names; None for any other name."""
        return self.images.get(name)

    @cached_property
    def images(self) -> dict[str, Path]:
        """The files of all images that the manifest names."""
        folder = (self.folder / self.values["stimuli"]).parent
        names: set[str] = set()
        for task in self.tasks.values():
            for one in (task, *task["examples"]):
                names.add(one["image"])
            for example in task["examples"]:
                names.update(filter(None, (example.get("heatmaps") or {}).values()))
        return {name: folder / name for name in sorted(names)}

    @property
    def own_texts(self) -> dict[str, Any]:
        """The Markdown texts before anything is filled in."""
        return {**texts.TEXTS, **self.values["texts"]}

    def own_pages(self, scores: str, heatmap: str) -> list[str]:
        """The pages of instructions of a condition before anything is filled in."""
        pages = self.own_texts["instructions"]
        return [page["text"] for page in pages if _is_for(page.get("for", ""), scores, heatmap)]

    @property
    def own_questions(self) -> list[str]:
        """The comprehension questions of all conditions."""
        return [question for question, _, _ in self._questions]

    def example(self, outcome: str) -> tuple[dict[str, Any], str] | None:
        """The first example with an outcome, and the class that its task asks for; None for an outcome without one."""
        for task in self.tasks.values():
            for example in task["examples"]:
                if example["outcome"] == outcome:
                    return example, str(task["class"])
        return None

    def money(self, name: str) -> Decimal:
        """An amount of `payment`."""
        return Decimal(str(self.values["payment"][name]))

    def texts(self, scores: str = "shown", heatmap: str = "occlusion") -> dict[str, Any]:
        """Markdown texts with payment and people filled in; `instructions` is a list of pages for the condition, with
        the marks of texts.FIGURES in them.
        """
        values = {**self.values["people"], "title": self.values["title"], **self._payment()}
        own, pages = self.own_texts, self.own_pages(scores, heatmap)
        return {
            "information": filled(own["information"], values),
            "consent": filled(own["consent"], values),
            "instructions": [filled(page, {**values, **texts.FIGURES}) for page in pages],
        }

    def questions(self, scores: str = "shown", heatmap: str = "occlusion") -> list[tuple[str, str, str]]:
        """The comprehension questions of a condition: (name, question, right answer: "yes" or "no")."""
        asked = [one for one in self._questions if _is_for(one[2], scores, heatmap)]
        return [(f"q{number}", question, right) for number, (question, right, _) in enumerate(asked, start=1)]

    @cached_property
    def _questions(self) -> list[tuple[str, str, str]]:
        """All questions: (question, right answer, "scores", "heatmap" or "")."""
        said = {True: "yes", False: "no"}  # what YAML makes of a bare yes and no
        own = self.values["comprehension"] or texts.QUESTIONS
        return [
            (str(one["question"]), said.get(one["right"], one["right"]), one.get("for", "")) for one in own
        ]

    def _payment(self) -> dict[str, str]:
        tasks = len(self.tasks)
        base, each = self.money("base"), self.money("per_correct")
        currency = self.values["payment"]["currency"]
        return {
            "base": f"{currency} {base:.2f}",
            "per_correct": f"{currency} {each:.2f}",
            "maximum": f"{currency} {reward.maximum(base, tasks, each)}",
            "tasks": str(tasks),
            "examples": str(max(len(task["examples"]) for task in self.tasks.values())),
        }


def _is_for(what: str, scores: str, heatmap: str) -> bool:
    return (what != "scores" or scores == "shown") and (what != "heatmap" or heatmap != "none")


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with each {{ name }} replaced; ArgumentError for a name that there is not."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ArgumentError(
                f"expected one of {', '.join(sorted(values))} in a text, got {{{{ {match[1]} }}}}"
            )
        return values[match[1]]

    return MARK.sub(value, text)


def read(path: Path) -> Configuration:
    """The configuration in a YAML file over DEFAULTS.

    Raises FileFormatError for no YAML, ArgumentError, which names the key, for values that cannot be.
    """
    given = read_yaml(path, "a study's configuration", "study") or {}
    return make(given, path.parent)


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """The SHA-256 of each file that is there, by its name."""
    return {name: of_file(path) for name, path in files.items() if path.is_file()}


def thawed(frozen: str, folder: Path, sha256: str) -> Configuration:
    """The configuration that was `frozen`; `folder`: where its file lies. `sha256`: what its hash was then."""
    document = json.loads(frozen)
    configuration = Configuration(document["values"], folder)
    vars(configuration).update(manifest=document["manifest"], images_sha256=document["images"], sha256=sha256)
    return configuration


def make(given: object, folder: Path) -> Configuration:
    """A configuration of a mapping of values over DEFAULTS."""
    if not isinstance(given, dict):
        raise ArgumentError(
            f"expected keys and values in a study's configuration, got {type(given).__name__}"
        )
    misfits = list(_misfits(given))
    if misfits:
        raise ArgumentError("expected a study's configuration that can be, but " + "; ".join(misfits))
    values = {
        key: {**default, **(given.get(key) or {})} if isinstance(default, dict) else given.get(key, default)
        for key, default in DEFAULTS.items()
    }
    problems = list(_faults(values))
    if problems:
        raise ArgumentError("expected a study's configuration that can be, but " + "; ".join(problems))
    return Configuration(values, folder)


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a study's configuration; `description` is what a value should be."""
    text = resources.files("occlumap.study.domain").joinpath("study.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _misfits(given: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit the schema, each with its path ("texts.instructions[2].for")."""
    from occlumap._checks import nearest

    jsonschema = from_extra("study", "jsonschema", "the configuration of a study")
    found = jsonschema.Draft202012Validator(schema()).iter_errors(given)
    for one in sorted(found, key=lambda one: [str(step) for step in one.absolute_path]):
        path = "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in one.absolute_path)
        path = path.removeprefix(".")
        if one.validator == "additionalProperties":
            known = one.schema["properties"]
            for key in sorted(set(map(str, one.instance)) - set(known)):
                name = f"{path}.{key}" if path else key
                yield f"{name} is not known, only {', '.join(known)}{nearest(key, known)}"
        elif one.validator == "required":
            lacking = [key for key in one.schema["required"] if key not in one.instance]
            yield f"{path} lacks {', '.join(lacking)}"
        else:
            yield f"{path} is {one.instance!r}, not {one.schema.get('description', one.message)}"


def _faults(values: Mapping[str, Any]) -> Iterator[str]:
    """What the schema cannot say."""
    for key in ("quota_per_cell", "places", "lease_minutes", "entries_per_minute", "seed"):
        if not isinstance(values[key], int):  # to the schema, 3.0 is a whole number
            yield f"{key} is {values[key]!r}, not a whole number"
    for name in ("base", "per_correct"):
        try:
            amount = Decimal(str(values["payment"][name]))
            sound = 0 <= amount <= MOST_MONEY and amount == round(amount, 2)
        except InvalidOperation:
            sound = False
        if not sound:
            yield (
                f"payment.{name} is {values['payment'][name]!r}, not an amount with two decimals, to {MOST_MONEY}"
            )
    signed = values["signed_links"]
    if bool(signed["keys"]) != bool(signed["audience"]):
        yield "signed_links has one of keys and audience, and needs both"
