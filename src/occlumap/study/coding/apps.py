"""The app of coders."""

from typing import Any

from django.apps import AppConfig


class CodingConfig(AppConfig):
    """Its label is `coding`."""

    name = "occlumap.study.coding"
    label = "coding"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """A coder's words on a participant go when the participant's answers are erased."""
        from django.db.models.signals import post_delete

        from occlumap.study.participants.models import Answer

        post_delete.connect(_erase_exclusion, sender=Answer)


def _erase_exclusion(instance: Any, **_: Any) -> None:
    from occlumap.study.coding.models import Exclusion

    Exclusion.objects.filter(participant_id=instance.participant_id).delete()
