"""Django's handle on the logs room."""

from django.apps import AppConfig


class LogsConfig(AppConfig):
    name = "cronium_admin.logs"
    label = "logs"
