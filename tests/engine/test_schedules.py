"""Schedules of a real server: each nominal time has one row and at most one run, also if the server is killed."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.engine.server import Server


@pytest.fixture
def mortal(new_server: Callable[..., Server]) -> Iterator[Server]:
    """A started server, which tests may kill."""
    server = new_server(CRONIUM_MAX_CONCURRENT="12", CRONIUM_CANARY="off").start()
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)
        server.sweep()


def schedule(server: Server, slug: str, **fields: Any) -> int:
    body = {"name": "every second", "rule": "* * * * * *", "overlap": "allow", **fields}
    return int(server.call("POST", f"/jobs/{slug}/schedules", body, 201)["id"])


def read_ledger(server: Server, pk: int) -> list[dict[str, Any]]:
    """Oldest first."""
    rows: list[dict[str, Any]] = []
    page = server.call("GET", f"/schedules/{pk}/occurrences")
    rows += page["items"]
    while page["next"]:
        page = server.call("GET", f"/schedules/{pk}/occurrences?after={page['next']}")
        rows += page["items"]
    return rows[::-1]


def check_every_second(rows: list[dict[str, Any]]) -> None:
    """No nominal time is missing, and none comes twice."""
    times = [datetime.fromisoformat(row["nominal_at"]) for row in rows]
    assert {after - before for before, after in pairwise(times)} == {timedelta(seconds=1)}, times


def test_a_schedule_runs_a_job_which_knows_its_time(mortal: Server) -> None:
    slug = mortal.job('cronium_event scheduled_for; cronium_event trigger; echo "$(cronium_input)"', input={"day": 1})
    pk = schedule(mortal, slug, input={"day": 2})
    mortal.until(lambda: any(row["run"] for row in read_ledger(mortal, pk)))
    mortal.call("PATCH", f"/schedules/{pk}", {"enabled": False})
    row = read_ledger(mortal, pk)[0]
    run = mortal.ended(row["run"])
    assert (run["status"], run["trigger"], run["caused_by"]) == ("succeeded", "schedule", f"schedule:{pk}")
    assert datetime.fromisoformat(run["scheduled_for"]) == datetime.fromisoformat(row["nominal_at"])
    said = mortal.text(row["run"]).decode()
    assert row["nominal_at"][:19] in said
    assert '"day"' in said and "schedule" in said  # noqa: PT018 - one line of output each


def test_a_killed_server_loses_and_doubles_no_time(mortal: Server) -> None:
    pk = schedule(mortal, mortal.job("true"))
    for _ in range(3):
        mortal.until(lambda: bool(read_ledger(mortal, pk)))
        time.sleep(1.5)
        mortal.stop(signal.SIGKILL)
        time.sleep(3)
        mortal.start()
    before = len(read_ledger(mortal, pk))
    mortal.until(lambda: len(read_ledger(mortal, pk)) > before + 2)
    mortal.call("PATCH", f"/schedules/{pk}", {"enabled": False})
    rows = read_ledger(mortal, pk)
    check_every_second(rows)
    assert {row["state"] for row in rows} <= {"ran", "late"}
    runs = [row["run"] for row in rows]
    assert None not in runs
    assert len(set(runs)) == len(runs)
    ends = [mortal.ended(run_id) for run_id in runs]
    # A kill between the start and the script leaves it unknown whether the script began: such a run is not repeated.
    assert {run["status"] for run in ends} <= {"succeeded", "errored"}, ends
    assert any(run["status"] == "succeeded" for run in ends)


def test_runs_of_a_schedule_that_queues_take_turns(mortal: Server) -> None:
    slug = mortal.job(
        '[ "$(cronium_increment_variable live)" = 1 ] || exit 9; sleep 1; cronium_increment_variable live -1'
    )
    pk = schedule(mortal, slug, overlap="queue_all")
    mortal.until(lambda: sum(bool(row["run"]) for row in read_ledger(mortal, pk)) >= 4)
    mortal.call("PATCH", f"/schedules/{pk}", {"enabled": False})
    runs = [row["run"] for row in read_ledger(mortal, pk) if row["run"]]
    assert [mortal.ended(run_id)["exit_code"] for run_id in runs[:4]] == [0] * 4
    for run_id in runs[4:]:
        with suppress(AssertionError):
            mortal.cancel(run_id)
