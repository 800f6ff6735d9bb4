"""Time until a restarted server adopts its runs after a kill, and time until a cancel has stopped a script."""

import os
import signal
import time
from typing import Any

from bench.results import Results
from bench.server import Server, run_server

OBEDIENT = "echo up; exec sleep 300"
STUBBORN = "trap '' TERM; echo up; while true; do sleep 1; done"
POLL_SECONDS = 0.05


def _wait_for(server: Server, run_id: str, kind: str) -> dict[str, Any]:
    """Returns the run as soon as its status is `kind` or it has an event of that kind."""
    while True:
        run: dict[str, Any] = server.call_api("GET", f"/runs/{run_id}")
        if run["status"] == kind or any(event["kind"] == kind for event in run["events"]):
            return run
        time.sleep(POLL_SECONDS)


def _start_run(server: Server, slug: str) -> str:
    run_id = str(server.call_api("POST", f"/jobs/{slug}/runs")["id"])
    while not server.call_api("GET", f"/runs/{run_id}/logs")["lines"]:
        time.sleep(POLL_SECONDS)
    return run_id


def _time_cancel(server: Server, slug: str) -> float:
    run_id = _start_run(server, slug)
    started_at = time.monotonic()
    server.call_api("POST", f"/runs/{run_id}/cancel")
    _wait_for(server, run_id, "cancelled")
    return time.monotonic() - started_at


def measure(rounds: int = 5) -> None:
    results = Results("recovery")
    with run_server() as server:
        for slug, script in (("obeys", OBEDIENT), ("stubborn", STUBBORN)):
            server.call_api("POST", "/jobs", {"name": slug, "slug": slug, "language": "bash", "script": script})
        for slug in ("obeys", "stubborn"):
            times = [_time_cancel(server, slug) for _ in range(rounds)]
            results.add(f"cancel, script {slug}", times)
        times = []
        for _ in range(rounds):
            run_id = _start_run(server, "obeys")
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
            started_at = time.monotonic()
            server.restart()
            _wait_for(server, run_id, "adopted")
            times.append(time.monotonic() - started_at)
            server.call_api("POST", f"/runs/{run_id}/cancel")
            _wait_for(server, run_id, "cancelled")
        results.add("killed, started again, adopted; includes the server's start", times)
    results.write()
