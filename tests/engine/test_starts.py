"""@reboot with real processes: one run for each start of the installation, not for each process."""

import signal
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.engine.scaled import Prepared, Scaled, installation, needs_services

pytestmark = needs_services


def read_rows(parts: Scaled, pk: int) -> list[dict[str, Any]]:
    """Oldest first."""
    return list(parts.call("GET", f"/schedules/{pk}/occurrences")["items"])[::-1]


def count_decided(parts: Scaled) -> int:
    """The processes that found that the installation was running when they started."""
    logs = [path.read_text(errors="replace") for path in parts.folder.glob("*.log")]
    return sum(log.count("the installation was running when this process started") for log in logs)


def stop_all(parts: Scaled) -> None:
    for process in parts.workers.values():
        process.send_signal(signal.SIGTERM)
    for process in parts.workers.values():
        process.wait(30)
    parts.workers.clear()
    parts.stop()


def test_each_start_of_the_installation_runs_once(prepared: Prepared, tmp_path: Path) -> None:
    with installation(prepared, tmp_path, 9) as parts:
        parts.start("web")
        slug = parts.job("echo hello")
        body = {"name": "at start", "rule": "@reboot"}
        pk = int(parts.call("POST", f"/jobs/{slug}/schedules", body, 201)["id"])
        stop_all(parts)

        parts.start_worker("one", key="one-1")
        parts.start_worker("two", key="two-1")
        parts.start("web")  # three processes at once
        parts.until(lambda: len(read_rows(parts, pk)) == 1)
        parts.until(lambda: count_decided(parts) == 2, 60)
        first = read_rows(parts, pk)
        assert [row["state"] for row in first] in (["ran"], ["late"]), first
        run = parts.ended(first[0]["run"])
        assert (run["status"], run["trigger"]) == ("succeeded", "schedule")
        assert datetime.fromisoformat(run["scheduled_for"]) == datetime.fromisoformat(first[0]["nominal_at"])

        parts.stop_worker("one-1", signal.SIGKILL)
        parts.start_worker("one", key="one-2")
        parts.until(lambda: count_decided(parts) == 3, 60)
        assert read_rows(parts, pk) == first, "another process was alive"

        stop_all(parts)
        parts.start_worker("one", key="one-3")
        parts.start("web")
        parts.until(lambda: len(read_rows(parts, pk)) == 2)
        parts.until(lambda: count_decided(parts) == 4, 60)
        second = read_rows(parts, pk)
        assert second[:1] == first
        assert second[1]["run"] not in (None, first[0]["run"])

        for process in (parts.workers["one-3"], parts.process):
            assert process is not None
            process.kill()
            process.wait()
        parts.workers.clear()
        parts.start("web")  # it waits until the last reports are old
        parts.start_worker("one", key="one-4")
        parts.until(lambda: len(read_rows(parts, pk)) == 3, 90)
        parts.ended(read_rows(parts, pk)[2]["run"])
        stop_all(parts)
