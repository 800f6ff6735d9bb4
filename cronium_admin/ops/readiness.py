"""The readiness of this process: checks each part with a timeout, at most once a second.

The result names the failed parts without a reason, because it is public; the reason is in the server's log.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from cronium_admin.core.command_line import list_own_paths
from cronium_admin.core.database.clock import Now
from cronium_admin.core.database.migration_state import list_unapplied_migrations
from cronium_admin.core.database.threads import close_connections
from cronium_admin.workers import process
from cronium_admin.workers.health.checks.services import send_through_layer
from cronium_admin.workers.hosts.models import Host

log = logging.getLogger("cronium.ready")
CACHE_SECONDS = 1.0
PART_SECONDS = 2.0
REDIS_SECONDS = 1.0
LEAST_FREE_BYTES, LEAST_FREE_SHARE = 64 * 1024 * 1024, 0.02  # the smaller of both applies
MAX_HEARTBEAT_AGE = timedelta(seconds=30)

_migrated: frozenset[tuple[str, str]] | None = None


def _check_database() -> bool:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW transaction_read_only")
            return bool(cursor.fetchone() == ("off",))
        cursor.execute("SELECT 1")
    # Taking the write lock would wait for other writers.
    path = Path(str(connection.settings_dict["NAME"]))
    return not path.is_absolute() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _check_migrations() -> bool:
    # The plan of migrations reads files, so after the first success only rows are compared.
    global _migrated
    if _migrated is None:
        executor = MigrationExecutor(connection)
        if list_unapplied_migrations(executor):
            return False
        _migrated = frozenset(executor.loader.applied_migrations)
    return _migrated <= MigrationRecorder(connection).applied_migrations().keys()


def _check_broker() -> bool:
    if not (address := settings.CONFIG.redis):
        return True  # the broker is in this process
    with address.make_client(REDIS_SECONDS) as client:
        return bool(client.ping())


def _check_channel_layer() -> bool:
    asyncio.run(send_through_layer(REDIS_SECONDS))
    return True


def _check_runner() -> bool:
    worker = process.get_current_worker()
    return (
        worker is None
        or Host.objects.filter(name=worker.runner.host, heartbeat_at__gt=Now() - MAX_HEARTBEAT_AGE).exists()
    )


def _check_disk() -> bool:
    folders = [path if path.is_dir() else path.parent for path in list_own_paths()]
    return all(_has_room(path) for path in folders)


def _has_room(folder: Path) -> bool:
    status = os.statvfs(folder)
    free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    has_names = status.f_files == 0 or status.f_favail > 0  # some file systems do not count inodes
    return free >= min(LEAST_FREE_BYTES, total * LEAST_FREE_SHARE) and has_names


CHECKS: dict[str, Callable[[], bool]] = {
    "database": _check_database,
    "migrations": _check_migrations,
    "disk": _check_disk,
    "broker": _check_broker,
    "channel_layer": _check_channel_layer,
    "runner": _check_runner,
}


class Readiness:
    """Runs the checks in parallel and caches their results. A check that hangs has failed; it is not started again
    before it ends, so there is at most one thread per check."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(len(CHECKS), "ready")
        self._futures: dict[str, Future[bool]] = {}
        self._at = -CACHE_SECONDS
        self._results: dict[str, bool] = {}

    def check_parts(self) -> dict[str, bool]:
        """By name, whether the part is ready. At most CACHE_SECONDS old, plus the time of the checks."""
        with self._lock:
            if time.monotonic() - self._at >= CACHE_SECONDS:
                self._results = self._run_checks()
                self._at = time.monotonic()
            return self._results

    def _run_checks(self) -> dict[str, bool]:
        for name, part in CHECKS.items():
            if name not in self._futures or self._futures[name].done():
                self._futures[name] = self._pool.submit(_run_check, name, part)
        wait(self._futures.values(), PART_SECONDS)
        return {name: future.done() and future.result() for name, future in self._futures.items()}


def _run_check(name: str, part: Callable[[], bool]) -> bool:
    try:
        return part()
    except Exception as error:  # noqa: BLE001 - after any error the part is not ready
        log.warning("%s is not ready (%s)", name, type(error).__name__)
        return False
    finally:
        close_connections()  # the next check opens a new connection, and so detects a removed file


readiness = Readiness()
