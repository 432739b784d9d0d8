"""The configuration that the running server has, read once."""

from functools import cache
from pathlib import Path

from occlumap.study.domain.configuration import Configuration, read


@cache
def configuration_at(path: Path) -> Configuration:
    """The configuration at `path`."""
    return read(path)


def configuration() -> Configuration:
    """The one that the settings name."""
    from django.conf import settings

    return configuration_at(Path(settings.STUDY_CONFIG))
