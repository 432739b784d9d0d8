"""Scores kept on disk, each by the SHA-256 of the image that went to the classifier."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap import _archive
from occlumap.errors import FileFormatError
from occlumap.evaluation.counting import Scores

KIND = "occlumap-benchmark-scores"
_ADVICE = "delete it, and what it held is made again"


class KeptScores:
    """What judging asked of one image for one class: `scores`, with those that an earlier run left in `file`.

    Whatever decides a score (reference, region, seed, steps, heatmap) shows in the pixels, so they alone are the key.
    `identity`: JSON values that say whose scores these are, "target" among them; a file with others is refused
    (FileFormatError).
    """

    def __init__(self, file: Path, identity: Mapping[str, Any]) -> None:
        self._file, self._identity = file, identity
        self.scores = read(file, KIND, identity)[2] if file.exists() else {}
        self._saved = len(self.scores)

    def save(self) -> None:
        """Write what is not written yet."""
        if len(self.scores) > self._saved:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            _archive.write(self._file, KIND, self._identity, packed(self.scores))
            self._saved = len(self.scores)


def packed(scores: Mapping[bytes, Scores]) -> dict[str, NDArray[Any]]:
    """The scores as arrays of a file."""
    return {
        "score-keys": np.frombuffer(b"".join(scores), np.uint8).reshape(-1, 32),
        "score-values": np.array(list(scores.values()), np.float64),
    }


def read(
    file: Path, kind: str, identity: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]], dict[bytes, Scores]]:
    """The document, the arrays and the scores of a file; FileFormatError for a damaged one, or one of others."""
    try:
        document, arrays = _archive.read(file, kind)
    except FileFormatError as error:
        raise FileFormatError(f"{error}; {_ADVICE}") from error
    if any(document.get(key) != value for key, value in identity.items()):
        raise FileFormatError(
            f"expected what was kept of the same image for class {identity['target']} in {file}, got that of another; "
            f"if the photograph was changed, put the earlier one back, or choose another folder; if not, {_ADVICE}"
        )
    try:
        keys, values = arrays["score-keys"], map(tuple, arrays["score-values"].tolist())
        return document, arrays, dict(zip((row.tobytes() for row in keys), values, strict=True))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise damaged(file, error) from error


def damaged(file: Path, error: Exception) -> FileFormatError:
    """The error to raise for a file that lacks something."""
    return FileFormatError(
        f"expected what a benchmark kept in {file}, got a damaged file ({error!r}); {_ADVICE}"
    )
