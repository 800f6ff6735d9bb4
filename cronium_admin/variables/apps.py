"""Django's handle on the runtime room."""

from django.apps import AppConfig


class RuntimeConfig(AppConfig):
    name = "cronium_admin.variables"
    label = "runtime"
