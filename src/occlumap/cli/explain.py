"""occlumap explain: a photograph and a classifier to a heatmap, a tree and a result file."""

import re
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import click

import occlumap
from occlumap import images, plotting
from occlumap._addresses import without_secrets
from occlumap.cli.account import account, ended
from occlumap.cli.folders import FOLDER, output_folder
from occlumap.cli.options import (
    call_timeout_option,
    classifier_option,
    classifier_option_option,
    load_classifier,
    options_of,
    photo_argument,
)
from occlumap.cli.progress import ProgressBar
from occlumap.cli.stopping import signals_like_ctrl_c
from occlumap.cli.text import printable
from occlumap.errors import FileFormatError
from occlumap.explain import OF_METHOD, without_go_on
from occlumap.explanation import KIND as EXPLANATION
from occlumap.grid import OFFSETS
from occlumap.methods import METHODS
from occlumap.offsets import SELECTIONS
from occlumap.pyramid import PRUNINGS
from occlumap.score_cache import CachedClassifier
from occlumap.targets import class_names, of_number
from occlumap.zoo import cache

_FILES = ("explanation.npz", "overlay.png", "tree.json")


def _index_or_text(value: int | str) -> int | str:
    """A whole number as an int, anything else as it is: a class's index or name, a count or "all"."""
    return int(value) if re.fullmatch(r"\s*[+-]?\d+\s*", str(value)) else value


def _pixels(value: object) -> int | tuple[int, int]:
    """32, or 32,48 for rows and columns."""
    try:
        numbers = tuple(int(part) for part in str(value).split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 2):
        raise click.BadParameter(f"expected pixels as 32, or 32,48 for rows and columns, got {value!r}")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


