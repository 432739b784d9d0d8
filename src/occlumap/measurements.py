"""Measurements: perturbations and the scores they got; the hinge between measuring and estimating."""

import hashlib
import operator
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap import _archive
from occlumap.errors import ArgumentError, FileFormatError
from occlumap.grid import rectangle_keys
from occlumap.perturbations import Perturbations, Rectangles, SegmentMasks

KIND = "occlumap-measurements"


def image_sha256(image: NDArray[np.uint8]) -> str:
    """SHA-256 of an image's shape and pixels, hexadecimal."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Measurements:
    """What a classifier said of one image and of perturbed copies of it.

    `shape`: (H, W) of the image. `perturbations`: n of them. `scores`: (n, targets) float64. `targets`:
    (targets,) class indices. `original`: (targets,) scores of the unperturbed image. `image_sha256` and
    `fill` say which image and fill the scores belong to.
    """

    shape: tuple[int, int]
    perturbations: Perturbations
    scores: NDArray[np.float64]
    targets: NDArray[np.int64]
    original: NDArray[np.float64]
    image_sha256: str
    fill: str

    def __len__(self) -> int:
        return len(self.perturbations)

    @property
    def rectangles(self) -> Rectangles:
        """The perturbations, if they are rectangles; ArgumentError for segments."""
        if isinstance(self.perturbations, Rectangles):
            return self.perturbations
        raise ArgumentError(
            "expected measurements of rectangles (method='paper' or 'single-scale'), got masks of segments"
        )

    @property
    def masks(self) -> SegmentMasks:
        """The perturbations, if they are masks of segments; ArgumentError for rectangles."""
        if isinstance(self.perturbations, SegmentMasks):
            return self.perturbations
        raise ArgumentError("expected measurements of masks of segments (method='joint'), got rectangles")

    def column(self, target: int) -> int:
        """The column of `scores` that belongs to class `target`; ArgumentError if it was not measured."""
        found = np.flatnonzero(self.targets == target)
        if not len(found):
            raise ArgumentError(f"expected one of the measured targets {self.targets.tolist()}, got {target}")
        return int(found[0])

    def effect(self, target: int) -> NDArray[np.float64]:
        """Original score - score, (n,): what hiding costs. For one region it is its importance (4.8)."""
        column = self.column(target)
        effect: NDArray[np.float64] = self.original[column] - self.scores[:, column]
        return effect

    @cached_property
    def _by_rectangle(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        singles = self.rectangles.singles()
        keys = rectangle_keys(self.rectangles.bounds[self.rectangles.starts[singles]], *self.shape)
        order = np.argsort(keys, kind="stable")
        return keys[order], singles[order]

    def find(self, bounds: NDArray[np.int32]) -> NDArray[np.int64]:
        """For each rectangle of `bounds` (k, 4) the index of its removal, -1 where it was not measured."""
        keys, indices = self._by_rectangle
        wanted = rectangle_keys(bounds, *self.shape)
        if not len(keys):
            return np.full(len(wanted), -1, np.int64)
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found: NDArray[np.int64] = np.where(keys[places] == wanted, indices[places], -1)
        return found

    def cover(self, other: "Measurements") -> bool:
        """Whether every score of `other` is among these, of the same image and fill."""
        same = (self.shape, self.image_sha256, self.fill, self.perturbations.hides) == (
            other.shape,
            other.image_sha256,
            other.fill,
            other.perturbations.hides,
        )
        if not same or not set(other.targets.tolist()) <= set(self.targets.tolist()):
            return False
        columns = [self.column(target) for target in other.targets.tolist()]
        ours = dict(zip(self.perturbations.keys(), self.scores[:, columns].tolist(), strict=True))
        theirs = zip(other.perturbations.keys(), other.scores.tolist(), strict=True)
        return all(ours.get(key) == row for key, row in theirs)

    def document(self) -> dict[str, Any]:
        """What goes into the JSON part of a file."""
        return {"shape": list(self.shape), "image_sha256": self.image_sha256, "fill": self.fill}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What goes into the arrays of a file."""
        hidden: dict[str, NDArray[Any]]
        if isinstance(self.perturbations, SegmentMasks):
            hidden = {"segment_labels": self.masks.labels, "segments_kept": self.masks.kept}
        else:
            hidden = {
                "perturbation_bounds": self.rectangles.bounds,
                "perturbation_starts": self.rectangles.starts,
            }
        return {
            **hidden,
            "perturbation_scores": self.scores,
            "targets": self.targets,
            "original_scores": self.original,
        }

    @classmethod
    def from_parts(cls, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> "Measurements":
        """The opposite of `document` and `arrays`; FileFormatError when they do not fit together."""
        try:
            height, width = (operator.index(side) for side in document["shape"])
            perturbations = _perturbations(arrays, (height, width))
            scores = arrays["perturbation_scores"].astype(np.float64, casting="safe")
            targets = arrays["targets"].astype(np.int64, casting="safe")
            original = arrays["original_scores"].astype(np.float64, casting="safe")
            sound = (
                min(height, width) > 0
                and targets.ndim == 1
                and original.shape == targets.shape
                and len(set(targets.tolist())) == len(targets)
                and perturbations is not None
                and len(set(perturbations.keys())) == len(perturbations)
                and scores.shape == (len(perturbations), len(targets))
                and bool(np.isfinite(scores).all() and np.isfinite(original).all())
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise FileFormatError(
                f"expected the parts of saved measurements, got others ({error!r})"
            ) from error
        if not sound or perturbations is None:
            raise FileFormatError("expected saved measurements whose arrays fit together, got damaged ones")
        return cls(
            (height, width),
            perturbations,
            scores,
            targets,
            original,
            str(document.get("image_sha256", "")),
            str(document.get("fill", "")),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file (a zip of .npy and JSON), whole or not at all."""
        _archive.write(path, KIND, self.document(), self.arrays())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Measurements":
        """Read what `save` wrote; FileFormatError for anything else. No code in the file can run."""
        document, arrays = _archive.read(path, KIND)
        return cls.from_parts(document, arrays)


def _perturbations(arrays: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> Perturbations | None:
    """The perturbations of a file's arrays, None where they do not fit together or go beyond the image."""
    if "segments_kept" in arrays:
        labels, kept = arrays["segment_labels"].astype(np.int32, casting="safe"), arrays["segments_kept"]
        sound = (
            kept.dtype == np.bool_
            and kept.ndim == 2
            and labels.shape == shape
            and np.array_equal(np.unique(labels), np.arange(kept.shape[1]))
        )
        return SegmentMasks(labels, kept) if sound else None
    bounds = arrays["perturbation_bounds"].astype(np.int32, casting="safe")
    starts = arrays["perturbation_starts"].astype(np.int64, casting="safe")
    height, width = shape
    sound = (
        starts.ndim == 1
        and bounds.shape == (len(bounds), 4)
        and starts[0] == 0
        and starts[-1] == len(bounds)
        and bool((np.diff(starts) >= 1).all())
        and bool((bounds >= 0).all() and (bounds <= [height, height, width, width]).all())
        and bool((bounds[:, 0] < bounds[:, 1]).all() and (bounds[:, 2] < bounds[:, 3]).all())
    )
    return Rectangles(bounds, starts) if sound else None
