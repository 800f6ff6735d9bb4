"""Checks whether this host's engine answers, and which queues the host may claim from while it does not."""

import time

from cronium_admin.workers.hosts.service import fetch_hosts
from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike

LONG_OUTAGE_SECONDS = 20.0  # longer than a restart of the engine; until then runs wait, and another host may take them


class EngineHealth:
    """Checked before each claim, so that a host without an engine does not fail all waiting runs."""

    def __init__(self, host: str, engine: EngineLike, queues: tuple[str, ...]) -> None:
        self._host, self._engine, self._queues = host, engine, queues
        self._away_since: float | None = None

    def is_reachable(self) -> bool:
        try:
            self._engine.ping()
            self._away_since = None
        except EngineError:
            self._away_since = self._away_since or time.monotonic()
        return self._away_since is None

    def is_away_for_long(self) -> bool:
        return self._away_since is not None and time.monotonic() - self._away_since > LONG_OUTAGE_SECONDS

    def find_sole_queues(self) -> tuple[str, ...]:
        others = [host for host in fetch_hosts() if host.takes_runs and host.row.name != self._host]
        return tuple(queue for queue in self._queues if not any(queue in host.queues for host in others))