@click.command(short_help="Explain what a classifier sees in a photograph.")
@photo_argument
@classifier_option
@classifier_option_option
@click.option(
    "--target",
    "targets",
    metavar="CLASS",
    multiple=True,
    help="The class to explain, a name or an index; 5 is the class named 5, if there is one. Repeat it for several "
    "from the same calls.  "
    "[default: the top class]",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="joint",
    show_default=True,
    help="One model over a tree of segments, the paper's multi-scale occlusion, or one window.",
)
@click.option(
    "--depth",
    type=int,
    help="Paper only: number of scales; each one more costs 5 times the calls.  [default: 4]",
)
@click.option("--offsets", type=click.Choice(OFFSETS), help="Paper only: shifts of the grid.  [default: all]")
@click.option(
    "--best-k",
    metavar="NUMBER|all",
    type=_index_or_text,
    help="Paper only: how many of the best offsets make the heatmap.  [default: 5]",
)
@click.option(
    "--fill",
    metavar="FILL",
    help="What hides a part: neighbours, constant:169, constant:255,0,0, mean, blur, inpaint:telea or inpaint:ns; "
    "for joint several in turn, with + between.  [default: blur+neighbours for joint, else neighbours]",
)
@click.option(
    "--pruning",
    type=click.Choice(list(PRUNINGS)),
    help="Paper only: when a region outweighs its parts: from the top down, or by the greatest sum.  [default: greedy]",
)
@click.option(
    "--selection",
    type=click.Choice(SELECTIONS),
    help="Paper only: how offsets are ranked.  [default: density]",
)
@click.option(
    "--threshold",
    metavar="SHARE",
    help="Paper only: regions at or below this go: a share of the original score, or an importance such as 0.005.  "
    "[default: 1%]",
)
@click.option(
    "--regions",
    type=click.Choice(["slic", "grid"]),
    help="Joint only: segments that follow the image, or rectangles.  [default: slic]",
)
@click.option(
    "--tolerance",
    type=float,
    metavar="SHARE",
    help="Joint only: stop when this share of the heatmap, 0 to 1, or less may be chance.",
)
@click.option(
    "--time-limit", type=float, metavar="SECONDS", help="Joint only: begin no further batch after this."
)
@click.option(
    "--budget",
    type=int,
    help="Classifier calls at most.  [default: 300 for joint, else as many as the method takes]",
)
@click.option(
    "--window", type=_pixels, metavar="PIXELS", help="Single-scale only: the window's side, 32 or 32,48."
)
@click.option("--stride", type=_pixels, metavar="PIXELS", help="Single-scale only: how far the window moves.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of joint's masks; kept in the result.")
@click.option(
    "--batch-size",
    metavar="NUMBER|auto",
    type=_index_or_text,
    default=32,
    show_default=True,
    help="Images in one classifier call at most, or what turns out to be fastest.",
)
@click.option(
    "--workers",
    type=int,
    help="Threads that call the classifier at once.  [default: 1, or one for each of --processes]",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Load the classifier in so many processes, which share the calls.",
)
@call_timeout_option
@click.option(
    "--no-cache",
    is_flag=True,
    help="Ask the classifier even for images whose scores are kept on disk (docs/classifiers.md).",
)
@click.option(
    "--resume",
    "resumed",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Go on from the measurements.npz of a stopped run, or from an explanation.npz.",
)
@click.option(
    "--out",
    metavar="FOLDER",
    type=FOLDER,
    default="out",
    show_default=True,
    help="Where the files go; those of an earlier run there are replaced.",
)
def explain(
    photo: Path,
    classifier_name: str,
    classifier_options: tuple[str, ...],
    processes: int | None,
    call_timeout: float | None,
    no_cache: bool,
    targets: tuple[str, ...],
    resumed: Path | None,
    out: Path,
    **settings: Any,
) -> None:
    """Explain which parts of PHOTO made the classifier give a class its score.

    Writes into --out: overlay.png (the heatmap drawn over the photograph), tree.json (the tree of each
    chosen offset, or of the segments) and explanation.npz (everything, for `occlumap show` and
    `occlumap.Explanation.load`).
    With several targets, each has a folder of its own in there. Every file is written whole or not at all.

    \b
    Examples:
      occlumap explain photo.jpg
      occlumap explain photo.jpg --target tabby --target "tiger cat" --out cats/
      occlumap explain photo.jpg --budget 1000 --fill constant:169
      occlumap explain photo.jpg --method paper --depth 3 --best-k all
      occlumap explain photo.jpg --classifier my_model:classify --target 1
      occlumap explain photo.jpg --method single-scale --window 32 --stride 16

    If Ctrl-C, SIGTERM, SIGHUP or a failing classifier stops it, what was measured goes to measurements.npz in
    --out (measurements-2.npz and so on where that name holds others); the same command with
    --resume and that file goes on from there, and removes it when it is done. With --method joint the
    best heatmap so far is written as well.

    \b
    Exit codes:
      0    done
      1    something could not be used, read, measured or written; stderr says what to do
      2    the command line itself is wrong
      130  stopped by Ctrl-C (143: by SIGTERM, 129: by SIGHUP)
    """  # noqa: D301 - click wants a real \b
    _refuse_options_of_others(settings)
    photograph = images.read(photo, quiet=True)  # it is warned about when it is explained
    resume = None if resumed is None else _read_measurements(resumed)
    with output_folder(out), signals_like_ctrl_c():
        if processes is None:
            classifier = load_classifier(classifier_name, classifier_options)
            settings["call_timeout"] = call_timeout
        else:  # a process can be stopped when its time is over, a thread cannot
            from occlumap.adapters import in_processes

            classifier = in_processes(
                classifier_name, processes, call_timeout=call_timeout, **options_of(classifier_options)
            )
        if not no_cache and getattr(classifier, "fingerprint", None):
            classifier = CachedClassifier(classifier, cache.folder() / "scores.sqlite3")
        if sys.stderr.isatty():
            click.echo(f"explaining {photo} with {without_secrets(classifier_name)}", err=True)
        try:
            with ProgressBar() as progress:
                found = occlumap.explain(
                    classifier,
                    photo,
                    _as_argument(targets, classifier),
                    resume=resume,
                    progress=progress,
                    **settings,
                )
        except BaseException as error:
            _keep_measurements(error, out)
            best = getattr(error, "explanation", None)
            if best is not None:
                _write_best(error, _placed(best, out), photograph)
            raise
        placed = _placed(found, out)
        further = None
        if resume is not None and not placed[0][0].measurements.cover(resume):
            further = _place(resume, out)  # the result does not hold them all, and may replace their file
            resume.save(further)
        explanations, folders = [one for one, _ in placed], [folder for _, folder in placed]
        written = []
        try:
            for explanation, folder in placed:
                written.append(_write(explanation, folder, photograph))
        except BaseException as error:
            for explanation in explanations:
                error.add_note("\n".join(_found(explanation)))
            error.measurements = explanations[0].measurements  # type: ignore[attr-defined]
            _keep_measurements(error, out)
            raise
        if resumed is not None:
            _remove_if_held(resumed, explanations[0].measurements, out)
        _remove_earlier_results(out, [*folders, *([] if resumed is None else [resumed.parent])])
    # said when all is written: a reader of a pipe that goes away early must not cost a file
    for explanation, files in zip(explanations, written, strict=True):
        for line in (*_found(explanation), *(f"  {file}" for file in files)):
            click.echo(line)
    if further is not None:
        click.echo(f"  {further}: what was resumed from, of which these results hold a part")
    if getattr(classifier, "reused", 0):
        click.echo(
            f"  cache: {classifier.reused} images were known, {classifier.asked} were asked (--no-cache asks all)"
        )
    provenance = explanations[0].provenance  # of several targets from the same calls
    if provenance.get("retries"):
        click.echo(f"  requests: {provenance['requests']}, {provenance['retries']} of them retries")


