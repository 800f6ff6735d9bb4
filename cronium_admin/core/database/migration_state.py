"""Compares the migrations of this version with those that the database has."""

from django.apps import apps
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor


def list_unapplied_migrations(executor: MigrationExecutor, app_label: str | None = None) -> list[Migration]:
    """In the order in which they would be applied; with `app_label`, those that this app needs."""
    targets = executor.loader.graph.leaf_nodes(app_label)
    return [migration for migration, _ in executor.migration_plan(targets)]


def find_newer_migrations(executor: MigrationExecutor) -> list[str]:
    """Applied migrations of Cronium that this version does not have."""
    own_apps = {config.label for config in apps.get_app_configs() if config.name.startswith("cronium_admin.")}
    known = executor.loader.disk_migrations
    replaced = {key for migration in known.values() for key in migration.replaces}
    unknown = sorted(key for key in executor.loader.applied_migrations if key not in known and key not in replaced)
    return [f"{app}.{name}" for app, name in unknown if app in own_apps]
