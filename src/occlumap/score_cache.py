"""A cache on disk of what a classifier said: the same image is not asked for twice, whatever method, depth or fill."""

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._fingerprints import of_classifier
from occlumap.classifiers import MAX_SCORE, Classifier, name_of
from occlumap.errors import ArgumentError, OcclumapWarning

LARGEST = 512 * 2**20
"""Bytes; a file above that is emptied before more is written."""

LONGEST = 20.0
"""Seconds that one look into the file may take."""


class CachedClassifier:
    """`classifier`, asked only for images that the file at `path` does not have.

    The key is the classifier's `fingerprint` (a text that changes when its scores may; OnnxFile and the embedded
    classifiers have one) and a hash of the image's pixels. Values are raw float64 numbers: reading them runs nothing.
    `asked`, `reused`: images. A file that is damaged or locked is not used, with a warning, nor are rows of another
    number of classes than the classifier has: as many as its names, or, without names, as many as it gives for one
    image that is asked for anyway. A fingerprint that tells nothing of the scores (copied by functools.wraps; a file
    of its code was written meanwhile) is warned about, and no file used. Threads may share it. Above LARGEST the file
    is emptied.

    Raises ArgumentError for a classifier without a fingerprint.
    """

    def __init__(
        self, classifier: Classifier, path: str | os.PathLike[str], fingerprint: str | None = None
    ) -> None:
        own = getattr(classifier, "fingerprint", None)
        mark = fingerprint if fingerprint is not None else of_classifier(classifier)
        if callable(mark):
            raise ArgumentError(
                f"expected the fingerprint of {name_of(classifier)!r} to be a text, got a function; make it an "
                "attribute, or a property"
            )
        without = mark is None and own is not None  # of_classifier has said why
        if not without and (not isinstance(mark, str) or not mark):
            raise ArgumentError(
                "expected a classifier with a fingerprint to cache its scores, got "
                f"{name_of(classifier)!r} without one; "
                "give fingerprint=..., a text that changes whenever its scores may (the hash of its weights, say)"
            )
        self.name, self.fingerprint = name_of(classifier), mark
        for attribute in ("classes", "input_size", "prepare", "features", "replicas"):
            if hasattr(classifier, attribute):
                setattr(self, attribute, getattr(classifier, attribute))
        names = getattr(classifier, "classes", None)
        self._columns = len(names) if isinstance(names, list | tuple) else None
        self.asked = self.reused = 0
        self._classifier, self._path = classifier, Path(path)
        self.wrapped_classifiers = (classifier,)
        self._lock = threading.Lock()
        self._broken, self._told = without, False
        self._prefix = hashlib.sha256(f"{mark}\0{self.name}".encode()).digest()

    def __call__(self, batch: NDArray[np.uint8], /) -> Any:
        """Scores (n, classes); those of images that are not in the file come from the classifier, in one batch."""
        keys = [self._key(image) for image in batch]
        known = self._read(keys)
        if known and self._columns is None:
            self.asked += 1
            self._learn_columns(self._classifier(batch[:1].copy()))  # which it may change
        wrong = [key for key, row in known.items() if len(row) != self._columns]
        if wrong and not self._told:
            self._told = True
            warnings.warn(
                f"the cache of scores at {self._path} has {len(known[wrong[0]])} scores of an image for {self.name}, "
                f"which gives {self._columns}: they are not used, and replaced. Its fingerprint should have changed",
                OcclumapWarning,
                stacklevel=2,
            )
        known = {key: row for key, row in known.items() if key not in wrong}
        new = [at for at, key in enumerate(keys) if key not in known]
        with self._lock:
            self.asked += len(new)
            self.reused += len(keys) - len(new)
        if not known:
            rows = self._classifier(batch)
            self._learn_columns(rows)
            self._write(keys, rows)
            return rows
        if new:
            fresh = _array_of(self._classifier(np.ascontiguousarray(batch[new])))
            if fresh is None or fresh.shape != (len(new), self._columns):
                return self._classifier(batch)  # something has changed: what is kept cannot be trusted
            self._write([keys[at] for at in new], fresh)
            known |= {keys[at]: row for at, row in zip(new, fresh.astype(np.float64), strict=True)}
        return np.array([known[key] for key in keys])

    def _learn_columns(self, rows: Any) -> None:
        values = _array_of(rows)
        if self._columns is None and values is not None and values.ndim == 2:
            self._columns = values.shape[1]

    def _key(self, image: NDArray[np.uint8]) -> bytes:
        digest = hashlib.sha256(self._prefix + repr(image.shape).encode())
        digest.update(np.ascontiguousarray(image).data)
        return digest.digest()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=10)
        until = time.monotonic() + LONGEST  # a file that is not ours may hold what never ends
        connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
        connection.execute(
            "create table if not exists scores (key blob primary key, row blob not null) without rowid"
        )
        return connection

    def _read(self, keys: list[bytes]) -> dict[bytes, NDArray[np.float64]]:
        found: dict[bytes, NDArray[np.float64]] = {}
        if self._broken:
            return found
        try:
            with self._lock, contextlib.closing(self._open()) as connection:
                for key in keys:
                    row = connection.execute("select row from scores where key = ?", (key,)).fetchone()
                    if row is not None and isinstance(row[0], bytes) and row[0] and len(row[0]) % 8 == 0:
                        values = np.frombuffer(row[0], "<f8").astype(np.float64)
                        if _usable(values):
                            found[key] = values
        except (sqlite3.Error, OSError) as error:
            self._go_on_without(error)
            return {}
        return found

    def _write(self, keys: list[bytes], rows: Any) -> None:
        values = _array_of(rows)
        if self._broken or values is None or values.ndim != 2 or len(values) != len(keys):
            return
        values = values.astype(np.float64)
        if not _usable(values):
            return
        try:
            with self._lock, contextlib.closing(self._open()) as connection, connection:
                if self._path.stat().st_size > LARGEST:
                    connection.execute("delete from scores")
                    connection.commit()
                    connection.execute("vacuum")
                connection.executemany(
                    "insert or replace into scores values (?, ?)",
                    [(key, row.astype("<f8").tobytes()) for key, row in zip(keys, values, strict=True)],
                )
        except (sqlite3.Error, OSError) as error:
            self._go_on_without(error)

    def _go_on_without(self, error: Exception) -> None:
        self._broken = True
        warnings.warn(
            f"the cache of scores at {self._path} cannot be used ({error}); going on without",
            OcclumapWarning,
            stacklevel=4,
        )

    def __repr__(self) -> str:
        return f"<cached {self.name}: {self.asked} images asked, {self.reused} reused>"


def _array_of(rows: Any) -> NDArray[Any] | None:
    """`rows` as numbers; None for what is no scores, of which whoever asked tells what to do."""
    try:
        values = np.asarray(rows)
    except Exception:  # noqa: BLE001 - of a tensor that needs grad, a ragged list
        return None
    return values if values.dtype.kind in "iuf" else None


def _usable(values: NDArray[np.float64]) -> bool:
    """Whether these could be scores: what is refused when it is asked must not be taken when it is read."""
    return bool((np.abs(values) <= MAX_SCORE).all())  # NaN is not
