"""occlumap doctor: one photograph through a classifier, and what was seen."""

from pathlib import Path

import click

from occlumap import images
from occlumap.cli.options import (
    call_timeout_option,
    classifier_option,
    classifier_option_option,
    load_classifier,
    photo_argument,
)
from occlumap.cli.text import printable


@click.command(short_help="Look at a classifier with one photograph.")
@photo_argument
@classifier_option
@classifier_option_option
@call_timeout_option
@click.option(
    "--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes, best first."
)
def doctor(
    photo: Path,
    classifier_name: str,
    classifier_options: tuple[str, ...],
    call_timeout: float | None,
    top: int,
) -> None:
    """Run PHOTO through a classifier and say what was seen.

    What reached the model (shape, type, range), its top classes, whether scores in a batch and alone agree, whether
    they look like probabilities or logits, and how fast it is. The first call has one image.

    \b
    Examples:
      occlumap doctor photo.jpg
      occlumap doctor photo.jpg --classifier model.onnx
      occlumap doctor photo.jpg --classifier my_model:classify --classifier-option batched=false

    \b
    Exit codes:
      0    done
      1    something could not be used, read or measured; stderr says what to do
      2    the command line itself is wrong
    """  # noqa: D301 - click wants a real \b
    from occlumap.doctor import examine

    pixels = images.read(photo).pixels
    classifier = load_classifier(classifier_name, classifier_options)
    input_size = getattr(classifier, "input_size", None)
    if input_size is not None:
        pixels, _ = images.fit(pixels, input_size)
    for line in examine(classifier, pixels, call_timeout=call_timeout).lines(top):
        click.echo(printable(line))
