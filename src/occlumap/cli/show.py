"""occlumap show: a saved result in words, and drawn when asked."""

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from occlumap import images, plotting
from occlumap.cli.account import account, ended
from occlumap.cli.folders import output_folder
from occlumap.cli.text import printable
from occlumap.errors import FileFormatError, ImageError
from occlumap.explanation import Explanation
from occlumap.plotting import PLOTS
from occlumap.regions import Region

_LISTED = 10


@click.command(short_help="Describe and draw a saved result.")
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--plot", type=click.Choice(list(PLOTS)), help="What to draw into --out.  [default: overlay]")
@click.option(
    "--photo",
    metavar="PHOTO",
    type=click.Path(path_type=Path),
    help="The photograph that was explained, to draw over all of it, not just what the classifier saw.",
)
@click.option("--out", metavar="FILE.png", type=click.Path(path_type=Path), help="Where the picture goes.")
def show(result: Path, plot: str | None, photo: Path | None, out: Path | None) -> None:
    """Describe RESULT, an explanation.npz or the folder that holds it, in words; draw it with --out.

    \b
    Examples:
      occlumap show out/
      occlumap show out/explanation.npz --plot scales --out scales.png
      occlumap show out/explanation.npz --plot contour --photo photo.jpg --out contour.png

    \b
    Exit codes:
      0    done
      1    something could not be used, read or written; stderr says what to do
      2    the command line itself is wrong
    """  # noqa: D301 - click wants a real \b
    if out is None and (plot or photo):
        raise click.UsageError(f"say where the picture goes: --out {plot or 'overlay'}.png")
    if out is not None and out.suffix.lower() != ".png":
        raise click.BadParameter(f"expected a name that ends in .png, got {str(out)!r}", param_hint="--out")
    explanation = Explanation.load(_in_folder(result) if result.is_dir() else result)
    if out is not None:
        with output_folder(out.parent):
            photograph = None if photo is None else _photograph(photo, explanation)
            plotting.save(PLOTS[plot or "overlay"](explanation, photograph), out)
    # said when all is written: a reader of a pipe that goes away early must not cost a file
    for line in _description(explanation):
        click.echo(printable(line))
    if out is not None:
        click.echo(f"\n{plot or 'overlay'} drawn: {out}")


def _in_folder(folder: Path) -> Path:
    """The result in a folder; FileFormatError that names the folders of several targets where they are."""
    result = folder / "explanation.npz"
    several = sorted(str(one.parent) for one in folder.glob("*/explanation.npz"))
    if several and not result.exists():
        raise FileFormatError(
            f"{result}: no such file; there are results in {', '.join(several[:8])}"
            f"{', ...' if len(several) > 8 else ''}: name one of these"
        )
    return result


def _photograph(photo: Path, explanation: Explanation) -> NDArray[np.uint8]:
    """The photograph's pixels; ImageError when it cannot be the one that was explained."""
    pixels = images.read(photo).pixels
    frame, seen = explanation.frame, explanation.image
    height, width = seen.shape[:2] if frame is None else (frame.height, frame.width)
    if pixels.shape[:2] != (height, width):
        raise ImageError(
            f"expected the photograph that was explained, {height} x {width} pixels, got {str(photo)!r} with "
            f"{pixels.shape[0]} x {pixels.shape[1]}; leave out --photo to draw over what the classifier saw"
        )
    if not np.array_equal(images.fit(pixels, (seen.shape[0], seen.shape[1]))[0], seen):
        click.echo(f"warning: {photo} does not look like the photograph that was explained", err=True)
    return pixels


def _description(explanation: Explanation) -> Iterator[str]:
    settings, provenance = dict(explanation.settings), explanation.provenance
    height, width = explanation.heatmap.shape
    yield f"target       {explanation.target_name or '(no name)'} (class {explanation.target})"
    yield f"score        {explanation.original_score:.4g}"
    yield f"classifier   {provenance.get('classifier', '?')}"
    yield f"image        {height} x {width} pixels{_part(explanation)}"
    yield f"method       {settings.pop('method')}"
    told = [f"{name} {value}" for name, value in settings.items() if value is not None]
    yield f"settings     {', '.join(told)}"
    seconds = provenance.get("seconds")
    known = f", {provenance['resumed']} known before" if provenance.get("resumed") else ""
    yield (
        f"calls        {provenance['calls']}"
        + (f" in {seconds} s" if seconds is not None else "")
        + known
        + ended(provenance)
    )
    what = "regions" if explanation.posterior is None else "masks"
    yield f"{what:<12} {len(explanation.measurements)} measured"
    if explanation.offsets:
        yield f"offsets      {len(explanation.offsets)} make the heatmap"
    if "requests" in provenance:
        yield f"requests     {provenance['requests']}, {provenance.get('retries')} of them retries"
    versions = provenance.get("versions")
    if isinstance(versions, dict):
        yield f"versions     {', '.join(f'{name} {version}' for name, version in versions.items())}"
    yield f"heatmap      {explanation.heatmap.min():.4g} to {explanation.heatmap.max():.4g}"
    for note in provenance.get("image_notes") or ():
        yield f"note         {note}"
    for warning in explanation.warnings:
        yield f"warning      {warning}"
    yield from (line.strip() for line in account(explanation))
    yield ""
    yield from _regions(explanation)


def _part(explanation: Explanation) -> str:
    if explanation.frame is None:
        return ""
    rows, cols = explanation.frame.region[:2], explanation.frame.region[2:]
    return (
        f", made of rows {rows[0]} to {rows[1]} and columns {cols[0]} to {cols[1]} of a photograph of "
        f"{explanation.frame.height} x {explanation.frame.width}"
    )


def _regions(explanation: Explanation) -> Iterator[str]:
    """The most important regions: leaves of the best tree, segments, or windows of a method without trees."""
    if explanation.posterior is not None:
        what = "segments, by the rectangles round them"
        matter = [node for node in explanation.tree() if node.state == "leaf"]
        found = [(node.importance, node.region, "") for node in matter]
    elif "depth" in explanation.settings:
        trees = explanation.trees()
        what = "leaves of the best offset's tree"
        leaves = trees[0].leaves() if trees else []
        found = [(node.importance, node.region, str(node.scale)) for node in leaves]
    else:
        measurements = explanation.measurements
        rectangles, importance = measurements.rectangles, measurements.effect(explanation.target)
        what = "windows"
        found = [
            (float(importance[single]), Region(*rectangles.bounds[start].tolist()), "")
            for single in rectangles.singles().tolist()
            for start in [rectangles.starts[single]]
        ]
    found.sort(key=lambda one: -abs(one[0]))
    yield f"most important {what} ({min(_LISTED, len(found))} of {len(found)}), in pixels of the image above"
    scaled = any(scale for *_, scale in found)
    yield f"importance  of score  {'scale  ' if scaled else ''}rows         columns"
    for importance_of_one, region, scale in found[:_LISTED]:
        score = explanation.original_score
        share = f"{importance_of_one / score:8.1%}" if score > 0 else " " * 8
        rows, cols = f"{region.row_start} to {region.row_stop}", f"{region.col_start} to {region.col_stop}"
        yield f"{importance_of_one:10.4g}  {share}  {f'{scale:>5}  ' if scaled else ''}{rows:<11}  {cols}"
