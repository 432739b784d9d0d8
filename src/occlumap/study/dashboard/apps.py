"""The app of researchers."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """Has no tables of its own."""

    name = "occlumap.study.dashboard"
    label = "dashboard"
