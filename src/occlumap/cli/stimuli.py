"""occlumap stimuli: from a data set to the frozen set of tasks and examples that a study shows."""

from functools import partial
from pathlib import Path

import click

from occlumap.cli.folders import FOLDER
from occlumap.cli.progress import ProgressBar
from occlumap.cli.stopping import signals_like_ctrl_c


@click.group(short_help="Make the tasks and examples of a user study.")
@click.pass_context
def stimuli(context: click.Context) -> None:
    """Draw data, train a classifier, choose tasks and examples, and freeze what a study shows.

    \b
    Examples:
      occlumap stimuli draw data/
      occlumap stimuli draw data/ --bias 1 --train 2000
      occlumap stimuli demo --out demo/
      occlumap stimuli train VOCdevkit/ --weights vgg16.pth --stop-at-ap 0.91 --out model/
      occlumap stimuli build config.yaml
      occlumap stimuli check stimuli/
    """  # noqa: D301 - click wants a real \b
    context.with_resource(signals_like_ctrl_c())  # what is not whole is taken away by a scheduler's end, too


@stimuli.command(short_help="Draw scenes with a known truth.")
@click.argument("folder", type=FOLDER)
@click.option(
    "--train", type=click.IntRange(min=1), default=1000, show_default=True, help="Scenes to train on."
)
@click.option(
    "--val", type=click.IntRange(min=1), default=300, show_default=True, help="Scenes to validate on."
)
@click.option(
    "--size", type=click.IntRange(32, 1024), default=64, show_default=True, help="Pixels of a side."
)
@click.option(
    "--bias",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Probability that the background is the animal's own rather than any, in the training split.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Another seed, other scenes.",
)
def draw(folder: Path, train: int, val: int, size: int, bias: float, seed: int) -> None:
    """Draw cats, horses and other animals of parts into FOLDER, in the layout of PASCAL VOC.

    With part masks, and with the seed of every scene, so that a scene can be drawn again without a part.
    """
    from occlumap.stimuli.draw import draw_dataset

    try:
        with ProgressBar("scene") as bar:
            root = draw_dataset(folder, train=train, val=val, size=size, bias=bias, seed=seed, progress=bar)
    except KeyboardInterrupt as stop:
        stop.add_note(f"nothing is left in {folder}, so the same command begins again")
        raise
    click.echo(f"{train} scenes to train on and {val} to validate on in {root}")


