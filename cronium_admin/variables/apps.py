"""Django's app configuration of `variables`. The label `runtime` is in table names and migrations."""

from django.apps import AppConfig


class RuntimeConfig(AppConfig):
    name = "cronium_admin.variables"
    label = "runtime"
