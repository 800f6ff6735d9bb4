"""Schedules under faults: they come due beside the requested runs, and are checked against their ledger."""

import time
from collections import Counter
from contextlib import suppress
from typing import Any

import httpx
import psycopg

from tests.chaos.check import TERMINAL
from tests.chaos.cluster import Cluster
from tests.engine.ledger import check_schedule

# Rule, overlap, and whether the job is enabled. The schedule of a disabled job has a row each second, but no run.
SCHEDULES = (("*/10 * * * * *", "allow", True), ("*/4 * * * * *", "skip", True), ("* * * * * *", "allow", False))
DECIDED_SECONDS = 60.0  # from the end of the faults until all times are decided


class ScheduleLoad:
    """Create and start it while nothing is broken; stop it when nothing is broken any more."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._ids: list[int] = []

    def start(self) -> None:
        for number, (rule, overlap, is_enabled) in enumerate(SCHEDULES):
            slug = f"scheduled-{number}"
            job = {"name": slug, "slug": slug, "language": "bash", "script": "true", "timeout_seconds": 60}
            self._demand("POST", "/jobs", {**job, "enabled": is_enabled})
            body = {"name": "chaos", "rule": rule, "overlap": overlap, "missed": "all"}
            self._ids.append(int(self._demand("POST", f"/jobs/{slug}/schedules", body)["id"]))

    def stop(self) -> list[str]:
        """Waits until the schedules work again, then switches them off. Returns violations."""
        end, late = time.monotonic() + DECIDED_SECONDS, list[str]()
        while rows := self._fetch("SELECT id FROM schedules_schedule WHERE due_at < now() - INTERVAL '5 seconds'"):
            if time.monotonic() > end:
                late = [f"schedule {pk}: its times are not decided after {DECIDED_SECONDS:.0f} s" for (pk,) in rows]
                break
            time.sleep(0.5)
        for pk in self._ids:
            self._switch_off(pk, end + DECIDED_SECONDS)
        return late

    def list_run_ids(self) -> list[str]:
        return [str(pk) for pk, _ in self._list_runs()]

    def is_settled(self) -> bool:
        return all(status in TERMINAL for _, status in self._list_runs())

    def find_violations(self) -> list[str]:
        states, runs, violations = Counter[str](), 0, list[str]()
        with psycopg.connect(self.cluster.env["CRONIUM_DATABASE_URL"]) as connection:
            for pk in self._ids:
                report = check_schedule(connection, pk)
                violations += report.violations
                states += report.states
                runs += report.runs
        violations += [
            f"run {pk} of a schedule is {status}" for pk, status in self._list_runs() if status not in TERMINAL
        ]
        for state, count in sorted(states.items()):
            print(f"  schedules: {state:21} {count}")
        print(f"  schedules: runs {runs:>21}")
        return violations

    def _switch_off(self, pk: int, end: float) -> None:
        while True:
            with suppress(httpx.TransportError):
                response = self.cluster.client.patch(f"/schedules/{pk}", json={"enabled": False})
                if response.status_code == 200:
                    return
            assert time.monotonic() < end, f"the schedule {pk} could not be switched off"
            time.sleep(0.5)

    def _list_runs(self) -> list[tuple[Any, ...]]:
        return self._fetch("SELECT id, status FROM runs_run WHERE caused_by LIKE 'schedule:%'")

    def _fetch(self, text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.cluster.env["CRONIUM_DATABASE_URL"]) as connection:
            return connection.execute(text).fetchall()  # type: ignore[arg-type]

    def _demand(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self.cluster.client.request(method, path, json=body)
        assert response.status_code == 201, f"{path}: {response.status_code} {response.text}"
        return dict(response.json())
