"""The Django app of the core room, which has template tags and leases."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "cronium_admin.core"
    label = "core"
