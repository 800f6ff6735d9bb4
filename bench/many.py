"""200 concurrent runs on one worker: memory and CPU per run, and response times of pages."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil

from bench.results import Results
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


def measure(number: int = 200) -> None:
    settings = {
        "CRONIUM_CPU_OVERCOMMIT": "1000",
        "CRONIUM_MAX_CONCURRENT": str(number),
        "CRONIUM_HOST_MEMORY_MB": "1000000",
    }
    results = Results("many", settings)
    with run_server(**settings) as server:
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
        results.add_fact("runs that were running at once", running, f"{running}, after {startup:.0f} s")
        machine_mb = (free_before - psutil.virtual_memory().available) / running / MB
        cronium_mb = (_read_resident_memory(server.process.pid) - resident_before) / running / MB
        results.add_fact("memory per run on the machine, MB", round(machine_mb, 1))
        results.add_fact("memory per run in Cronium, MB", round(cronium_mb, 2))
        processes = {"Cronium": [server.process.pid], "the engine's daemons": _find_engine_pids()}
        cpu = {name: sum(map(_read_cpu_seconds, pids)) for name, pids in processes.items()}
        cpu_percent = psutil.cpu_times_percent(10)
        idle = (cpu_percent.idle + cpu_percent.iowait) / 100
        for name, pids in processes.items():
            cores = (sum(map(_read_cpu_seconds, pids)) - cpu[name]) / 10
            results.add_fact(f"cores that {name} uses, each run writes a line every 2 s", round(cores, 2))
        results.add_fact("idle CPU of the machine", idle, f"{idle:.0%}")
        results.add("the page of runs, none running", idle_durations)
        results.add(f"the page of runs, {running} running", _time_calls(lambda: browser.get("/runs/")))
        path = f"/runs/{runs[0]['id']}"
        results.add(f"the page of one run, {running} running", _time_calls(lambda: browser.get(f"{path}/")))
        results.add("the log of one run, by the API", _time_calls(lambda: server.call_api("GET", f"{path}/logs")))
        while _count_runs(server, "running") + _count_runs(server, "starting") and time.time() < until + 300:
            time.sleep(1)
        results.add_fact("final statuses", _count_statuses(server, [run["id"] for run in runs]))
    results.write()


def _count_runs(server: Server, status: str) -> int:
    return sum(row["status"] == status for row in _list_runs(server))


def _list_runs(server: Server) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        page = server.call_api("GET", f"/runs?limit=200&after={page['next']}" if page["next"] else "/runs?limit=200")
        rows += page["items"]
    return rows


def _count_statuses(server: Server, ids: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in _list_runs(server):
        if row["id"] in ids:
            counts[row["status"]] = counts.get(row["status"], 0) + 1
    return counts
