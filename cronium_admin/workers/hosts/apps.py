"""The Django app config of the package `hosts`."""

import secrets
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class HostsConfig(AppConfig):
    name = "cronium_admin.workers.hosts"
    label = "hosts"

    def ready(self) -> None:
        post_migrate.connect(record_version, sender=self)


def record_version(using: str, plan: Any = (), **_: Any) -> None:
    from django.conf import settings
    from django.db import connections
    from django.db.migrations.executor import MigrationExecutor

    from cronium_admin.core.database.migration_state import find_newer_migrations, list_unapplied_migrations
    from cronium_admin.workers.hosts.models import Installation

    if any(backwards for _, backwards in plan) or Installation._meta.db_table not in _list_tables(using):
        return
    executor = MigrationExecutor(connections[using])
    if find_newer_migrations(executor) or list_unapplied_migrations(executor, "hosts"):
        return
    made = {"instance": secrets.token_urlsafe(9), "version": settings.VERSION}
    row, is_new = Installation.objects.using(using).get_or_create(pk=1, defaults=made)
    if not is_new and row.version != settings.VERSION:
        Installation.objects.using(using).filter(pk=1).update(version=settings.VERSION)


def _list_tables(using: str) -> list[str]:
    from django.db import connections

    return connections[using].introspection.table_names()
