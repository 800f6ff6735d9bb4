"""Random reads and searches in a long log, compared with a short log; pages and routes with 100,000 runs."""

import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx

from bench.results import Results
from bench.server import ROOT, Server, run_server

SHORT, LONG = 5_000, 5_000_000
RUNS = 100_000


def _run_fill(server: Server, *arguments: str) -> str:
    command = [sys.executable, "-m", "bench.fill", *arguments]
    result = subprocess.run(command, cwd=ROOT, env=server.environment, capture_output=True, text=True, check=True)
    return result.stdout


def _create_log(server: Server, lines: int) -> str:
    """Returns the id of a run with that many log lines. No host serves the queue of the run."""
    run_id = str(server.call_api("POST", "/jobs/depth/runs")["id"])
    started_at = time.monotonic()
    _run_fill(server, "log", run_id, str(lines))
    print(f"  a log of {lines:,} lines was written in {time.monotonic() - started_at:.1f} s")
    return run_id


def _time_calls(call: Callable[[], object], repeats: int = 60) -> list[float]:
    durations = []
    for _ in range(repeats):
        started_at = time.perf_counter()
        call()
        durations.append((time.perf_counter() - started_at) * 1000)
    return durations


def measure_reads(results: Results, server: Server, browser: httpx.Client) -> None:
    runs = {lines: _create_log(server, lines) for lines in (SHORT, LONG)}
    rng = random.Random(3)
    for lines, run_id in runs.items():
        results.add(f"200 lines from the store, of {lines:,}", json.loads(_run_fill(server, "windows", run_id)), "ms")
    for lines, run_id in runs.items():

        def read_window(lines: int = lines, run_id: str = run_id) -> object:
            return server.call_api("GET", f"/runs/{run_id}/logs?after={rng.randrange(lines - 200)}&limit=200")

        results.add(f"200 lines over HTTP, of {lines:,}", _time_calls(read_window), "ms")
    for lines, run_id in runs.items():
        page = partial(browser.get, f"/runs/{run_id}/")
        results.add(f"the run's page, of {lines:,} lines", _time_calls(page), "ms")
    for query in ("q=no+such+words", "q=no+s.ch+words&regex=true", "q=No+Such+Words&ignore_case=true"):
        _measure_search(results, server, runs[LONG], query)
    started_at = time.monotonic()
    size = len(
        httpx.get(f"{server.url}/runs/{runs[LONG]}/logs.txt", headers=_create_headers(server), timeout=120).content
    )
    seconds = time.monotonic() - started_at
    results.add_fact(f"logs.txt of {size / 1e6:.0f} MB, downloaded", seconds, f"{seconds:.2f} s")


def _create_headers(server: Server) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}", "Accept-Encoding": "identity"}


def _measure_search(results: Results, server: Server, run_id: str, query: str) -> None:
    started_at, after, matches, calls = time.monotonic(), 0, 0, 0
    while True:
        page = server.call_api("GET", f"/runs/{run_id}/logs/find?{query}&after={after}")
        matches, after, calls = matches + page["count"], page["next"], calls + 1
        if page["ended"]:
            break
    seconds = time.monotonic() - started_at
    text = f"{seconds:.2f} s in {calls} calls, {matches:,} lines"
    results.add_fact(f"{query} over {LONG * 100 / 1e6:,.0f} MB", seconds, text)


def measure_storage(results: Results, server: Server) -> None:
    with closing(sqlite3.connect(Path(server.environment["CRONIUM_DATA_DIR"]) / "cronium.sqlite3")) as database:
        query = 'SELECT sum(length(data)), sum(length("index")), sum(bytes), count(*) FROM logs_logchunk'
        data, index, text, rows = database.execute(query).fetchone()
    sizes = f"{text / 1e6:,.0f} MB of numbered lines of words: {data / 1e6:,.1f} MB compressed in {rows:,} rows"
    results.add_fact("stored bytes per byte of text", (data + index) / text, f"{(data + index) / text:.4f}: {sizes}")


def measure_pages(results: Results, server: Server, browser: httpx.Client) -> None:
    calls = {
        "the page of jobs": lambda: browser.get("/jobs/"),
        "the page of runs": lambda: browser.get("/runs/"),
        "the page of one job": lambda: browser.get("/jobs/depth/"),
        "the page of hosts": lambda: browser.get("/hosts/"),
        "GET /runs": lambda: server.call_api("GET", "/runs"),
        "GET /runs?job=&status=failed": lambda: server.call_api("GET", "/runs?job=depth&status=failed"),
        "GET /jobs": lambda: server.call_api("GET", "/jobs"),
        "GET /metrics": lambda: httpx.get(f"{server.url}/metrics", headers=_create_headers(server), timeout=60),
    }
    before = {name: _time_calls(call, 20) for name, call in calls.items()}
    _run_fill(server, "runs", "depth", str(RUNS))
    after = {name: _time_calls(call, 20) for name, call in calls.items()}
    print(f"pages and routes with few runs, and with {RUNS:,} more")
    for name in calls:
        results.add(f"{name}, few runs", before[name], "ms")
        results.add(f"{name}, {RUNS:,} more", after[name], "ms")
        results.add_ratios(name, after[name], before[name])


def measure() -> None:
    results = Results("log_depth")
    with run_server() as server:
        job = {"name": "Depth", "slug": "depth", "language": "bash", "script": "echo", "queue": "nobody"}
        server.call_api("POST", "/jobs", job)
        browser = server.sign_in()
        print("reading logs")
        measure_reads(results, server, browser)
        measure_storage(results, server)
        measure_pages(results, server, browser)
    results.write()
