"""YAML that people write: every key once, or it is refused; YAML itself would take the last without a word."""

from pathlib import Path
from typing import Any

from occlumap._checks import reason
from occlumap._extras import from_extra
from occlumap.errors import FileFormatError


def read_yaml(file: Path, what: str, extra: str) -> Any:
    """What stands in a file, `what` in messages; a byte order mark is left out. `extra`: the one that brings PyYAML.

    Raises FileFormatError for a file that cannot be read, is not UTF-8, no YAML, or has a key twice in one mapping;
    MissingDependencyError without PyYAML.
    """
    yaml = from_extra(extra, "yaml", what)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"expected {what} in UTF-8 in {file}, got {reason(error)}") from error
    try:
        twice = _key_twice(yaml.compose(text, Loader=yaml.SafeLoader), set())
        read = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise FileFormatError(f"expected YAML in {file} ({what}), got {error}") from error
    if twice is not None:
        raise FileFormatError(f"expected each key once in {file}, got {twice[0]!r} again in line {twice[1]}")
    return read


def _key_twice(node: Any, seen: set[int]) -> tuple[str, int] | None:
    """The first key that a mapping of a YAML tree has twice, and its line."""
    if node is None or id(node) in seen or isinstance(node.value, str):
        return None
    seen.add(id(node))
    inner = []
    if node.id == "mapping":
        keys = [key for key, _ in node.value if key.id == "scalar"]
        for place, key in enumerate(keys):
            if any((key.tag, key.value) == (other.tag, other.value) for other in keys[:place]):
                return key.value, key.start_mark.line + 1
        inner = [each for pair in node.value for each in pair]
    else:
        inner = list(node.value)
    return next((found for each in inner if (found := _key_twice(each, seen)) is not None), None)
