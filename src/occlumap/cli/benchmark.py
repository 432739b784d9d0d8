"""occlumap benchmark: ours and the peers on the same photographs, classifiers and calls."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from occlumap._addresses import without_secrets
from occlumap.cli.folders import FOLDER, output_folder
from occlumap.cli.options import classifier_option_option, load_classifier, options_by_classifier
from occlumap.cli.progress import ProgressBar
from occlumap.cli.stopping import signals_like_ctrl_c
from occlumap.errors import MeasuringError, OcclumapError

QUICK_PHOTOS = 8
QUICK_METHODS = ("paper", "single_scale", "rise", "lime", "shap_partition", "shap_kernel", "random", "centre")


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


def _numbers(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        if any(part.strip() == "000" for part in value.split(",")):  # 1,000 is no two budgets
            raise ValueError
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"expected whole numbers with commas between and none within, 100,300,1000, got {value!r}"
        ) from None


@contextmanager
def _going_on(out: Path, again: bool, progress: ProgressBar) -> Iterator[None]:
    """Whoever stops a run is told how to go on; not so who is refused, as the same command would be refused again."""
    try:
        yield
    except BaseException as error:
        refused = isinstance(error, OcclumapError) and not isinstance(error, MeasuringError)
        if not refused and (out / "rows.csv").exists():
            without = " without --again" if again and progress.begun else ""  # before, old rows are there
            error.add_note(f"what was done is kept in {out}; the same command{without} goes on from there")
        raise


@click.command(short_help="Compare explanation methods on photographs.")
@click.option(
    "--photos",
    metavar="FOLDER",
    type=FOLDER,
    required=True,
    help="Where the photographs are.",
)
@click.option(
    "--table",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="CSV with columns file and class_index.  [default: photos.csv in --photos]",
)
@click.option(
    "--classifier",
    "classifier_names",
    metavar="NAME",
    multiple=True,
    default=("efficientnet-lite0",),
    show_default="efficientnet-lite0",
    help="A classifier's name, module:callable, a file or an address, as for explain. Repeat it for several.",
)
@classifier_option_option
@click.option(
    "--methods",
    metavar="NAMES",
    callback=_names,
    help="Methods, with commas between.  [default: all installed]",
)
@click.option(
    "--budgets",
    metavar="CALLS",
    callback=_numbers,
    default="100,300",
    show_default=True,
    help="Classifier calls that each method may spend.",
)
@click.option(
    "--metrics",
    metavar="NAMES",
    callback=_names,
    default="curves,regions",
    show_default=True,
    help="curves, areas, regions, sensitivity, infidelity, grid-pointing, sanity.",
)
@click.option("--controls", is_flag=True, help="Judge each map blurred, and that of another photograph, too.")
@click.option(
    "--crops",
    metavar="NAMES",
    callback=_names,
    default="centre",
    show_default=True,
    help="centre, off-centre (random windows of 70 % of the side), or both.",
)
@click.option("--size", type=int, help="Side of the images in pixels.  [default: the classifier's, or 224]")
@click.option(
    "--steps", type=int, default=16, show_default=True, help="Equal shares of the pixels, of the curves."
)
@click.option("--limit", type=click.IntRange(min=1), help="Lines of the table at most.  [default: all]")
@click.option(
    "--again",
    metavar="NAMES",
    callback=_names,
    help="Methods of this run that have changed: judged anew, from kept scores where they ask the same.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of everything that draws random numbers."
)
@click.option(
    "--quick",
    is_flag=True,
    help=f"A first look: the first {QUICK_PHOTOS} photographs that the classifier gets right (not so with --limit), "
    f"with {len(QUICK_METHODS)} methods (unless --methods names others).",
)
@click.option(
    "--out",
    metavar="FOLDER",
    type=FOLDER,
    default="benchmark",
    show_default=True,
    help="Where rows.csv and the report go; a stopped run goes on there.",
)
def benchmark(
    photos: Path,
    table: Path | None,
    classifier_names: tuple[str, ...],
    classifier_options: tuple[str, ...],
    methods: tuple[str, ...] | None,
    limit: int | None,
    again: tuple[str, ...] | None,
    quick: bool,
    out: Path,
    **settings: Any,
) -> None:
    """Compare explanation methods: faithfulness on the same photographs, classifiers and calls.

    Writes into --out: rows.csv (every number), report.md and report.html, summary.csv and pairs.csv.
    Photographs that a classifier gets wrong are left out and counted. Calls are counted at the classifier.

    \b
    Examples:
      occlumap benchmark --photos photos/ --quick
      occlumap benchmark --photos photos/ --methods paper,rise,lime --budgets 100,300,1000
      occlumap benchmark --photos photos/ --classifier my_model:classify --crops centre,off-centre
      occlumap benchmark --photos photos/ --classifier efficientnet-lite0 --classifier my_model:one \
        --classifier-option my_model:one:batched=false

    If it is stopped, the same command goes on where it was; another --methods or --budgets adds to what is
    there. The report is made anew each time.

    \b
    Exit codes:
      0    done
      1    something could not be used, read, measured or written; stderr says what to do
      2    the command line itself is wrong
      130  stopped by Ctrl-C (143: by SIGTERM, 129: by SIGHUP); the same command goes on
    """  # noqa: D301 - click wants a real \b
    from occlumap.evaluation import benchmark as runner
    from occlumap.evaluation import report  # first: what it lacks must not be found out after hours
    from occlumap.evaluation.protocol import Protocol

    if methods is not None or quick:
        settings["methods"] = QUICK_METHODS if methods is None else methods
    protocol = Protocol(**settings)
    names = tuple(dict.fromkeys(classifier_names))
    own = options_by_classifier(names, classifier_options)
    classifiers = {without_secrets(name): load_classifier(name, own[name]) for name in names}
    if len(classifiers) < len(names):
        raise click.BadParameter(
            "expected addresses that differ before the question mark, since rows are named by that part; judge "
            "them with one --out each",
            param_hint="--classifier",
        )
    command = shlex.join(["occlumap", *map(without_secrets, sys.argv[1:])])
    with (
        output_folder(out),
        signals_like_ctrl_c(),
        ProgressBar("map") as progress,
        _going_on(out, bool(again), progress),
    ):
        runner.run(
            classifiers,
            photos,
            photos / "photos.csv" if table is None else table,
            out,
            protocol,
            limit=limit,
            enough=QUICK_PHOTOS if quick and limit is None else None,
            again=again or (),
            command=command,
            progress=progress,
        )
    for file in report.write(out):
        click.echo(f"  {file}")
