"""Creates a backup: the database with its logs, the keys, and the facts that a restore checks."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from cronium_admin.backup import bundle, databases
from cronium_admin.backup.errors import BackupError

DATABASE = "database"
KEYS = ("secret_key", "encryption_key", "instance_id")  # files of the data folder


def create_backup(path: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Writes the backup to `path` while Cronium runs; returns its facts, size and keys. Raises BackupError."""
    if path.exists() and not overwrite:
        raise BackupError(f"{path} already exists. Choose another name, or give --overwrite.")
    if not path.parent.is_dir():
        raise BackupError(f"There is no folder {path.parent}. Create it, or choose another one.")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".cronium-backup-") as folder:
            dumped = Path(folder) / DATABASE
            databases.dump_database(dumped)
            keys = {name: settings.DATA_DIR / name for name in KEYS if (settings.DATA_DIR / name).is_file()}
            facts = _collect_facts(dumped)
            bundle.write_bundle(path, facts, {DATABASE: dumped, **keys})
    except OSError as error:
        raise BackupError(f"The backup can't be written to {path}: {error}.") from error
    return facts | {"bytes": path.stat().st_size, "keys": list(keys)}


def _collect_facts(dumped: Path) -> dict[str, Any]:
    sqlite = connection.vendor == "sqlite"
    return {
        "version": settings.VERSION,
        "vendor": connection.vendor,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "migrations": databases.list_applied_migrations(dumped if sqlite else None),
    }
