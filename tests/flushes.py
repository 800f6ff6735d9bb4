"""A fast flush, with which Django empties the database after each transactional test."""

import secrets
from typing import Any

import pytest
from django.conf import settings
from django.core.management.commands import flush
from django.core.management.sql import sql_flush
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.operations import DatabaseOperations

from cronium_admin.workers.hosts.models import Installation

# The same after each migration: a row per model, and its permissions.
KEPT = {"django_content_type", "auth_permission"}


def speed_up_flush(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DatabaseOperations, "sql_flush", _list_deletions)
    patch.setattr(flush, "sql_flush", _list_statements)
    patch.setattr(flush, "emit_post_migrate_signal", _record_installation)


def _list_deletions(operations: DatabaseOperations, _: Any, tables: list[str], **__: Any) -> list[str]:
    """PostgreSQL truncates 70 tables, which takes ten times as long as to empty them."""
    # In one transaction: foreign keys are checked at its end.
    return ["; ".join(f"DELETE FROM {operations.quote_name(table)}" for table in tables)]


def _list_statements(style: Any, connection: BaseDatabaseWrapper, **options: bool) -> list[str]:
    every_table = connection.introspection.django_table_names

    def list_tables(**which: bool) -> list[str]:
        return [table for table in every_table(**which) if table not in KEPT]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection.introspection, "django_table_names", list_tables)
        return list(sql_flush(style, connection, **options))


def _record_installation(verbosity: int, interactive: bool, database: str) -> None:
    """The only row that Cronium's receiver of post_migrate makes. Django's receivers make the rows that are kept."""
    made = {"instance": secrets.token_urlsafe(9), "version": settings.VERSION}
    Installation.objects.using(database).get_or_create(pk=1, defaults=made)
