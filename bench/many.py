"""200 concurrent runs on one worker: memory and CPU per run, and response times of pages."""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil

from bench.first_line import compute_percentile
from bench.server import Server, run_server

SCRIPT = 'while [ "$(date +%s)" -lt {until} ]; do echo "it is $(date +%T)"; sleep 2; done'
MB = 1024 * 1024


def _read_resident_memory(pid: int) -> int:
    return psutil.Process(pid).memory_info().rss


def _read_cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _find_engine_pids() -> list[int]:
    return [process.pid for process in psutil.process_iter() if process.name() in ("dockerd", "containerd")]


def _time_calls(call: Callable[[], object], repeats: int = 20) -> list[float]:
    durations = []
    for _ in range(repeats):
        started_at = time.perf_counter()
        call()
        durations.append(time.perf_counter() - started_at)
    return durations


def _print_durations(name: str, values: list[float]) -> None:
    median, p95 = statistics.median(values), compute_percentile(values, 0.95)
    print(f"  {name:44} median {median * 1000:.0f} ms   p95 {p95 * 1000:.0f} ms")


def measure(number: int = 200) -> None:
    settings = {"CRONIUM_MAX_CONCURRENT": str(number), "CRONIUM_HOST_MEMORY_MB": "1000000"}
    with run_server(**settings, CRONIUM_CPU_OVERCOMMIT="1000") as server:
        browser = server.sign_in()
        idle_durations = _time_calls(lambda: browser.get("/runs/"))
        until = int(time.time()) + number + 60
        body = {"name": "Many", "slug": "many", "language": "bash", "script": SCRIPT.format(until=until)}
        server.call_api("POST", "/jobs", body)
        free_before, resident_before = psutil.virtual_memory().available, _read_resident_memory(server.process.pid)
        started_at = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda _: server.call_api("POST", "/jobs/many/runs"), range(number)))
        while _count_runs(server, "running") < number and time.time() < until - 20:
            time.sleep(1)
        startup, running = time.monotonic() - started_at, _count_runs(server, "running")
        print(f"{number} concurrent runs on one worker: {running} were running after {startup:.0f} s")
        machine_mb = (free_before - psutil.virtual_memory().available) / running / MB
        cronium_mb = (_read_resident_memory(server.process.pid) - resident_before) / running / MB
        print(f"  memory of the machine per run                {machine_mb:.1f} MB, in Cronium {cronium_mb:.2f} MB")
        processes = {"Cronium": [server.process.pid], "the engine's daemons": _find_engine_pids()}
        cpu = {name: sum(map(_read_cpu_seconds, pids)) for name, pids in processes.items()}
        cpu_percent = psutil.cpu_times_percent(10)
        idle = (cpu_percent.idle + cpu_percent.iowait) / 100
        for name, pids in processes.items():
            cores = (sum(map(_read_cpu_seconds, pids)) - cpu[name]) / 10
            print(f"  CPU of {name:37} {cores:.2f} cores, each run writes a line every 2 s")
        print(f"  idle CPU of the machine                      {idle:.0%}")
        _print_durations("the page of runs, none running", idle_durations)
        _print_durations(f"the page of runs, {running} running", _time_calls(lambda: browser.get("/runs/")))
        path = f"/runs/{runs[0]['id']}"
        _print_durations(f"the page of one run, {running} running", _time_calls(lambda: browser.get(f"{path}/")))
        _print_durations("the log of one run, by the API", _time_calls(lambda: server.call_api("GET", f"{path}/logs")))
        while _count_runs(server, "running") + _count_runs(server, "starting") and time.time() < until + 300:
            time.sleep(1)
        _print_statuses(server, [run["id"] for run in runs])


def _count_runs(server: Server, status: str) -> int:
    return sum(row["status"] == status for row in _list_runs(server))


def _list_runs(server: Server) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        page = server.call_api("GET", f"/runs?limit=200&after={page['next']}" if page["next"] else "/runs?limit=200")
        rows += page["items"]
    return rows


def _print_statuses(server: Server, ids: list[str]) -> None:
    counts: dict[str, int] = {}
    for row in _list_runs(server):
        if row["id"] in ids:
            counts[row["status"]] = counts.get(row["status"], 0) + 1
    print(f"  final statuses                               {counts}")
