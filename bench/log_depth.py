"""Reading a long log anywhere beside a short one, and searching it; pages and routes with very many runs."""

import json
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx

from bench.first_line import percentile
from bench.server import ROOT, Server, serving

SHORT, LONG = 5_000, 5_000_000
RUNS = 100_000


def _fill(server: Server, *arguments: str) -> str:
    command = [sys.executable, "-m", "bench.fill", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=server.environment, capture_output=True, text=True, check=True)
    return done.stdout


def _log(server: Server, lines: int) -> str:
    """The id of a run with a log of so many lines. It is launched where no host takes it."""
    run_id = str(server.ask("POST", "/jobs/depth/runs")["id"])
    began = time.monotonic()
    _fill(server, "log", run_id, str(lines))
    print(f"  a log of {lines:,} lines was written in {time.monotonic() - began:.1f} s")
    return run_id


def _times(ask: Callable[[], object], times: int = 60) -> list[float]:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        found.append((time.perf_counter() - began) * 1000)
    return found


def _say(name: str, values: list[float]) -> None:
    print(f"  {name:52} median {statistics.median(values):7.2f} ms   p95 {percentile(values, 0.95):7.2f} ms")


def depth(server: Server, browser: httpx.Client) -> None:
    runs = {lines: _log(server, lines) for lines in (SHORT, LONG)}
    rng = random.Random(3)
    for lines, run_id in runs.items():
        _say(f"200 lines from the store, of {lines:,}", json.loads(_fill(server, "windows", run_id)))
    for lines, run_id in runs.items():

        def window(lines: int = lines, run_id: str = run_id) -> object:
            return server.ask("GET", f"/runs/{run_id}/logs?after={rng.randrange(lines - 200)}&limit=200")

        _say(f"200 lines over HTTP, of {lines:,}", _times(window))
    for lines, run_id in runs.items():
        _say(f"the run's page, of {lines:,} lines", _times(lambda run_id=run_id: browser.get(f"/runs/{run_id}/")))
    for query in ("q=no+such+words", "q=no+s.ch+words&regex=true", "q=No+Such+Words&ignore_case=true"):
        _search(server, runs[LONG], query)
    began = time.monotonic()
    size = len(httpx.get(f"{server.url}/runs/{runs[LONG]}/logs.txt", headers=_token(server), timeout=120).content)
    print(f"  logs.txt of {size / 1e6:.0f} MB downloaded in {time.monotonic() - began:.2f} s")


def _token(server: Server) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}", "Accept-Encoding": "identity"}


def _search(server: Server, run_id: str, query: str) -> None:
    began, after, found, calls = time.monotonic(), 0, 0, 0
    while True:
        page = server.ask("GET", f"/runs/{run_id}/logs/find?{query}&after={after}")
        found, after, calls = found + page["count"], page["next"], calls + 1
        if page["ended"]:
            break
    words = f"{query} over {LONG * 100 / 1e6:,.0f} MB"
    print(f"  {words:62} {time.monotonic() - began:.2f} s in {calls} calls, {found:,} lines")


def storage(server: Server) -> None:
    with closing(sqlite3.connect(Path(server.environment["CRONIUM_DATA_DIR"]) / "cronium.sqlite3")) as database:
        query = 'SELECT sum(length(data)), sum(length("index")), sum(bytes), count(*) FROM logs_logchunk'
        data, index, text, rows = database.execute(query).fetchone()
    words = f"{text / 1e6:,.0f} MB of numbered lines of words are {data / 1e6:,.1f} MB of packed lines in {rows:,} rows"
    print(f"  {words}, {(data + index) / text:.4f} bytes a byte")


def rows(server: Server, browser: httpx.Client) -> None:
    asked = {
        "the page of jobs": lambda: browser.get("/jobs/"),
        "the page of runs": lambda: browser.get("/runs/"),
        "the page of one job": lambda: browser.get("/jobs/depth/"),
        "the page of hosts": lambda: browser.get("/hosts/"),
        "GET /runs": lambda: server.ask("GET", "/runs"),
        "GET /runs?job=&status=failed": lambda: server.ask("GET", "/runs?job=depth&status=failed"),
        "GET /jobs": lambda: server.ask("GET", "/jobs"),
        "GET /metrics": lambda: httpx.get(f"{server.url}/metrics", headers=_token(server), timeout=60),
    }
    before = {name: _times(ask, 20) for name, ask in asked.items()}
    _fill(server, "runs", "depth", str(RUNS))
    after = {name: _times(ask, 20) for name, ask in asked.items()}
    print(f"pages and routes with few runs, and with {RUNS:,} more")
    for name in asked:
        few, many = statistics.median(before[name]), statistics.median(after[name])
        print(f"  {name:34} {few:7.1f} ms   {many:7.1f} ms   ratio {many / few:.2f}")


def measure() -> None:
    with serving() as server:
        job = {"name": "Depth", "slug": "depth", "language": "bash", "script": "echo", "queue": "nobody"}
        server.ask("POST", "/jobs", job)
        browser = server.browser()
        print("reading at depth")
        depth(server, browser)
        storage(server)
        rows(server, browser)
