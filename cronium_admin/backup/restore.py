"""Restores a backup. It is unpacked, checked and prepared in a temporary folder. Then a pending file is written, and
only then the first file is replaced. After a crash, `--finish` completes the restore.

A restored installation is a copy: it gets a new identity, and the runs that were live in the backup end as lost,
because their containers belong to the original. So it never changes objects of the original. With `take_over` it
continues as the original, which must never run again.
"""

import errno
import json
import os
import secrets
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from cronium_admin.backup import bundle, databases
from cronium_admin.backup.create import DATABASE, KEYS
from cronium_admin.backup.errors import BackupError
from cronium_admin.backup.identity import (
    RESTORED,
    build_copy_statements,
    build_take_over_statements,
    lock_data_folder,
    make_identity,
    refuse_live_hosts,
)
from cronium_admin.core.data_folder import replace_text, sync_to_disk
from cronium_admin.core.database.threads import close_connections
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.instance import IDENTITY, record_place

PENDING_FILE = "restore.pending"


def restore_backup(path: Path, *, replace: bool = False, take_over: bool = False) -> dict[str, Any]:
    """Replaces this installation by the backup; returns the manifest. After a BackupError nothing has changed, unless
    the error asks for `--finish`."""
    _refuse_pending()
    _refuse_workers()
    if not replace and not databases.is_empty():
        raise BackupError(
            "This installation is not empty: it has users, jobs or runs. Choose another CRONIUM_DATA_DIR or database, "
            "or give --replace: the current data is kept in the data folder (SQLite) or removed (PostgreSQL)."
        )
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    with lock_data_folder("restore"):
        staged = Path(tempfile.mkdtemp(dir=settings.DATA_DIR, prefix="restore-"))  # 0700
        try:
            manifest = bundle.unpack_bundle(path, staged)
            _check_manifest(manifest, staged)
            _prepare_staged(staged, take_over, manifest["migrations"])
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        _write_pending(staged)
        finish_restore()
    return manifest


def _refuse_pending() -> None:
    if (settings.DATA_DIR / PENDING_FILE).exists():
        raise BackupError("An earlier restore was interrupted. Run `manage.py restore --finish` first.")


def _refuse_workers() -> None:
    # The data folder's locks do not show workers on other machines that use the same PostgreSQL database.
    if connection.vendor == "postgresql" and Host._meta.db_table in connection.introspection.table_names():
        refuse_live_hosts()


def _check_manifest(manifest: dict[str, Any], staged: Path) -> None:
    vendors = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
    if manifest["vendor"] != connection.vendor:
        backup_vendor, own_vendor = vendors.get(manifest["vendor"], "another database"), vendors[connection.vendor]
        raise BackupError(
            f"The backup is of {backup_vendor}, and this installation uses {own_vendor}. Set CRONIUM_DATABASE_URL."
        )
    known_migrations = {
        f"{app}.{name}" for app, name in MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    }
    if newer := sorted(set(manifest["migrations"]) - known_migrations):
        raise BackupError(
            f"The backup was created by a newer Cronium ({manifest['version']}; it has {newer[0]}). Install that "
            "version or a newer one, then restore."
        )
    if connection.vendor == "sqlite":
        databases.check_sqlite(staged / DATABASE)
    else:
        databases.check_postgres(staged / DATABASE)


def _prepare_staged(staged: Path, take_over: bool, migrations: list[str]) -> None:
    identity = make_identity()
    if not take_over:
        (staged / IDENTITY).write_text(identity)
    statements = (
        build_take_over_statements(migrations) if take_over else build_copy_statements(identity, RESTORED, migrations)
    )
    if connection.vendor == "sqlite":
        databases.run_sqlite_statements(staged / DATABASE, statements)
    else:
        (staged / "settle.json").write_text(json.dumps(statements))
    for file in staged.iterdir():
        file.chmod(0o600)
        sync_to_disk(file)
    sync_to_disk(staged)


def _write_pending(staged: Path) -> None:
    # After this the restore can always be completed.
    previous = f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    replace_text(settings.DATA_DIR / PENDING_FILE, json.dumps({"staged": staged.name, "before": previous}))


def _move_file(source: Path, target: Path) -> None:
    # Atomic, also to another file system.
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
        shutil.copy2(source, copy)
        sync_to_disk(copy)
        os.replace(copy, target)
        sync_to_disk(target.parent)
        source.unlink()


def finish_restore() -> bool:
    """Moves the staged files to their places. Every step is idempotent. False if there is nothing to finish."""
    pending = settings.DATA_DIR / PENDING_FILE
    if not pending.exists():
        return False
    record = json.loads(pending.read_text())
    staged, previous = settings.DATA_DIR / record["staged"], settings.DATA_DIR / record["before"]
    previous.mkdir(mode=0o700, exist_ok=True)
    close_connections()
    targets = {name: settings.DATA_DIR / name for name in KEYS}
    if connection.vendor == "sqlite":
        targets[DATABASE] = Path(str(connection.settings_dict["NAME"]))
    elif (staged / DATABASE).exists():
        _refuse_workers()
        databases.restore_postgres(staged / DATABASE, json.loads((staged / "settle.json").read_text()))
    for name, target in targets.items():
        if not (staged / name).exists():
            continue
        for old in (target, Path(f"{target}-wal"), Path(f"{target}-shm")):
            if old.exists():
                _move_file(old, previous / old.name)
        _move_file(staged / name, target)
        sync_to_disk(target.parent)
    if (settings.DATA_DIR / IDENTITY).exists():
        record_place(settings.DATA_DIR)
    pending.unlink()
    shutil.rmtree(staged, ignore_errors=True)
    if not any(previous.iterdir()):
        previous.rmdir()
    return True
