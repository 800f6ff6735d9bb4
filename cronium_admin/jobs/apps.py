"""Django's handle on the jobs room."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "cronium_admin.jobs"
    label = "jobs"