def _refuse_options_of_others(settings: dict[str, Any]) -> None:
    for owner, names in OF_METHOD.items():
        for name in names:
            if owner != settings["method"] and settings[name] is not None:
                option = name.replace("_", "-")
                raise click.UsageError(
                    f"--{option} belongs to --method {owner}; {settings['method']} does not have it"
                )


def _read_measurements(path: Path) -> occlumap.Measurements:
    try:
        return occlumap.Measurements.load(path)
    except FileFormatError as error:
        try:
            return occlumap.Explanation.load(path).measurements
        except FileFormatError as of_explanation:  # say what is wrong with what the file is
            raise (of_explanation if EXPLANATION in str(error) else error) from None


def _as_argument(texts: tuple[str, ...], classifier: Any) -> int | str | list[int | str] | None:
    """Targets as `occlumap.explain` takes them; a number that is the name of a class (a digit's) is that name."""
    if not texts:
        return None
    classes = class_names(classifier) or []
    names = {part.strip() for name in classes for part in name.split(",")}
    targets = [
        text if text.strip() in names or len(of_number(text, classes)) == 1 else _index_or_text(text)
        for text in texts
    ]
    return targets[0] if len(targets) == 1 else targets


def _write_best(
    error: BaseException, placed: list[tuple[occlumap.Explanation, Path]], photograph: images.Photograph
) -> None:
    """Write the heatmaps of a stopped run where nothing is lost by it, and note on `error` where they are or not."""
    for explanation, folder in placed:
        if _holds_earlier(explanation, folder):
            error.add_note(f"the best heatmap so far: {_write(explanation, folder, photograph)[0]}")
        else:
            error.add_note(
                f"the best heatmap so far is not written: {folder} holds another result; for it, go on with "
                "--resume and another --out"
            )


def _holds_earlier(explanation: occlumap.Explanation, folder: Path) -> bool:
    """Whether it rests on all that the result in `folder` rests on, if there is one."""
    file = folder / _FILES[0]
    try:
        return not file.exists() or explanation.measurements.cover(
            occlumap.Explanation.load(file).measurements
        )
    except FileFormatError:
        return False


def _keep_measurements(error: BaseException, out: Path) -> None:
    """Save what had been measured before `error`, and note on it how to go on."""
    measurements = getattr(error, "measurements", None)
    if not isinstance(measurements, occlumap.Measurements) or not len(measurements):
        return
    without_go_on(error)  # it speaks Python
    path = _place(measurements, out)
    try:
        measurements.save(path)
    except OSError as problem:
        error.add_note(f"what had been measured could not be saved to {path}: {problem}")
    else:
        error.add_note(
            f"{len(measurements)} perturbed images had been measured and are kept; to go on, run the same command "
            f"with\n  --resume {path}"
        )


