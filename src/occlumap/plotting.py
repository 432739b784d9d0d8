"""Pictures of an Explanation with Matplotlib; draws what it is given, changes no number.

Every function gives a `matplotlib.figure.Figure` of its own, without pyplot, so nothing is left open.
"""

import io
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from occlumap import _archive, images
from occlumap._extras import from_extra
from occlumap.errors import ArgumentError, ImageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from occlumap.explanation import Explanation

DRAWN_SIDE = 1500
"""A photograph is drawn with each second, third, ... pixel once a side has twice, three times, ... so many."""

LABEL = "importance (drop of the score)"
CONTOURS = ("#ffe100", "#ff8c00", "#e00000")  # a fourth, a half, three fourths


def overlay(
    explanation: "Explanation",
    photograph: Any = None,
    *,
    cmap: str = "Reds",
    alpha: float = 0.6,
) -> "Figure":
    """The heatmap over the image, darker is more important (paper, figure 16).

    `photograph`: the whole photograph, a path or whatever `explain` takes as an image, when the explained image is its
    resized centre; the heatmap is then drawn back over the part of it that was explained. Every plot takes it;
    ImageError when it cannot be the one that was explained.
    """
    picture, extent = _placed(explanation, photograph)
    figure, (axes,) = _figure(1, _title(explanation), picture)
    _show(axes, picture)
    drawn = axes.imshow(
        explanation.heatmap,
        cmap=cmap,
        alpha=alpha,
        extent=extent,
        interpolation="nearest",
        **_range(explanation),
    )
    _whole(axes, picture)
    _outline(axes, picture, extent)
    figure.colorbar(drawn, ax=axes, label=_label(explanation), shrink=0.8)
    return figure


def side_by_side(explanation: "Explanation", photograph: Any = None) -> "Figure":
    """The image, the heatmap alone, and the heatmap over the image, all three of one size."""
    picture, extent = _placed(explanation, photograph)
    figure, axes = _figure(3, _title(explanation), picture)
    limits = _range(explanation)
    _show(axes[0], picture)
    axes[1].imshow(explanation.heatmap, cmap="Reds", extent=extent, interpolation="nearest", **limits)
    _show(axes[2], picture)
    drawn = axes[2].imshow(
        explanation.heatmap, cmap="Reds", alpha=0.6, extent=extent, interpolation="nearest", **limits
    )
    _outline(axes[2], picture, extent)
    for one, name in zip(axes, ("image", "heatmap", "heatmap over image"), strict=True):
        one.set_title(name, fontsize=10)
        one.set_axis_off()
        _whole(one, picture)
    figure.colorbar(drawn, ax=axes, label=_label(explanation), shrink=0.8)
    return figure


def contour(explanation: "Explanation", photograph: Any = None) -> "Figure":
    """Lines round what has at least a fourth, a half, three fourths of the greatest importance."""
    picture, extent = _placed(explanation, photograph)
    figure, (axes,) = _figure(1, _title(explanation), picture)
    _show(axes, picture)
    from matplotlib.lines import Line2D

    top = float(explanation.heatmap.max())
    if top > 0:
        levels = [top / 4, top / 2, top * 3 / 4]
        lines = _padded(explanation.heatmap, extent, "constant")  # a border of zeros closes every line
        axes.contour(*lines, levels=levels, colors="black", linewidths=3.2)  # seen on any colour
        axes.contour(*lines, levels=levels, colors=CONTOURS, linewidths=1.8)
        handles = [
            Line2D([], [], color=colour, linewidth=3, label=f"{level:.2g}")
            for colour, level in zip(CONTOURS, levels, strict=True)
        ]
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=3,
            title=f"at least this {_label(explanation)}",
            frameon=False,
        )
    _whole(axes, picture)
    return figure


def signed(explanation: "Explanation", photograph: Any = None) -> "Figure":
    """Red speaks for the target, blue against it; white is nothing."""
    picture, extent = _placed(explanation, photograph)
    figure, (axes,) = _figure(1, _title(explanation), picture)
    grey = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    _show(axes, grey)
    most = float(np.abs(explanation.heatmap).max()) or 1.0
    drawn = axes.imshow(
        explanation.heatmap,
        cmap="RdBu_r",
        alpha=0.7,
        extent=extent,
        interpolation="nearest",
        vmin=-most,
        vmax=most,
    )
    _whole(axes, picture)
    figure.colorbar(drawn, ax=axes, label=_label(explanation), shrink=0.8)
    return figure


