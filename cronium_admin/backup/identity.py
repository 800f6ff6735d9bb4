"""Gives a copy of an installation a new identity or that of the original: after a restore, or by command.

A copy never changes objects of the original. Its rows of live runs refer to containers of the original, so they end.
"""

import fcntl
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction

from cronium_admin.backup import databases
from cronium_admin.backup.errors import BackupError
from cronium_admin.core.data_folder import replace_text
from cronium_admin.workers.instance import IDENTITY, record_database_place, record_place
from cronium_admin.workers.lease import list_led_hosts


@dataclass(frozen=True)
class Origin:
    """How the copy was created: the reason and the message of the runs that were live then."""

    reason: str
    description: str


RESTORED = Origin("restored", "when the backup was made")
COPIED = Origin("copied", "when this installation was copied from its original")


def make_identity() -> str:
    return secrets.token_urlsafe(9)


# Statements about tables and columns that older backups lack, with the migration that creates each.
_OF_LATER_MIGRATIONS = {
    "core.0001_leases": "UPDATE core_lease SET owner = '', lease_expires_at = NULL",
    "warm.0001_initial": "DELETE FROM warm_warmsandbox",  # they wait in processes of the original
    # The original delivers the events that its consumers have not read; a copy begins without events.
    "runs.0022_outbox": "DELETE FROM runs_outboxevent",
}
_COPIED_SCHEDULE = "Disabled: this installation is a copy. Enable it if the original does not run it any more."
_OF_COPY = {
    "schedules.0001_initial": f"UPDATE schedules_schedule SET enabled = FALSE, problem = '{_COPIED_SCHEDULE}'",  # noqa: S608
    # Pings go to the original.
    "expectations.0002_checks": "UPDATE expectations_check SET enabled = FALSE, expected_at = NULL, due_at = NULL",
}
_OF_PLACE = {
    "hosts.0011_place": "UPDATE hosts_installation SET place = NULL",  # the next start records its own
    # Nothing that was due between the backup and now is run.
    "schedules.0001_initial": "UPDATE schedules_schedule SET cursor_at = CURRENT_TIMESTAMP",
    "schedules.0003_blackouts": "UPDATE schedules_schedule SET planned_after = CURRENT_TIMESTAMP",
}


def build_copy_statements(identity: str, origin: Origin, migrations: Collection[str]) -> list[str]:
    """SQL for both databases. Live runs and the objects of the archive belong to the original.

    `migrations` are those of the copy, as app.name.
    """
    lost = f"This run was live {origin.description}. Its result is not known. Run it again if that is safe."
    not_run = f"This run was queued {origin.description}. Run it again if that is safe."
    assignments = (
        "finished_at = CURRENT_TIMESTAMP, cleaned_at = CURRENT_TIMESTAMP, lease_expires_at = NULL, lease_owner = ''"
    )
    update = (
        f"UPDATE runs_run SET status = '{{}}', reason = '{origin.reason}', message = '{{}}', {assignments} "  # noqa: S608
        "WHERE status IN ({})"
    )
    return [
        update.format("lost", lost, "'starting', 'running'"),
        update.format("cancelled", not_run, "'queued'"),
        "UPDATE hosts_host SET owner = '', lease_expires_at = NULL, heartbeat_at = NULL",
        f"UPDATE hosts_installation SET instance = '{identity}'",  # noqa: S608 - made here
        "UPDATE logs_logobject SET shared = TRUE",
        *(sql for of in (_OF_LATER_MIGRATIONS, _OF_COPY) for migration, sql in of.items() if migration in migrations),
        *build_take_over_statements(migrations),
    ]


def build_take_over_statements(migrations: Collection[str]) -> list[str]:
    """SQL for both databases, for a copy that continues as the original in another place."""
    return [statement for migration, statement in _OF_PLACE.items() if migration in migrations]


@contextmanager
def lock_data_folder(next_step: str) -> Iterator[None]:
    """Holds the locks of this data folder's workers. Raises BackupError if a worker runs."""
    locks = []
    try:
        for path in settings.DATA_DIR.glob("worker-*.lock"):
            file = path.open("wb")
            locks.append(file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BackupError(f"Cronium is running on this data folder. Stop it, then {next_step}.") from None
        yield
    finally:
        for file in locks:
            file.close()


def take_new_identity() -> tuple[str, int]:
    """Gives this installation a new identity; returns it, and the number of live runs that ended.

    Idempotent after an interruption: the identity changes last, and until then the copy does not start.
    """
    with lock_data_folder("give it a new identity"):
        if connection.vendor != "sqlite":
            refuse_live_hosts("A copied database needs a new identity before its first worker starts.")
        identity, ended = make_identity(), 0
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in build_copy_statements(identity, COPIED, databases.list_applied_migrations()):
                cursor.execute(statement)
                ended += cursor.rowcount if "runs_run" in statement else 0
        if connection.vendor == "sqlite":
            _write_identity(identity)
    return identity, ended


def take_over_identity() -> None:
    """Continues as the original, which must never run again."""
    if connection.vendor != "sqlite":
        with lock_data_folder("take over"):
            refuse_live_hosts("The workers of the original must not run.")
            if not record_database_place():
                raise BackupError("This database has no identity yet. The first start creates it.")
        return
    if not (settings.DATA_DIR / IDENTITY).exists():
        raise BackupError("This data folder has no identity yet. The first start creates it.")
    with lock_data_folder("take over"):
        record_place(settings.DATA_DIR)


def refuse_live_hosts(advice: str = "") -> None:
    """Raises BackupError if a worker on any machine holds a host lease in this database."""
    if names := sorted(list_led_hosts()):
        raise BackupError(
            f"Workers use this database: {', '.join(names[:5])}. Stop them, wait 20 seconds, then try again. {advice}"
        )


def _write_identity(identity: str) -> None:
    # Between the two steps the folder counts as a copy, and the command can be repeated.
    replace_text(settings.DATA_DIR / IDENTITY, identity)
    record_place(settings.DATA_DIR)
