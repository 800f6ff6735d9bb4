"""What a host's worker tells of itself with each heartbeat: its engine, what it has to give, how busy it is."""

import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.workers.hosts.models import EMBEDDED
from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike

SECONDS = 2.0
SILENT_SECONDS = 10.0  # a request may take three times as long before it fails
SILENT_MESSAGE = (
    f"The Docker Engine has not answered for {SILENT_SECONDS:g} s. Is it running? `manage.py doctor` tells more."
)
RESOURCES_SECONDS = 60.0  # an engine rarely learns another runtime
RESERVED_MEMORY_SHARE = 0.1  # of the engine's memory, for the system and the engine itself
MB = 1024 * 1024


class HostStatus(PeriodicTask):
    """A thread asks the engine, which may take its time; `read` never waits for it.

    What rarely changes is asked once a minute.
    """

    def __init__(self, engine: EngineLike, closing: threading.Event | None = None) -> None:
        super().__init__("facts", self.run_once, 0.0, closing)
        self.is_known = threading.Event()  # the engine has answered once, or has been found not to
        self._engine = engine
        self._resources_at = -RESOURCES_SECONDS
        self._resources: dict[str, Any] = {}
        self._columns: dict[str, Any] = {}
        self._asked_at: float | None = None  # while it has not answered yet

    def run_once(self) -> float:
        self._asked_at = time.monotonic()
        try:
            self._engine.ping()
            if time.monotonic() - self._resources_at > RESOURCES_SECONDS:
                self._resources, self._resources_at = self._ask_engine(), time.monotonic()
            self._columns = self._resources | {"engine_error": ""}
        except EngineError as error:
            self._columns = {"engine_error": str(error)}
        finally:
            self._asked_at = None
            self.is_known.set()
        return SECONDS

    def read_columns(self) -> dict[str, Any]:
        """Columns of the host's row, as known by now. An engine that does not answer is told as `engine_error`."""
        told = {"load": os.getloadavg()[0], "memory_used_bytes": read_used_memory()} | self._columns
        asked_at = self._asked_at
        if asked_at is not None and time.monotonic() - asked_at > SILENT_SECONDS:
            told["engine_error"] = told.get("engine_error") or SILENT_MESSAGE
        return told

    def _ask_engine(self) -> dict[str, Any]:
        cpus, memory = self._engine.read_resources()
        own = settings.CONFIG.host_memory_mb
        return {
            "engine_version": self._engine.version,
            "runtimes": list(self._engine.list_runtimes()),
            "cpus": cpus,
            "memory_bytes": own * MB if own else int(memory * (1 - RESERVED_MEMORY_SHARE)),
        }


def get_own_host_name() -> str:
    """What this machine's host is called unless it was told: as `serve` or as `worker` names it."""
    return EMBEDDED if connection.vendor == "sqlite" else socket.gethostname()


def read_used_memory() -> int | None:
    """Bytes of this machine's memory that are not available; None where the kernel doesn't tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        known = {name: int(rest.split()[0]) * 1024 for name, rest in (line.split(":", 1) for line in lines)}
        return known["MemTotal"] - known["MemAvailable"]
    except (OSError, KeyError, ValueError, IndexError):
        return None
