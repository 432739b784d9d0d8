"""The app of participants."""

from django.apps import AppConfig


class ParticipantsConfig(AppConfig):
    """Its label is `participants`."""

    name = "occlumap.study.participants"
    label = "participants"
    default_auto_field = "django.db.models.BigAutoField"
