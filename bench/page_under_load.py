"""Response times of pages while 20 runs write lines, compared with the same pages of the same server while none runs.

The compared pages have equal content in both states: the list of one job's runs, which shows the same 24 ended runs,
and the page of one of them. `check_content` refuses a round in which they differ. The list of all runs is measured too:
50 rows in both states, but beside the load 20 of them are running and show their last line, so it has no aim.

The states alternate within one run. In the busy state each run writes five lines a second; the pool is on. The
containers, the engine and the server share the cores with the request: on two cores a part of the ratio is the load.
CRONIUM_BENCH_ROUNDS sets the number of rounds (5).
"""

import os
import re
import statistics
import time
from collections.abc import Mapping

import httpx

from bench.processes import compute_cpu, find_processes, read_cpu_seconds
from bench.results import Results, compute_percentile, connect_engine
from bench.server import Server, run_server
from bench.throughput import run_batch, wait_until_calm

BUSY, LISTED, REQUESTS = 20, 24, 40
BUSY_SLUG, LISTED_SLUG = "busy", "listed"
SCRIPT = 'while :; do echo "it is $(date +%T)"; sleep 0.2; done'
SETTLE_SECONDS = 10.0
AIM = 2.0
SETTINGS = {"CRONIUM_MAX_CONCURRENT": str(BUSY), "CRONIUM_CPU_OVERCOMMIT": "100", "CRONIUM_HOST_MEMORY_MB": "100000"}
COMPARED = ("the list of one job's runs", "the page of one run")
LIST_OF_ALL = "the list of all runs"
_VOLATILE = re.compile(r'name="csrfmiddlewaretoken" value="[^"]*"|data-now="\d+"|"/runs/count/"[^>]*>\d+')
_ROW = re.compile(r'id="run-([0-9a-f-]{36})"')


def strip_volatile(html: str) -> str:
    """Without form tokens, the time of the response, and the number of live runs in the navigation."""
    return _VOLATILE.sub("", html)


def check_content(seen: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raises AssertionError if a compared page differs from the one seen first."""
    for name in COMPARED:
        assert strip_volatile(seen[name]) == strip_volatile(now[name]), f"{name} differs between the two states"


def _fetch_pages(browser: httpx.Client, paths: Mapping[str, str]) -> tuple[dict[str, list[float]], dict[str, str]]:
    # Takes the pages in turn, so that a short disturbance affects all.
    times: dict[str, list[float]] = {name: [] for name in paths}
    pages = {}
    for _ in range(REQUESTS):
        for name, path in paths.items():
            began = time.perf_counter()
            response = browser.get(path)
            times[name].append(time.perf_counter() - began)
            assert response.status_code == 200, response
            pages[name] = response.text
    return times, pages


def _begin_load(server: Server) -> list[str]:
    ids = [server.call_api("POST", f"/jobs/{BUSY_SLUG}/runs")["id"] for _ in range(BUSY)]
    deadline = time.monotonic() + 120
    while len(server.call_api("GET", f"/runs?job={BUSY_SLUG}&status=running&limit=200")["items"]) < BUSY:
        assert time.monotonic() < deadline, "the runs of the load did not start"
        time.sleep(0.5)
    time.sleep(SETTLE_SECONDS)
    return ids


def _end_load(server: Server, ids: list[str]) -> None:
    for run_id in ids:
        server.call_api("POST", f"/runs/{run_id}/cancel")
    while server.call_api("GET", f"/runs?job={BUSY_SLUG}&status=live&limit=1")["items"]:
        time.sleep(0.5)
    time.sleep(SETTLE_SECONDS)
    wait_until_calm()


class _Rounds:
    """The response times of both states, by page; in each state the values of a round follow each other."""

    def __init__(self, server: Server) -> None:
        self.server, self.engine, self.browser = server, connect_engine(), server.sign_in()
        shown = self.browser.get(f"/runs/?job={LISTED_SLUG}").text
        ids = _ROW.findall(shown)
        assert len(ids) == LISTED, f"{len(ids)} rows"
        self.paths = {COMPARED[0]: f"/runs/?job={LISTED_SLUG}", COMPARED[1]: f"/runs/{ids[0]}/", LIST_OF_ALL: "/runs/"}
        self.times: dict[tuple[str, str], list[list[float]]] = {}
        self.cores: dict[tuple[str, str], list[float]] = {}
        self.seen: dict[str, str] = {}

    def measure_state(self, state: str) -> None:
        parts = find_processes(self.server, self.engine).parts
        before = {part: read_cpu_seconds(pids) for part, pids in parts.items()}
        began = time.monotonic()
        times, pages = _fetch_pages(self.browser, self.paths)
        seconds = time.monotonic() - began
        for part, readings in before.items():
            cores = compute_cpu(readings, read_cpu_seconds(parts[part])) / seconds
            self.cores.setdefault((part, state), []).append(cores)
        self.seen = self.seen or pages
        check_content(self.seen, pages)
        for name, values in times.items():
            self.times.setdefault((name, state), []).append(values)

    def report(self, results: Results) -> None:
        for name in self.paths:
            rounds = {state: self.times[name, state] for state in ("busy", "idle")}
            for state, values in rounds.items():
                results.add(f"{name}, {state}", [value for each in values for value in each])
            busy, idle = rounds["busy"], rounds["idle"]
            results.add_ratios(f"{name}, p95 busy / idle by round", _compute_p95s(busy), _compute_p95s(idle))
            results.add_ratios(f"{name}, median busy / idle by round", _compute_medians(busy), _compute_medians(idle))
            ratio = compare_p95s(busy, idle)
            aim = f"; aim: at most {AIM:.1f}" if name in COMPARED else ""
            results.add_fact(f"{name}, p95 of all busy / of all idle", round(ratio, 3), f"{ratio:.2f}{aim}")
        for (part, state), cores in self.cores.items():
            results.add(f"cores used by {part}, {state}", cores, "")


def _compute_p95s(rounds: list[list[float]]) -> list[float]:
    return [compute_percentile(values, 0.95) for values in rounds]


def _compute_medians(rounds: list[list[float]]) -> list[float]:
    return [statistics.median(values) for values in rounds]


def compare_p95s(busy: list[list[float]], idle: list[list[float]]) -> float:
    """The p95 over the values of all rounds, busy as a multiple of idle."""
    p95s = [compute_percentile([value for each in rounds for value in each], 0.95) for rounds in (busy, idle)]
    return p95s[0] / p95s[1]


def measure(rounds: int = 0) -> None:
    rounds = rounds or int(os.environ.get("CRONIUM_BENCH_ROUNDS", "5"))
    results = Results("page_under_load", SETTINGS)
    with run_server(**SETTINGS) as server:
        for slug, script in ((BUSY_SLUG, SCRIPT), (LISTED_SLUG, "seq 20")):
            server.call_api("POST", "/jobs", {"name": slug, "slug": slug, "language": "bash", "script": script})
        run_batch(server, LISTED_SLUG, LISTED)
        for _ in range(2):  # with them, the list of all runs always has a full page
            _end_load(server, _begin_load(server))
        measured = _Rounds(server)
        _fetch_pages(measured.browser, measured.paths)  # warm-up
        print(f"pages with {BUSY} busy runs and with none, {rounds} rounds of {REQUESTS} requests, alternating")
        for _ in range(rounds):
            load = _begin_load(server)
            measured.measure_state("busy")
            _end_load(server, load)
            measured.measure_state("idle")
        measured.report(results)
    results.write()
