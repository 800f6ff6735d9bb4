"""Django's handle on the room of retention."""

from django.apps import AppConfig


class RetentionConfig(AppConfig):
    name = "cronium_admin.retention"
    label = "retention"
