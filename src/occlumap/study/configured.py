"""The configuration that the running server has: the one with which the study was launched."""

import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from occlumap._fingerprints import of_file
from occlumap.study.domain.configuration import Configuration, thawed


def configuration() -> Configuration:
    """As it stands in the database, whatever its file says now; images lie by that file.

    Each call asks the database whether it is still the same: until somebody takes part, a start may replace it.
    """
    from occlumap.study.participants.models import StudyState

    return _thawed(*StudyState.objects.values_list("config_sha256", "launched_at").get(pk=1))


@lru_cache(maxsize=1)
def _thawed(sha256: str, at: object) -> Configuration:
    from django.conf import settings

    from occlumap.study.participants.models import StudyState

    state = StudyState.objects.get(pk=1)
    return thawed(state.launched, Path(settings.STUDY_CONFIG).parent, state.config_sha256)


def image(name: str) -> BinaryIO | None:
    """The file of an image that the manifest names, opened; None for any other name.

    Raises ChangedImageError for a file that is not the launched one.
    """
    study = configuration()
    path = study.image(name)
    if path is None:
        return None
    try:
        file = path.open("rb")
    except OSError:
        file = None
    if file is not None:
        about = os.fstat(file.fileno())
        found = _sha256(path, about.st_ino, about.st_mtime_ns, about.st_size)
        if found == study.images_sha256.get(name):
            return file
        file.close()
    logging.getLogger(__name__).error(
        "%s is not the image with which the study was launched, or is gone: it is not shown; put it back",
        path,
    )
    raise ChangedImageError(name)


class ChangedImageError(Exception):
    """An image's file is not what it was at launch."""


@lru_cache(maxsize=4096)
def _sha256(path: Path, inode: int, changed_ns: int, size: int) -> str:
    return of_file(path)
