"""The status that a host's worker reports with each heartbeat: its engine, its resources and its load."""

import os
import socket
import threading
import time
from typing import Any

import psutil
from django.conf import settings
from django.db import connection

from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.workers.hosts.models import EMBEDDED
from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike

SECONDS = 2.0
SILENT_SECONDS = 10.0  # a request fails only after three times as long
SILENT_MESSAGE = f"The Docker Engine has not answered for {SILENT_SECONDS:g} s. Is it running? Run `manage.py doctor`."
RESOURCES_SECONDS = 60.0  # version, runtimes and resources rarely change
RESERVED_MEMORY_SHARE = 0.1  # of the engine's memory, for the system and the engine
MB = 1024 * 1024


class HostStatus(PeriodicTask):
    """A thread queries the engine; `read_columns` never waits for it."""

    def __init__(self, engine: EngineLike, closing: threading.Event | None = None) -> None:
        super().__init__("facts", self.run_once, 0.0, closing)
        self.is_known = threading.Event()  # the engine has answered or failed once
        self._engine = engine
        self._resources_at = -RESOURCES_SECONDS
        self._resources: dict[str, Any] = {}
        self._columns: dict[str, Any] = {}
        self._asked_at: float | None = None  # start of the pending query

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
        columns = {"load": os.getloadavg()[0], "memory_used_bytes": read_used_memory()} | self._columns
        asked_at = self._asked_at
        if asked_at is not None and time.monotonic() - asked_at > SILENT_SECONDS:
            columns["engine_error"] = columns.get("engine_error") or SILENT_MESSAGE
        return columns

    def _ask_engine(self) -> dict[str, Any]:
        cpus, memory = self._engine.read_resources()
        configured = settings.CONFIG.host_memory_mb
        return {
            "engine_version": self._engine.version,
            "runtimes": list(self._engine.list_runtimes()),
            "cpus": cpus,
            "memory_bytes": configured * MB if configured else int(memory * (1 - RESERVED_MEMORY_SHARE)),
        }


def get_own_host_name() -> str:
    return EMBEDDED if connection.vendor == "sqlite" else socket.gethostname()


def read_used_memory() -> int:
    memory = psutil.virtual_memory()
    return memory.total - memory.available
