"""Django's app configuration of `jobs`."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "cronium_admin.jobs"
    label = "jobs"
