"""Django's handle on the core room: its template tags."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "cronium_admin.core"
    label = "core"
