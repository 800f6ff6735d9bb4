"""Checks before a server or worker starts. Each failure is one sentence that says how to fix it."""

import socket

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from cronium_admin.core.database.migration_state import find_newer_migrations, list_unapplied_migrations
from cronium_admin.core.database.outage import describe_database_error
from cronium_admin.core.database.threads import close_connections
from cronium_admin.secrets.crypto import check_keys
from cronium_admin.workers.hosts.models import Installation
from cronium_admin.workers.instance import get_instance_id


def refuse_unusable_address(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} on {host} is not available ({error.strerror}). Is Cronium already running? Set "
                "CRONIUM_PORT to another port, or CRONIUM_HOST to another address."
            ) from error


def refuse_unusable_database() -> None:
    if (settings.DATA_DIR / "restore.pending").exists():
        raise CommandError("A restore was interrupted. Run `python manage.py restore --finish` first.")
    try:
        executor = MigrationExecutor(connection)
        refuse_newer_tables(executor)
        if unapplied := list_unapplied_migrations(executor):
            raise CommandError(
                f"The database has {len(unapplied)} unapplied migrations. Run `python manage.py migrate` first."
            )
        _refuse_read_only()
        get_instance_id()
        check_keys()
    except DatabaseError as error:
        raise CommandError(describe_database_error(error)) from error
    close_connections()


def refuse_newer_tables(executor: MigrationExecutor) -> None:
    if newer := find_newer_migrations(executor):
        recorded = Installation.objects.filter(pk=1).values_list("version", flat=True).first() or ""
        later = f"Cronium {recorded}" if recorded and recorded != settings.VERSION else "a later Cronium"
        raise CommandError(
            f"The database was migrated by {later}: this version, {settings.VERSION}, does not have the migration "
            f"{newer[-1]}. Install {later} or newer, or restore a backup that this version made."
        )


def _refuse_read_only() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW transaction_read_only")
            if cursor.fetchone()[0] == "on":
                raise CommandError(
                    "The database is read-only. Set CRONIUM_DATABASE_URL to the primary server, or turn "
                    "default_transaction_read_only off."
                )
        else:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                cursor.execute("UPDATE django_migrations SET name = name WHERE id = 0")
            finally:
                cursor.execute("ROLLBACK")


def refuse_single_process_parts() -> None:
    if not settings.CONFIG.redis_url:
        raise CommandError(
            "CRONIUM_REDIS_URL is not set. Separate processes need Redis or Valkey, such as "
            "redis://127.0.0.1:6379/0. To run one process without it, use `manage.py serve`."
        )
