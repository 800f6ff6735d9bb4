"""The Django app config of the package `logs`."""

from django.apps import AppConfig


class LogsConfig(AppConfig):
    name = "cronium_admin.logs"
    label = "logs"
