"""Django's handle on the access room."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "cronium_admin.access"
    label = "access"
