"""How soon a killed server's runs have a new owner, and how soon a cancel has stopped a script."""

import os
import signal
import statistics
import time
from typing import Any

from bench.server import Server, serving

UP = "echo up; exec sleep 300"
STUBBORN = "trap '' TERM; echo up; while true; do sleep 1; done"
POLL_SECONDS = 0.05


def _until(server: Server, run_id: str, seen: str) -> dict[str, Any]:
    """The run, once its status or one of its events is `seen`."""
    while True:
        run: dict[str, Any] = server.ask("GET", f"/runs/{run_id}")
        if run["status"] == seen or any(event["kind"] == seen for event in run["events"]):
            return run
        time.sleep(POLL_SECONDS)


def _begin(server: Server, slug: str) -> str:
    run_id = str(server.ask("POST", f"/jobs/{slug}/runs")["id"])
    while not server.ask("GET", f"/runs/{run_id}/logs")["lines"]:
        time.sleep(POLL_SECONDS)
    return run_id


def _cancelled_after(server: Server, slug: str) -> float:
    run_id = _begin(server, slug)
    began = time.monotonic()
    server.ask("POST", f"/runs/{run_id}/cancel")
    _until(server, run_id, "cancelled")
    return time.monotonic() - began


def measure(rounds: int = 5) -> None:
    with serving() as server:
        for slug, script in (("obeys", UP), ("stubborn", STUBBORN)):
            server.ask("POST", "/jobs", {"name": slug, "slug": slug, "language": "bash", "script": script})
        for slug in ("obeys", "stubborn"):
            times = [_cancelled_after(server, slug) for _ in range(rounds)]
            print(f"cancel, a script that {slug:10} median {statistics.median(times):.2f} s   max {max(times):.2f} s")
        times = []
        for _ in range(rounds):
            run_id = _begin(server, "obeys")
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
            began = time.monotonic()
            server.start_again()
            _until(server, run_id, "adopted")
            times.append(time.monotonic() - began)
            server.ask("POST", f"/runs/{run_id}/cancel")
            _until(server, run_id, "cancelled")
        print(
            f"killed, started again, adopted   median {statistics.median(times):.2f} s   max {max(times):.2f} s, "
            "the start of the server included"
        )
