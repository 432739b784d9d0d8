"""The JSON schema of `manifest.json`, a tiny example that fits it, and the check of a manifest."""

import json
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

from occlumap._extras import from_extra
from occlumap.errors import FileFormatError

OUTCOMES = ("TP", "FP", "FN", "TN")


def manifest_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a stimulus set's `manifest.json`."""
    loaded: dict[str, Any] = json.loads(_text("manifest.schema.json"))
    return loaded


def example_manifest() -> dict[str, Any]:
    """A manifest of one task and two examples that fits the schema; the files that it names do not exist."""
    loaded: dict[str, Any] = json.loads(_text("example-manifest.json"))
    return loaded


def check_manifest(manifest: Mapping[str, Any], name: str = "manifest.json") -> None:
    """Raise FileFormatError, which names the first place that does not fit, unless `manifest` fits the schema.

    Beyond the schema: every score has a threshold, ids are unique, and every outcome is the one that scores and
    thresholds give as far as they can (a score above the threshold is TP or FP; above, never at).
    """
    jsonschema = from_extra("stimuli", "jsonschema", name)
    wrong = min(
        jsonschema.Draft202012Validator(manifest_schema()).iter_errors(manifest),
        key=lambda one: [str(step) for step in one.path],
        default=None,
    )
    if wrong is not None:
        raise FileFormatError(f"{name} at {wrong.json_path}: {_message(wrong)}; build the set again")
    thresholds = manifest["thresholds"]
    if not all(math.isfinite(one) for one in thresholds.values()):
        raise FileFormatError(f"{name} at $.thresholds: expected finite numbers, got {_json(thresholds)}")
    ids = [task["id"] for task in manifest["tasks"]]
    if len(set(ids)) != len(ids):
        raise FileFormatError(f"{name}: expected every task to have its own id, got {', '.join(sorted(ids))}")
    for task in manifest["tasks"]:
        for number, one in enumerate([task, *task["examples"]]):
            where = f"{name}, task {task['id']}" + (f", example {number - 1}" if number else "")
            if one["scores"].keys() != thresholds.keys():
                raise FileFormatError(
                    f"{where}: expected a score for each of {', '.join(sorted(thresholds))}"
                )
            if not all(math.isfinite(value) for value in one["scores"].values()):
                raise FileFormatError(f"{where}: expected finite scores, got {_json(one['scores'])}")
            label = task["class"]
            if label not in thresholds:
                raise FileFormatError(
                    f"{where}: expected a class among {', '.join(sorted(thresholds))}, got {label!r}"
                )
            recognised = one["scores"][label] > thresholds[label]
            if recognised != (one["outcome"] in ("TP", "FP")):
                raise FileFormatError(
                    f"{where}: the score {one['scores'][label]} for {label!r} with threshold {thresholds[label]} "
                    f"cannot be {one['outcome']}"
                )


def legible(manifest: Mapping[str, Any]) -> bool:
    """Whether `manifest` fits the schema but for names of files and keys too many, so that it can be read."""
    import jsonschema

    found = jsonschema.Draft202012Validator(manifest_schema()).iter_errors(manifest)
    return all(_of_a_name(one) or one.validator == "additionalProperties" for one in found)


def _of_a_name(wrong: Any) -> bool:
    return bool(
        wrong.validator == "pattern"
        and wrong.validator_value == manifest_schema()["$defs"]["file"]["pattern"]
    )


def _message(wrong: Any) -> str:
    """What does not fit, in words of JSON; the validator's own speak of None and dict."""
    if _of_a_name(wrong):
        return (
            f"the name {wrong.instance} may tell something; expected a folder and 32 hexadecimal digits, in small "
            f"letters, like images/{'0a4d55a8' * 4}.webp or .jpg"
        )
    if wrong.validator in ("required", "additionalProperties"):
        return str(wrong.message)
    return f"expected {wrong.validator} {_json(wrong.validator_value)}, got {_json(wrong.instance)}"


def _json(value: object) -> str:
    written = json.dumps(value, default=str)
    return written if len(written) <= 100 else f"{written[:100]}..."


def _text(file: str) -> str:
    return resources.files(__name__).joinpath(file).read_text(encoding="utf-8")
