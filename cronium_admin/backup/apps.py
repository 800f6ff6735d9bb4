"""The Django app config of the package `backup`: its management commands."""

from django.apps import AppConfig


class BackupConfig(AppConfig):
    name = "cronium_admin.backup"
    label = "backup"
