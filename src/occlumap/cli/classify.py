"""occlumap classify: what a classifier says of a photograph."""

from pathlib import Path

import click
import numpy as np

from occlumap import images
from occlumap.classifiers import score
from occlumap.cli.options import (
    classifier_option,
    classifier_option_option,
    load_classifier,
    photo_argument,
)
from occlumap.cli.text import printable
from occlumap.targets import class_names


@click.command(short_help="List the classes that a classifier sees in a photograph.")
@photo_argument
@classifier_option
@classifier_option_option
@click.option(
    "--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes, best first."
)
def classify(photo: Path, classifier_name: str, classifier_options: tuple[str, ...], top: int) -> None:
    """List the classes with the highest scores for PHOTO: index, score and name.

    What stands there as index or name is what `occlumap explain --target` takes; a number that is the name of a class
    is that class.

    \b
    Examples:
      occlumap classify photo.jpg
      occlumap classify photo.jpg --classifier my_model:classify --top 3

    \b
    Exit codes:
      0    done
      1    something could not be used, read or measured; stderr says what to do
      2    the command line itself is wrong
    """  # noqa: D301 - click wants a real \b
    pixels = images.read(photo).pixels
    classifier = load_classifier(classifier_name, classifier_options)
    input_size = getattr(classifier, "input_size", None)
    if input_size is not None:
        pixels, _ = images.fit(pixels, input_size)
    (row,) = score(classifier, pixels[None])
    names = class_names(classifier, len(row))
    click.echo("class     score  name")
    for index in np.argsort(-row, kind="stable")[:top].tolist():
        name = "" if names is None else names[index]
        click.echo(printable(f"{index:5d}  {row[index]:8.4g}  {name}".rstrip()))