def _place(measurements: occlumap.Measurements, out: Path) -> Path:
    """The first of measurements.npz, measurements-2.npz, ... that is not there yet, or that they hold all of."""
    for number in count(1):
        path = out / ("measurements.npz" if number == 1 else f"measurements-{number}.npz")
        if not path.exists() or _hold_all(measurements, path):
            return path
    raise AssertionError  # pragma: no cover - there is always another number


def _hold_all(measurements: occlumap.Measurements, path: Path) -> bool:
    try:
        return measurements.cover(occlumap.Measurements.load(path))
    except FileFormatError:
        return False


def _remove_if_held(resumed: Path, measurements: occlumap.Measurements, out: Path) -> None:
    """Remove what a stopped run had left in `out` when the results hold all of it."""
    ours = (
        re.fullmatch(r"measurements(-\d+)?\.npz", resumed.name) and resumed.resolve().parent == out.resolve()
    )
    if ours and _hold_all(measurements, resumed):
        resumed.unlink()


def _remove_earlier_results(out: Path, kept: list[Path]) -> None:
    """Remove what an earlier run wrote in `out` for another number of targets, or for other targets.

    A folder counts as such a target's when it bears the name of the result in it and holds nothing but its files.
    """
    keep = {folder.resolve() for folder in kept}
    for folder in [out, *(one for one in out.iterdir() if one.is_dir())]:
        if folder.resolve() in keep or not (folder / "explanation.npz").is_file():
            continue
        try:
            earlier = occlumap.Explanation.load(folder / "explanation.npz")
        except FileFormatError:
            continue  # not ours, or damaged: not ours to remove
        of_a_target = folder.name == _folder_name(earlier) and {one.name for one in folder.iterdir()} <= set(
            _FILES
        )
        if folder != out and not of_a_target:
            continue
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
        if folder != out:
            folder.rmdir()


def _folder_name(explanation: occlumap.Explanation) -> str:
    """The class's index and first name, in letters that every file system takes: 281-tabby."""
    first = (explanation.target_name or "").split(",")[0].lower()
    return "-".join([str(explanation.target), *re.findall("[a-z0-9]+", first)])[:60]


def _placed(
    found: occlumap.Explanation | list[occlumap.Explanation], out: Path
) -> list[tuple[occlumap.Explanation, Path]]:
    """Each target's explanation and its folder."""
    several = found if isinstance(found, list) else [found]
    explanations = list({explanation.target: explanation for explanation in several}.values())
    single = len(explanations) == 1
    return [(explanation, out if single else out / _folder_name(explanation)) for explanation in explanations]


def _write(explanation: occlumap.Explanation, folder: Path, photograph: images.Photograph) -> list[Path]:
    """Write the files of one explanation, the dearest first; gives their paths."""
    folder.mkdir(exist_ok=True)
    result, overlay, tree = (folder / name for name in _FILES)
    explanation.save(result)
    plotting.save(plotting.overlay(explanation, photograph.pixels), overlay)
    if "depth" in explanation.settings or explanation.posterior is not None:
        explanation.save_tree(tree)
        return [overlay, tree, result]
    tree.unlink(missing_ok=True)  # one left by an earlier run would pass for this one's
    return [overlay, result]


def _found(explanation: occlumap.Explanation) -> Iterator[str]:
    """What was found, in three lines, or one."""
    name = explanation.target_name or "class"
    provenance = explanation.provenance
    known = f", {provenance['resumed']} known before" if provenance["resumed"] else ""
    yield printable(
        f"{name} ({explanation.target}), score {explanation.original_score:.4g}: "
        f"{provenance['calls']} classifier calls in {provenance['seconds']:.1f} s{known}{ended(provenance)}"
    )
    yield from account(explanation)
