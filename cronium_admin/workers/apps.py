"""The Django app config of the package `workers`, for its management commands. Its models are in `workers.hosts`."""

from django.apps import AppConfig


class WorkersConfig(AppConfig):
    name = "cronium_admin.workers"
    label = "workers"
