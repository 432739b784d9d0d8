"""The app of coders."""

from django.apps import AppConfig


class CodingConfig(AppConfig):
    """Its label is `coding`."""

    name = "occlumap.study.coding"
    label = "coding"
    default_auto_field = "django.db.models.BigAutoField"