@stimuli.command(short_help="Train the classifier that is studied.")
@click.argument("data", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Folder for model and model card.")
@click.option(
    "--backbone",
    default="vgg16",
    show_default=True,
    help="vgg16, vgg11, vgg13, vgg19, vgg-narrow, or module:function of yours.",
)
@click.option(
    "--weights",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="State dict to begin with, such as torchvision's vgg16 of ImageNet.  [default: random weights]",
)
@click.option(
    "--size", type=click.IntRange(32, 1024), default=224, show_default=True, help="Pixels of a side."
)
@click.option("--epochs", type=click.IntRange(min=1), default=30, show_default=True, help="At most.")
@click.option(
    "--patience",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Epochs without a better AP on the validation split before training stops.",
)
@click.option(
    "--stop-at-ap",
    type=click.FloatRange(0, 1),
    help="Stop, on purpose, when the training split's mean AP reaches this (0.91 in the text).",
)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=1e-4, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True)
@click.option(
    "--ap",
    type=click.Choice(["11-point", "all-points"]),
    default="11-point",
    show_default=True,
    help="VOC's definition.",
)
@click.option("--train-split", default="train", show_default=True)
@click.option("--val-split", default="val", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
def train(
    data: Path,
    out: Path,
    backbone: str,
    weights: Path | None,
    size: int,
    epochs: int,
    patience: int,
    stop_at_ap: float | None,
    learning_rate: float,
    batch_size: int,
    ap: str,
    train_split: str,
    val_split: str,
    seed: int,
) -> None:
    """Train on DATA, in the layout of PASCAL VOC: one sigmoid output a class, difficult objects ignored.

    Writes model.pt, model.json and MODEL_CARD.md: AP by class, and the threshold of each class that maximises F1.
    """
    from occlumap.stimuli import train as training

    settings = training.Training(
        backbone, size, epochs, patience, stop_at_ap, learning_rate, batch_size, ap, seed
    )
    with ProgressBar("batch") as bar:
        model = training.train(
            data, out, settings, weights=weights, train_split=train_split, val_split=val_split, progress=bar
        )
    means = [f"{name} {one['mean']:.3f}" for name, one in model.card["average_precision"][ap].items()]
    if training.stopped(model.card) is False:
        click.echo(f"the mean AP of {stop_at_ap} to stop at was not reached")
    if always := training.always_recognised(model.card):
        click.echo(always)
    click.echo(f"mean AP: {', '.join(means)}; model card: {out / training.PAGE}")


@stimuli.command(short_help="Write a frozen stimulus set.")
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def build(config: Path) -> None:
    """Choose tasks and examples, make their heatmaps, and freeze them, as CONFIG (YAML) says.

    \b
    data: data/            # PASCAL VOC's layout; paths are relative to this file
    model: model/          # of occlumap stimuli train
    out: stimuli/
    conditions: {occlusion: {depth: 4}, lrp: {}, none: {}}
    """  # noqa: D301 - click wants a real \b
    from occlumap.stimuli import build as building
    from occlumap.stimuli.demo import notes, summary

    settings = building.read_config(config)
    try:
        with ProgressBar("image") as bar:
            manifest = building.build(settings, bar)
    except KeyboardInterrupt as stop:
        stop.add_note(
            f"no heatmaps are kept and nothing is left of {settings.out}: the same command begins again"
        )
        raise
    for line in notes(manifest):
        click.echo(line)
    _tell(summary(manifest), settings.out)


def _tell(summary: str, folder: Path) -> None:
    from occlumap._fingerprints import of_file
    from occlumap.stimuli.files import MANIFEST

    path = folder / MANIFEST
    click.echo(f"{summary}: {path}\nhash of the manifest, to be kept elsewhere: {of_file(path)}")


@stimuli.command(short_help="Find leaks and gaps in a stimulus set.")
@click.argument("folder", type=FOLDER)
@click.option(
    "--manifest-hash", metavar="HEX", help="Of manifest.json, as build printed it; 8 digits or more."
)
@click.option("--all", "every", is_flag=True, help="Every line, also hundreds of a kind.")
def check(folder: Path, manifest_hash: str | None, every: bool) -> None:
    """Look for what gives a task away in FOLDER, for what is missing or changed, and for answers that need no thought.

    Ends with exit code 1 where the set must not be used; warnings alone end with 0.
    """
    from occlumap.stimuli.check import check as look
    from occlumap.stimuli.check import grouped

    found = look(folder, manifest_hash)
    for one in found if every else grouped(found):
        click.echo(f"{one.level}: {one.text}")
    errors = sum(one.level == "error" for one in found)
    click.echo(f"{errors} errors, {len(found) - errors} warnings")
    if errors:
        raise click.exceptions.Exit(1)


@stimuli.command(short_help="Draw, train, explain and freeze, in one command.")
@click.option("--out", type=FOLDER, required=True, help="A new folder.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
def demo(out: Path, seed: int) -> None:
    """Make a whole set of 14 tasks in OUT from drawn scenes, in minutes: data/, model/, stimuli/.

    If it is stopped, the same command goes on after the last step that was whole.
    """
    from occlumap.stimuli import demo as chain

    try:
        manifest = chain.demo(out, partial(ProgressBar, lines=True), seed=seed)
    except KeyboardInterrupt as stop:
        stop.add_note(f"the same command goes on from what is whole in {out}")
        raise
    for line in chain.notes(manifest):
        click.echo(line)
    _tell(chain.summary(manifest), out / "stimuli")


@stimuli.command(short_help="Which parts a classifier really uses.")
@click.argument("model", type=FOLDER)
@click.argument("data", type=FOLDER)
@click.option(
    "--class", "label", required=True, help="The class whose score is watched, in scenes that show it."
)
@click.option(
    "--scenes", type=click.IntRange(min=1), default=200, show_default=True, help="At most, the first ones."
)
def parts(model: Path, data: Path, label: str, scenes: int) -> None:
    """Draw scenes of DATA (occlumap stimuli draw) again without a part, and tell what that costs MODEL's score.

    Of the class's own animal only: an animal beside it keeps its parts. The background is made grey.
    With the 95 % interval of the mean over the scenes, the largest mean first: a part of few scenes may lead by luck,
    as its wide interval shows.
    """
    from occlumap.stimuli.train import load
    from occlumap.stimuli.truth import parts_used_in

    found = parts_used_in(data, load(model).classifier, label, scenes)
    click.echo("part       mean fall of the score     95 % interval  scenes")
    for one in found:
        interval = "of one scene: none" if one.low is None else f"{one.low:z.3f} to {one.high:z.3f}"
        click.echo(f"{one.part:10} {one.mean_drop:z22.3f}  {interval:>16} {one.scenes:7d}")
