"""Arguments and options that several commands have."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import occlumap
from occlumap._addresses import without_secrets

photo_argument = click.argument("photo", type=click.Path(path_type=Path))

classifier_option = click.option(
    "--classifier",
    "classifier_name",
    metavar="NAME",
    default="efficientnet-lite0",
    show_default=True,
    help="A classifier's name, module:callable, a file m.onnx (m.json beside it) or m.keras, a folder of a "
    "transformers model, or http://...",
)

classifier_option_option = click.option(
    "--classifier-option",
    "classifier_options",
    metavar="KEY=VALUE",
    multiple=True,
    help="What the classifier wants to know, as in Python: batched=false, size=224, token_env=MY_TOKEN. Repeat it; "
    "of several classifiers (benchmark): NAME:KEY=VALUE.",
)

call_timeout_option = click.option(
    "--call-timeout", type=float, metavar="SECONDS", help="Time that one classifier call may take."
)


RESERVED = ("spec", "url", "path", "model", "processes", "call_timeout")
"""What --classifier and other options say."""


def load_classifier(spec: str, options: Sequence[str]) -> Any:
    """`occlumap.load` with options as text."""
    return occlumap.load(spec, **options_of(options))


def options_by_classifier(names: Sequence[str], options: Sequence[str]) -> dict[str, list[str]]:
    """Each classifier's KEY=VALUE, of options NAME:KEY=VALUE; of a single classifier the name may be left out."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for option in options:
        given = [name for name in names if option.startswith(f"{name}:")]
        if given:
            name = max(given, key=len)
            found[name].append(option[len(name) + 1 :])
        elif len(names) == 1:
            found[names[0]].append(option)
        else:
            raise click.BadParameter(
                f"expected NAME:KEY=VALUE, one of --classifier before it, as there are several, got {option!r}; such "
                f"as {without_secrets(names[-1])}:{option}",
                param_hint="--classifier-option",
            )
    return found


def options_of(options: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE as keywords; a value that is JSON is what it says, any other, and a fingerprint, is text."""
    given: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key.strip().isidentifier() or key.strip() in RESERVED:
            raise click.BadParameter(
                f"expected KEY=VALUE, a keyword of the classifier, got {option!r}",
                param_hint="--classifier-option",
            )
        if key.strip() == "fingerprint":  # 1.10 is another version than 1.1
            given["fingerprint"] = value
            continue
        try:
            given[key.strip()] = json.loads(value.lower() if value.lower() in ("true", "false") else value)
        except ValueError:
            given[key.strip()] = value
    if not isinstance(given.get("batched", True), bool):
        raise click.BadParameter(
            f"expected batched=true or batched=false, got {given['batched']!r}",
            param_hint="--classifier-option",
        )
    return given
