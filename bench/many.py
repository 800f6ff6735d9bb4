"""Two hundred runs at once on one worker: what each costs, and whether pages still answer."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.first_line import percentile
from bench.server import Server, serving

SCRIPT = 'while [ "$(date +%s)" -lt {until} ]; do echo "it is $(date +%T)"; sleep 2; done'
MB = 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


def _available() -> int:
    """Bytes of the machine's memory that are free to be used."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024


def _cpu(pid: int) -> float:
    """Seconds of CPU that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _engine_pids() -> list[int]:
    found = subprocess.run(["pgrep", "-x", "dockerd|containerd"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def _idle_share(seconds: float) -> float:
    """The share of the machine's CPU that nobody used meanwhile."""

    def read() -> tuple[int, int]:
        numbers = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        return numbers[3] + numbers[4], sum(numbers[:8])

    idle, total = read()
    time.sleep(seconds)
    idle_after, total_after = read()
    return (idle_after - idle) / max(1, total_after - total)


def _times(ask: Callable[[], object], times: int = 20) -> list[float]:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        found.append(time.perf_counter() - began)
    return found


def _say(name: str, values: list[float]) -> None:
    print(
        f"  {name:44} median {statistics.median(values) * 1000:.0f} ms   p95 {percentile(values, 0.95) * 1000:.0f} ms"
    )


def measure(number: int = 200) -> None:
    settings = {"CRONIUM_MAX_CONCURRENT": str(number), "CRONIUM_HOST_MEMORY_MB": "1000000"}
    with serving(**settings, CRONIUM_CPU_OVERCOMMIT="1000") as server:
        browser = server.browser()
        alone = _times(lambda: browser.get("/runs/"))
        until = int(time.time()) + number + 60
        body = {"name": "Many", "slug": "many", "language": "bash", "script": SCRIPT.format(until=until)}
        server.ask("POST", "/jobs", body)
        before, own_before = _available(), _resident(server.process.pid)
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda _: server.ask("POST", "/jobs/many/runs"), range(number)))
        while _count(server, "running") < number and time.time() < until - 20:
            time.sleep(1)
        up, running = time.monotonic() - began, _count(server, "running")
        print(f"{number} runs at once on one worker: {running} were running after {up:.0f} s")
        each, own = (before - _available()) / running / MB, (_resident(server.process.pid) - own_before) / running / MB
        print(f"  memory of the machine per run                {each:.1f} MB, of that in Cronium {own:.2f} MB")
        processes = {"Cronium": [server.process.pid], "the engine's daemons": _engine_pids()}
        cpu = {name: sum(map(_cpu, pids)) for name, pids in processes.items()}
        idle = _idle_share(10)
        for name, pids in processes.items():
            print(f"  CPU of {name:37} {(sum(map(_cpu, pids)) - cpu[name]) / 10:.2f} cores, a line every 2 s from each")
        print(f"  the machine's CPU that nobody used           {idle:.0%}")
        _say("the page of runs, none on", alone)
        _say(f"the page of runs, {running} on", _times(lambda: browser.get("/runs/")))
        _say(f"the page of one run, {running} on", _times(lambda: browser.get(f"/runs/{runs[0]['id']}/")))
        _say("the log of one over the API", _times(lambda: server.ask("GET", f"/runs/{runs[0]['id']}/logs")))
        while _count(server, "running") + _count(server, "starting") and time.time() < until + 300:
            time.sleep(1)
        _ends(server, [run["id"] for run in runs])


def _count(server: Server, status: str) -> int:
    return sum(row["status"] == status for row in _all(server))


def _all(server: Server) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        page = server.ask("GET", f"/runs?limit=200&after={page['next']}" if page["next"] else "/runs?limit=200")
        rows += page["items"]
    return rows


def _ends(server: Server, ids: list[str]) -> None:
    ends: dict[str, int] = {}
    for row in _all(server):
        if row["id"] in ids:
            ends[row["status"]] = ends.get(row["status"], 0) + 1
    print(f"  they ended                                   {ends}")
