"""What a server or worker refuses to start with, each in one sentence that says how to mend it."""

import socket

from django.conf import settings
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor


def refuse_taken(host: str, port: int) -> None:
    """Somebody else listens on the address, or it is none of this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} on {host} can't be used ({error.strerror}). Is Cronium running already? Set "
                "CRONIUM_PORT to another port, or CRONIUM_HOST to another address."
            ) from error


def refuse_old_tables() -> None:
    """The database lacks a migration of this version, or can't be reached; or a restoration was interrupted."""
    if (settings.DATA_DIR / "restore.pending").exists():
        raise CommandError("A restoration was interrupted here. Run `python manage.py restore --finish` first.")
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except OperationalError as error:
        raise CommandError(f"The database can't be reached: {error}. Check CRONIUM_DATABASE_URL.") from error
    if missing:
        raise CommandError(
            f"The database lacks {len(missing)} migrations of this version. Run `python manage.py migrate` first."
        )
    connection.close()


def refuse_single_process_parts() -> None:
    """Separate processes can share neither an in-memory broker nor, across machines, a SQLite file."""
    if not settings.CONFIG.redis_url:
        raise CommandError(
            "CRONIUM_REDIS_URL is not set. Separate processes need Redis or Valkey to reach each other, such as "
            "redis://127.0.0.1:6379/0. For one process without it use `manage.py serve`."
        )
