"""Explanation: a heatmap, and everything needed to trust it and to repeat it."""

import base64
import html
import inspect
import json
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from occlumap import _archive
from occlumap.errors import ArgumentError, FileFormatError, MissingDependencyError, UnknownArgumentError
from occlumap.grid import Grid, Offset
from occlumap.measurements import Measurements, image_sha256
from occlumap.posterior import Fit, Importance, SegmentNode, SegmentPosterior
from occlumap.pyramid import Pruning, Pyramid, Tree, complete_pyramids, information_density, tree
from occlumap.regions import Frame, Region
from occlumap.segments import SegmentTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIND = "occlumap-explanation"

NEAR_ZERO = 0.01
"""Segments whose importance is at most this share of the original score are near zero (as in section 4.5)."""

SCALES_SHOWN = (6, 12, 25, 50, 100)
"""How many segments the cuts have that `scale_maps` shows, before the leaves."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which parts of an image made a classifier give the target class its score.

    `heatmap`: (H, W) float32, importance in units of the score; 0 where nothing is said, signed where the
    method is. `image`: (H, W, 3) uint8 as the classifier saw it; `frame`: where it lies in the photograph,
    None when it is the whole photograph. `target`, `target_name`, `original_score`: what is explained.
    `measurements`: every measured region and its score. `settings`: method and parameters. `offsets` and
    `densities`: the offsets that the heatmap is made of, best first (paper only). `provenance`: image hash,
    classifier, versions, seed, calls, seconds. `warnings`: what the reader should know. `posterior` and `fit` (joint
    only): importance of every segment with its uncertainty, and how well sums of importances explain the scores.
    """

    heatmap: NDArray[np.float32]
    image: NDArray[np.uint8]
    frame: Frame | None
    target: int
    target_name: str | None
    original_score: float
    measurements: Measurements
    settings: Mapping[str, Any]
    offsets: tuple[Offset, ...]
    densities: tuple[float, ...]
    provenance: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    posterior: SegmentPosterior | None = None
    fit: Fit | None = None

    def __repr__(self) -> str:
        height, width = self.heatmap.shape
        return (
            f"<Explanation of {self.target_name or f'class {self.target}'!s}, score {self.original_score:.4g}, "
            f"{height} x {width}, method {self.settings['method']}, {self.provenance['calls']} calls>"
        )

    @property
    def std(self) -> NDArray[np.float32] | None:
        """Standard deviation of the heatmap, float32 (H, W), pixel by pixel; None for methods without (not joint)."""
        return None if self.posterior is None else self.posterior.std()

    @property
    def uncertainty(self) -> float:
        """How much of the heatmap may be chance, 0 (none) to 1 (all); ArgumentError for methods without (not joint)."""
        return self._posterior().uncertainty()

    @property
    def predicted_score(self) -> float:
        """The score that sums of importances predict for the image with nothing hidden (joint; else ArgumentError).

        Far from `original_score` where hiding a little costs more, or less, than hiding a lot would let expect.
        """
        posterior, of = self._posterior(), self.measurements.column(self.target)
        return posterior.whole_image(self.measurements.masks.kept, self.measurements.scores[:, of])

    def importance(self, part: NDArray[np.bool_]) -> Importance:
        """What hiding `part`, a bool mask (H, W), costs the score by the model's sum: mean, standard deviation.

        ArgumentError for a method without a model (not joint), or a mask of another shape.
        """
        return self._posterior().importance(part)

    def tree(self) -> tuple[SegmentNode, ...]:
        """Every node of the tree of segments, breadth first (joint); ArgumentError for methods of rectangles.

        Nodes at or below 1 % of the original score are near zero. The paper's trees: `trees()`.
        """
        return self._posterior().nodes(NEAR_ZERO * abs(self.original_score))

    def pruned_heatmap(self) -> NDArray[np.float32]:
        """The heatmap of the few segments that matter, (H, W) float32, each at the scale that says most (joint).

        A leaf of `tree()` shares out its importance evenly over its pixels; near-zero ones are 0.
        """
        posterior = self._posterior()
        density = np.zeros(posterior.tree.leaves, np.float32)
        for node in self.tree():
            if node.state == "leaf":
                density[list(node.segments)] = node.importance / node.area
        return density[posterior.tree.labels]

    def _posterior(self) -> SegmentPosterior:
        if self.posterior is None:
            raise ArgumentError(
                f"expected an explanation made of segments (method='joint'), got method={self.settings['method']!r}"
            )
        return self.posterior

    def _pyramids(self) -> tuple[Grid, list[Pyramid]]:
        if "depth" not in self.settings:
            raise ArgumentError(
                f"expected an explanation made of trees (method='paper'), got method={self.settings['method']!r}"
            )
        grid = Grid(*self.measurements.shape, int(self.settings["depth"]))
        return grid, list(complete_pyramids(self.measurements, grid, self.offsets, self.target))

    def trees(self) -> tuple[Tree, ...]:
        """The trees of the chosen offsets, best first; ArgumentError for a method without trees."""
        grid, pyramids = self._pyramids()
        pruning = Pruning(self.settings["pruning"], self.settings["threshold"])
        return tuple(
            tree(pyramid, pruning, self.original_score, grid.pixels(pyramid.offset), density)
            for pyramid, density in zip(pyramids, self.densities, strict=True)
        )

    def scale_maps(self) -> dict[str, NDArray[np.float64]]:
        """What is known at each scale, unpruned: a label and an array (H, W).

        Paper: as measured, mean over the offsets. Joint: the importance per pixel of the segments of each cut.
        """
        if self.posterior is not None:
            tree = self.posterior.tree
            counts = [count for count in SCALES_SHOWN if count < tree.leaves] + [tree.leaves]
            return {f"{count} segments": self.posterior.at_scale(count) for count in counts}
        if "depth" not in self.settings:
            return {"windows": self.heatmap.astype(np.float64)}
        grid, pyramids = self._pyramids()
        maps = {}
        for level in range(grid.depth):
            layers = [pyramid.paint(level, pyramid.importance[level]) for pyramid in pyramids]
            cell = f"{grid.height / 2 ** (level + 1):.4g} x {grid.width / 2 ** (level + 1):.4g} px"
            maps[f"scale {level + 1}: {cell}"] = np.mean(layers, axis=0)
        return maps

    def plot(self, kind: str = "overlay", **options: Any) -> "Figure":
        """A Matplotlib figure: overlay, side-by-side, contour, signed, tree, scales, uncertainty (extra `plot`)."""
        from occlumap import plotting
        from occlumap._checks import nearest, one_of

        draw = plotting.PLOTS[one_of("kind", kind, plotting.PLOTS)]
        known = list(inspect.signature(draw).parameters)[1:]
        for option in options:
            if option not in known:
                raise UnknownArgumentError(
                    f"plot({kind!r}) has no option {option!r}; it has {', '.join(known)}{nearest(option, known)}"
                )
        figure: Figure = draw(self, **options)
        return figure

    def _repr_html_(self) -> str:
        lines = [repr(self).strip("<>"), *self.warnings]
        text = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
        try:
            from occlumap import plotting

            picture = base64.b64encode(plotting.overlay_png(self)).decode()
        except MissingDependencyError as error:
            return f"{text}<div>{html.escape(str(error))}</div>"
        return f'{text}<img alt="heatmap over the image" src="data:image/png;base64,{picture}">'

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file: a zip of .npy arrays and JSON, no pickle, loss-free, whole or not at all."""
        document = {
            "target": self.target,
            "target_name": self.target_name,
            "original_score": self.original_score,
            "frame": None
            if self.frame is None
            else [self.frame.height, self.frame.width, *self.frame.region],
            "settings": dict(self.settings),
            "offsets": [list(offset) for offset in self.offsets],
            "densities": list(self.densities),
            "provenance": dict(self.provenance),
            "warnings": list(self.warnings),
            "measurements": self.measurements.document(),
        }
        arrays: dict[str, NDArray[Any]] = {
            "heatmap": self.heatmap,
            "image": self.image,
            **self.measurements.arrays(),
        }
        if self.posterior is not None and self.fit is not None:
            document["fit"] = self.fit._asdict()
            arrays["segment_merges"] = self.posterior.tree.merges
            arrays["posterior_mean"] = self.posterior.mean
            arrays["posterior_covariance"] = self.posterior.covariance
        _archive.write(path, KIND, document, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Explanation":
        """Read what `save` wrote; FileFormatError for anything else. No code in the file can run."""
        document, arrays = _archive.read(path, KIND)
        try:
            measurements = Measurements.from_parts(document["measurements"], arrays)
            frame, heatmap, image = document["frame"], arrays["heatmap"], arrays["image"]
            shape = measurements.shape
            if heatmap.shape != shape or heatmap.dtype != np.float32 or not np.isfinite(heatmap).all():
                raise FileFormatError(
                    f"{path}: expected a finite float32 heatmap of {shape}, got a damaged one"
                )
            if image.shape != (*shape, 3) or image.dtype != np.uint8:
                raise FileFormatError(f"{path}: expected a uint8 image of {(*shape, 3)}, got {image.shape}")
            if image_sha256(image) != measurements.image_sha256:
                raise FileFormatError(
                    f"{path}: expected the image that was measured, got another (by its SHA-256)"
                )
            settings, provenance = dict(document["settings"]), dict(document["provenance"])
            target, original_score = operator.index(document["target"]), float(document["original_score"])
            offsets = tuple((operator.index(row), operator.index(col)) for row, col in document["offsets"])
            densities = tuple(float(density) for density in document["densities"])
            if original_score != measurements.original[measurements.column(target)]:
                raise FileFormatError(
                    f"{path}: expected the original score that was measured, "
                    f"{measurements.original[measurements.column(target)]}, got {original_score}"
                )
            if len(offsets) != len(densities):
                raise FileFormatError(
                    f"{path}: expected one density for each of {len(offsets)} offsets, got {len(densities)}"
                )
            if "depth" in settings:
                found = _densities(measurements, settings, target, offsets)
                if list(densities) != found:
                    raise FileFormatError(
                        f"{path}: expected the densities of its offsets' trees, {found}, got {list(densities)}"
                    )
            posterior = _posterior_of(measurements, arrays)
            if (posterior is None) != (settings["method"] != "joint"):
                raise FileFormatError(f"{path}: expected a posterior with method='joint' and with no other")
            if posterior is not None and not np.array_equal(posterior.heatmap(), heatmap):
                raise FileFormatError(
                    f"{path}: expected the heatmap of its segments' importances, got another"
                )
            notes = provenance.get("image_notes", [])
            if not isinstance(notes, list):
                raise FileFormatError(f"{path}: expected a list of notes on the image, got {notes!r}")
            return cls(
                heatmap,
                image,
                None if frame is None else _frame(*frame),
                target,
                None if document["target_name"] is None else str(document["target_name"]),
                original_score,
                measurements,
                {**settings, "method": str(settings["method"])},
                offsets,
                densities,
                {**provenance, "calls": int(provenance["calls"])},
                tuple(str(warning) for warning in document["warnings"]),
                posterior,
                None if posterior is None else _fit(**document["fit"]),
            )
        except FileFormatError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
            raise FileFormatError(
                f"{path}: expected a saved explanation, parts are missing or wrong: {error!r}"
            ) from error

    def save_tree(self, path: str | os.PathLike[str]) -> None:
        """Write the trees of the chosen offsets, best first, or of the segments (joint), as JSON.

        Nodes breadth first, pixels half-open. `segments` of a leaf: its labels in `measurements.masks.labels`.
        """
        trees: list[dict[str, Any]]
        if self.posterior is not None:
            trees = [{"nodes": [_segment_document(node) for node in self.tree()]}]
            self._write_trees(path, trees)
            return
        trees = [
            {
                "offset": list(found.offset),
                "density": found.density,
                "nodes": [
                    {
                        "name": node.name,
                        "scale": node.scale,
                        **node.region._asdict(),
                        "importance": node.importance,
                        "parent": node.parent,
                        "children": list(node.children),
                        "state": node.state,
                    }
                    for node in found.nodes
                ],
            }
            for found in self.trees()
        ]
        self._write_trees(path, trees)

    def _write_trees(self, path: str | os.PathLike[str], trees: list[dict[str, Any]]) -> None:
        document = {
            "format": "occlumap-trees",
            "format_version": 1,
            "image_shape": list(self.heatmap.shape),
            "target": self.target,
            "target_name": self.target_name,
            "original_score": self.original_score,
            "trees": trees,
        }
        _archive.write_bytes(path, json.dumps(document, indent=1, allow_nan=False).encode())


def _densities(
    measurements: Measurements, settings: Mapping[str, Any], target: int, offsets: Sequence[Offset]
) -> list[float]:
    """The information densities of the offsets' trees, to check a file's; a ValueError where there are none."""
    grid = Grid(*measurements.shape, settings["depth"])
    pruning = Pruning(settings["pruning"], settings["threshold"])
    if not offsets or not set(offsets) <= set(grid.offsets()):
        raise ValueError(f"expected offsets of depth {grid.depth}, got {offsets}")
    pyramids = list(complete_pyramids(measurements, grid, offsets, target))
    if len(pyramids) < len(offsets):
        raise ValueError("expected measurements of all cells of its offsets, some lack")
    original = float(measurements.original[measurements.column(target)])
    return [information_density(pyramid, pruning.leaves(pyramid, original)) for pyramid in pyramids]


def _segment_document(node: SegmentNode) -> dict[str, Any]:
    """A node as JSON; the segments of a parent are those of its children, and not said again."""
    values = {**node._asdict(), **node.region._asdict()}
    del values["region"]
    if node.children:
        del values["segments"]
    return values


def _posterior_of(measurements: Measurements, arrays: Mapping[str, NDArray[Any]]) -> SegmentPosterior | None:
    """The posterior of a file's arrays, None where it has none; a ValueError where they do not fit together."""
    if "posterior_mean" not in arrays:
        return None
    tree = SegmentTree(measurements.masks.labels, arrays["segment_merges"])
    mean, covariance = (arrays[name] for name in ("posterior_mean", "posterior_covariance"))
    if (
        mean.shape != (tree.leaves,)
        or covariance.shape != (tree.leaves, tree.leaves)
        or any(array.dtype != np.float64 or not np.isfinite(array).all() for array in (mean, covariance))
        or bool((np.diag(covariance) < 0).any())
        or not np.allclose(covariance, covariance.T, rtol=1e-6, atol=0)
    ):
        raise ValueError(f"expected a finite float64 posterior of {tree.leaves} leaves, got another")
    return SegmentPosterior(tree, mean, covariance)


def _fit(explained: Any, noise: Any, intervals: Any) -> Fit:
    """A fit from a file's numbers; TypeError or ValueError for what is none."""
    low, middle, high = (float(value) for value in intervals)
    numbers = (float(explained), float(noise), low, middle, high)
    if not np.isfinite(numbers).all() or numbers[0] > 1 or numbers[1] < 0 or not 0 <= low <= middle <= high:
        raise ValueError(f"expected a fit of at most 1, noise and intervals from 0 upwards, got {numbers}")
    return Fit(numbers[0], numbers[1], (low, middle, high))


def _frame(*numbers: Any) -> Frame:
    """A frame from a file's numbers; TypeError or ValueError for what is none."""
    height, width, a, b, c, d = (operator.index(number) for number in numbers)
    if not (0 <= a < b <= height and 0 <= c < d <= width):
        raise ValueError(f"expected a part of {height} x {width} pixels, got {(a, b, c, d)}")
    return Frame(height, width, Region(a, b, c, d))
