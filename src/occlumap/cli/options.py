"""Arguments and options that several commands have."""

from pathlib import Path

import click

photo_argument = click.argument("photo", type=click.Path(path_type=Path))

classifier_option = click.option(
    "--classifier",
    "classifier_name",
    metavar="NAME",
    default="efficientnet-lite0",
    show_default=True,
    help="A classifier's name, or module:callable.",
)
