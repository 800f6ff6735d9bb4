"""Django's handle on the workers room: its commands. The models stand in `workers.hosts`."""

from django.apps import AppConfig


class WorkersConfig(AppConfig):
    name = "cronium_admin.workers"
    label = "workers"
