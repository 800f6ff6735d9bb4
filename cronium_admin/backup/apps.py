"""Django's handle on the room of backups."""

from django.apps import AppConfig


class BackupConfig(AppConfig):
    name = "cronium_admin.backup"
    label = "backup"
