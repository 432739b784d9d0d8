"""The configuration that the running server has: the one with which the study was launched."""

from functools import cache
from pathlib import Path

from occlumap.study.domain.configuration import Configuration, thawed


@cache
def configuration() -> Configuration:
    """As it stands in the database since the launch, whatever its file says now; images lie by that file."""
    from django.conf import settings

    from occlumap.study.participants.models import StudyState

    launched = StudyState.objects.values_list("launched", flat=True).get(pk=1)
    return thawed(launched, Path(settings.STUDY_CONFIG).parent)
