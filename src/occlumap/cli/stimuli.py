"""occlumap stimuli: from a data set to the frozen set of tasks and examples that a study shows."""

from pathlib import Path

import click

from occlumap.cli.progress import ProgressBar


@click.group(short_help="Make the tasks and examples of a user study.")
def stimuli() -> None:
    """Draw data, train a classifier, choose tasks and examples, and freeze what a study shows.

    \b
    Examples:
      occlumap stimuli draw data/
      occlumap stimuli draw data/ --bias 1 --train 2000
    """  # noqa: D301 - click wants a real \b


@stimuli.command(short_help="Draw scenes with a known truth.")
@click.argument("folder", type=click.Path(path_type=Path))
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
    help="How often the background is the animal's own in the training split.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other scenes."
)
def draw(folder: Path, train: int, val: int, size: int, bias: float, seed: int) -> None:
    """Draw cats, horses and other animals of parts into FOLDER, in the layout of PASCAL VOC.

    With part masks, and with the seed of every scene, so that a scene can be drawn again without a part.
    """
    from occlumap.stimuli.draw import draw_dataset

    with ProgressBar("scene") as bar:
        root = draw_dataset(folder, train=train, val=val, size=size, bias=bias, seed=seed, progress=bar)
    click.echo(f"{train} scenes to train on and {val} to validate on in {root}")
