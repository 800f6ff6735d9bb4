"""Django's handle on the runs room."""

from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "cronium_admin.runs"
    label = "runs"
