"""Finds Cronium's tables in a PostgreSQL schema, which may contain tables of other programs."""

from collections.abc import Iterable

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from cronium_admin.backup.errors import BackupError
from cronium_admin.core.database.migration_state import find_newer_migrations

MIGRATIONS_TABLE = MigrationRecorder.Migration._meta.db_table  # Django's own table


def list_created_tables(applied: Iterable[str]) -> set[str]:
    """The tables that exist after these migrations, given as app.name."""
    # Without replacements the graph also contains migrations that a squashed migration replaces.
    loader = MigrationLoader(None, ignore_no_migrations=True, replace_migrations=False)
    keys = {(app, name) for app, _, name in (migration.partition(".") for migration in applied)}
    nodes = sorted(keys & set(loader.graph.nodes))
    models = loader.project_state(nodes).apps.get_models(include_auto_created=True) if nodes else []
    return {model._meta.db_table for model in models if model._meta.managed} | {MIGRATIONS_TABLE}


def refuse_newer_database() -> None:
    if newer := find_newer_migrations(MigrationExecutor(connection)):
        raise BackupError(
            f"The database is of a newer Cronium (it has {newer[-1]}): this version does not know all of its tables. "
            "Back it up with that version. To return to this version, create an empty database or schema, set it in "
            "CRONIUM_DATABASE_URL, and restore there."
        )