def tree(explanation: "Explanation", photograph: Any = None) -> "Figure":
    """The leaves of the best offset's tree, drawn over the image; the thinner the line, the finer the scale.

    Of a tree of segments: those that matter, outlined, each at the scale that says most.
    """
    if explanation.posterior is not None:
        return _segment_tree(explanation, photograph)
    found = explanation.trees()[0]
    leaves = sorted(found.leaves(), key=lambda node: node.importance)
    count = "1 leaf" if len(leaves) == 1 else f"{len(leaves)} leaves"
    picture, extent = _placed(explanation, photograph)
    figure, (axes,) = _figure(1, f"{_title(explanation)}\nbest offset, {count}", picture)
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    _show(axes, picture)
    height, width = explanation.heatmap.shape
    scale_x, scale_y = (extent[1] - extent[0]) / width, (extent[2] - extent[3]) / height
    least = min([0.0, *(node.importance for node in leaves)])
    most = max([0.0, *(node.importance for node in leaves)])
    colours: Any = ScalarMappable(Normalize(least, most if most > least else 1.0), colormaps["autumn_r"])
    deepest = max((node.scale for node in leaves), default=1)
    for node in leaves:
        corner = extent[0] + node.region.col_start * scale_x, extent[3] + node.region.row_start * scale_y
        size = node.region.width * scale_x, node.region.height * scale_y
        colour = colours.to_rgba(node.importance)
        line = 1 + 0.8 * (deepest - node.scale)
        axes.add_patch(
            Rectangle(corner, *size, facecolor=(*colour[:3], 0.25), edgecolor=colour, linewidth=line)
        )
    _whole(axes, picture)
    figure.colorbar(colours, ax=axes, label=_label(explanation), shrink=0.8)
    return figure


def _segment_tree(explanation: "Explanation", photograph: Any) -> "Figure":
    """The segments that matter, coloured by their importance as a whole, with their borders."""
    assert explanation.posterior is not None  # noqa: S101 - the caller has looked
    labels = explanation.posterior.tree.labels
    nodes = [node for node in explanation.tree() if node.state == "leaf"]
    segment = np.full(explanation.posterior.tree.leaves, -1)
    values = np.full(explanation.posterior.tree.leaves, np.nan)
    for number, node in enumerate(nodes):
        segment[list(node.segments)] = number
        values[list(node.segments)] = node.importance
    count = "1 segment" if len(nodes) == 1 else f"{len(nodes)} segments"
    picture, extent = _placed(explanation, photograph)
    figure, (axes,) = _figure(
        1,
        f"{_title(explanation)}\n{count} at the scale that says most: red for the target, blue against it",
        picture,
    )
    _show(axes, picture)
    most = max((abs(node.importance) for node in nodes), default=0.0) or 1.0
    drawn = axes.imshow(
        values[labels],
        cmap="RdBu_r",
        alpha=0.5,
        extent=extent,
        interpolation="nearest",
        vmin=-most,
        vmax=most,
    )
    painted = segment[labels]
    for number in range(len(nodes)):
        inside = painted == number
        if not inside.all():
            lines = _padded(inside.astype(float), extent, "edge")
            axes.contour(*lines, levels=[0.5], colors="black", linewidths=0.6)
    _whole(axes, picture)
    figure.colorbar(drawn, ax=axes, label="importance of the segment", shrink=0.8)
    return figure


