"""Django's app configuration of `runs`."""

from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "cronium_admin.runs"
    label = "runs"
