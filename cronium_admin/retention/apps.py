"""The Django app of the retention room."""

from django.apps import AppConfig


class RetentionConfig(AppConfig):
    name = "cronium_admin.retention"
    label = "retention"
