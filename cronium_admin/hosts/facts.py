"""What a host's worker tells of itself with each heartbeat: its engine, what it has to give, how busy it is."""

import os
import socket
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from cronium_admin.hosts.models import EMBEDDED
from executor.errors import EngineError
from executor.sandbox import EngineLike

AGAIN_SECONDS = 60.0  # an engine rarely learns another runtime
KEPT_BACK = 0.1  # of the engine's memory, for the system and the engine itself
MB = 1024 * 1024


class HostFacts:
    """Asked every few seconds by one thread; what rarely changes is asked of the engine once a minute."""

    def __init__(self, engine: EngineLike) -> None:
        self._engine = engine
        self._at = -AGAIN_SECONDS
        self._lasting: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """Columns of the host's row. An engine that does not answer is told as `engine_error`."""
        busy: dict[str, Any] = {"load": os.getloadavg()[0], "memory_used_bytes": memory_used()}
        try:
            self._engine.ping()
            if time.monotonic() - self._at > AGAIN_SECONDS:
                self._lasting, self._at = self._ask(), time.monotonic()
            return busy | self._lasting | {"engine_error": ""}
        except EngineError as error:
            return busy | {"engine_error": str(error)}

    def _ask(self) -> dict[str, Any]:
        cpus, memory = self._engine.resources()
        own = settings.CONFIG.host_memory_mb
        return {
            "engine_version": self._engine.version,
            "runtimes": list(self._engine.runtimes()),
            "cpus": cpus,
            "memory_bytes": own * MB if own else int(memory * (1 - KEPT_BACK)),
        }


def own_name() -> str:
    """What this machine's host is called unless it was told: as `serve` or as `worker` names it."""
    return EMBEDDED if connection.vendor == "sqlite" else socket.gethostname()


def memory_used() -> int | None:
    """Bytes of this machine's memory that are not available; None where the kernel doesn't tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        known = {name: int(rest.split()[0]) * 1024 for name, rest in (line.split(":", 1) for line in lines)}
        return known["MemTotal"] - known["MemAvailable"]
    except (OSError, KeyError, ValueError, IndexError):
        return None