def _padded(
    values: NDArray[Any], extent: tuple[float, float, float, float], border: Literal["constant", "edge"]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Columns, rows and values (H + 2, W + 2) for contour lines, which need two of each; `border` as np.pad has it."""
    height, width = values.shape
    cols = extent[0] + (np.arange(width + 2) - 0.5) * (extent[1] - extent[0]) / width
    rows = extent[3] + (np.arange(height + 2) - 0.5) * (extent[2] - extent[3]) / height
    return cols, rows, np.pad(values, 1, mode=border)


def uncertainty(explanation: "Explanation", photograph: Any = None) -> "Figure":
    """The heatmap beside its standard deviation, on one scale (joint)."""
    std = explanation.std
    if std is None:
        raise ArgumentError(
            f"expected an explanation with uncertainty (method='joint'), got method={explanation.settings['method']!r}"
        )
    return _panels(explanation, photograph, {"heatmap": explanation.heatmap, "its standard deviation": std})


def scales(explanation: "Explanation", photograph: Any = None) -> "Figure":
    """One panel for each scale, as measured, before pruning; red supports the target, blue speaks against it."""
    return _panels(explanation, photograph, explanation.scale_maps())


def _panels(explanation: "Explanation", photograph: Any, maps: Mapping[str, NDArray[Any]]) -> "Figure":
    """One panel for each map, all on one scale that is white at zero."""
    picture, extent = _placed(explanation, photograph)
    grey = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    figure, axes = _figure(len(maps), _title(explanation), picture)
    most = max(float(np.abs(values).max()) for values in maps.values()) or 1.0
    for one, (label, values) in zip(axes, maps.items(), strict=True):
        _show(one, grey)
        drawn = one.imshow(
            values,
            cmap="RdBu_r",
            alpha=0.7,
            extent=extent,
            interpolation="nearest",
            vmin=-most,
            vmax=most,
        )
        _whole(one, picture)
        one.set_title(label, fontsize=9)
    figure.colorbar(drawn, ax=axes, label=_label(explanation), shrink=0.8)
    return figure


PLOTS: Mapping[str, Callable[..., Any]] = {
    "overlay": overlay,
    "side-by-side": side_by_side,
    "contour": contour,
    "signed": signed,
    "tree": tree,
    "scales": scales,
    "uncertainty": uncertainty,
}


def png(figure: "Figure", dpi: int = 150) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save(figure: "Figure", path: str | os.PathLike[str], dpi: int = 150) -> None:
    """Write a figure as PNG, whole or not at all."""
    _archive.write_bytes(path, png(figure, dpi))


def overlay_png(explanation: "Explanation") -> bytes:
    """The overlay as the bytes of a PNG file, for a notebook."""
    return png(overlay(explanation), dpi=100)


def _figure(panels: int, title: str, picture: NDArray[np.uint8]) -> tuple["Figure", list[Any]]:
    from_extra("plot", "matplotlib.figure", "pictures")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = 4.4 * picture.shape[0] / picture.shape[1]  # room for the colour bar's label, and no banners
    figure = Figure(figsize=(1.6 + 4.4 * panels, 0.5 + min(max(height, 2.8), 6.6)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, parse_math=False)
    return figure, list(np.ravel(figure.subplots(1, panels)))


def _label(explanation: "Explanation") -> str:
    """What a colour bar shows: a region's drop of the score, or with segments a pixel's share in its segment's."""
    return (
        LABEL if explanation.posterior is None else "importance per pixel\n(share in the drop of the score)"
    )


def _title(explanation: "Explanation") -> str:
    name = explanation.target_name or f"class {explanation.target}"
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    name = " ".join(name.split())
    name = name if len(name) <= 48 else f"{name[:44].rstrip(' ,')} ..."
    text = f"{name}, score {explanation.original_score:.3g}"
    if not explanation.heatmap.any():
        return f"{text}\nthe heatmap is zero everywhere"
    return text if explanation.heatmap.max() > 0 else f"{text}\nnothing in the heatmap is above zero"


def _range(explanation: "Explanation") -> dict[str, float]:
    """Colour limits: 0 is always the lightest."""
    return {"vmin": 0.0, "vmax": float(explanation.heatmap.max()) if explanation.heatmap.max() > 0 else 1.0}


def _placed(
    explanation: "Explanation", photograph: Any
) -> tuple[NDArray[np.uint8], tuple[float, float, float, float]]:
    """What to draw under the heatmap, and where the heatmap lies on it (left, right, bottom, top)."""
    frame, (height, width) = explanation.frame, explanation.heatmap.shape
    expected = (height, width) if frame is None else (frame.height, frame.width)
    if photograph is None:
        return explanation.image, (0, width, height, 0)
    pixels = images.read(photograph, quiet=True).pixels
    if pixels.shape[:2] != expected:
        raise ImageError(
            f"expected the photograph that was explained, {expected[0]} x {expected[1]} pixels, got "
            f"{pixels.shape[0]} x {pixels.shape[1]}; leave photograph out to draw over what the classifier saw"
        )
    if frame is None:
        return explanation.image, (0, width, height, 0)
    region = frame.region
    return pixels, (region.col_start, region.col_stop, region.row_stop, region.row_start)


def _show(axes: Any, picture: NDArray[np.uint8]) -> None:
    height, width = picture.shape[:2]
    step = max(1, max(height, width) // DRAWN_SIDE)  # Matplotlib takes some 100 bytes a pixel
    axes.imshow(picture[::step, ::step], extent=(0, width, height, 0), interpolation="nearest")
    axes.set_axis_off()


def _whole(axes: Any, picture: NDArray[np.uint8]) -> None:
    axes.set_xlim(0, picture.shape[1])
    axes.set_ylim(picture.shape[0], 0)
    axes.set_aspect("equal")


def _outline(axes: Any, picture: NDArray[np.uint8], extent: tuple[float, float, float, float]) -> None:
    """Mark the part of the picture that was explained, where it is not the whole."""
    from matplotlib.patches import Rectangle

    if extent == (0.0, float(picture.shape[1]), float(picture.shape[0]), 0.0):
        return
    corner, width, height = (extent[0], extent[3]), extent[1] - extent[0], extent[2] - extent[3]
    axes.add_patch(
        Rectangle(corner, width, height, fill=False, edgecolor="white", linewidth=1.2, linestyle="--")
    )
