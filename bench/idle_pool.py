"""The price of waiting sandboxes that nobody uses: memory, and CPU time over a window of ten minutes.

One server, restarted for each window, alternately with the pool of its default size and without it. Each window begins
after the same launches: two runs of each language, so that the pool has shapes to prepare. It is measured when the pool
is full and the machine is calm.

Memory is PSS of the waiting containers' processes and of their shims, and the growth of the server itself. CPU is that
of the server, the engine's daemons (with their ended children), the shims and the containers, with the pool less
without. Needs root, and an engine that nothing else uses, as its daemons count. CRONIUM_BENCH_SECONDS sets the length
of a window (600), CRONIUM_BENCH_ROUNDS the number of pairs (2).
"""

import os
import time
from dataclasses import dataclass
from typing import Any

import docker

from bench.processes import Processes, compute_cpu, find_processes, read_cpu_seconds, read_pss
from bench.results import Results, connect_engine
from bench.server import Server, run_server
from bench.throughput import run_batch, wait_until_calm

SECONDS, ROUNDS = 600.0, 2
LANGUAGES = {"bash": "echo first", "python": "print('first')", "node": "console.log('first')"}
FILL_SECONDS = 180.0
AIM_MB, AIM_PERCENT = 80.0, 1.0
PARTS = ("serve", "daemons", "shims", "containers")


@dataclass(frozen=True)
class Window:
    """`waiting`: whole sandboxes and stems. `memory`: MB, and `cpu`: seconds, by part."""

    waiting: int
    stems: int
    seconds: float
    memory: dict[str, float]
    cpu: dict[str, float]


@dataclass(frozen=True)
class Price:
    """What the pool adds. `share`: CPU as a share of one core."""

    memory_mb: float
    share: float


def compute_price(on: Window, off: Window) -> Price:
    memory = sum(on.memory[part] - off.memory[part] for part in ("serve", "shims", "containers"))
    return Price(memory, sum(on.cpu.values()) / on.seconds - sum(off.cpu.values()) / off.seconds)


def is_full(pool: dict[str, Any]) -> bool:
    """Each shape has the sandboxes that the host plans for it, and none is being built."""
    return (
        bool(pool["shapes"]) and not pool["building"] and all(row["waiting"] >= row["target"] for row in pool["shapes"])
    )


def _wait_until_full(server: Server) -> tuple[int, int]:
    # Returns the number of waiting sandboxes, and how many of them are stems. The report comes with the heartbeat.
    deadline = time.monotonic() + FILL_SECONDS
    while True:
        time.sleep(5)
        pool = server.call_api("GET", "/hosts")["items"][0]["warm"]
        if pool and is_full(pool) and pool["waiting"]:
            return pool["waiting"], sum(row["waiting"] for row in pool["shapes"] if row["kind"] == "stem")
        assert time.monotonic() < deadline, f"the pool did not fill: {pool}"


def _measure_window(server: Server, engine: docker.APIClient, seconds: float, *, pool: bool) -> Window:
    server.restart(CRONIUM_WARM="auto" if pool else "0")
    for slug in LANGUAGES:
        run_batch(server, slug, 2)
    waiting, stems = _wait_until_full(server) if pool else (0, 0)
    time.sleep(10)
    wait_until_calm()
    processes = find_processes(server, engine)
    before = {part: read_cpu_seconds(processes.parts[part]) for part in PARTS}
    began = time.monotonic()
    time.sleep(seconds)
    cpu = {part: compute_cpu(before[part], read_cpu_seconds(processes.parts[part])) for part in PARTS}
    took = time.monotonic() - began
    _check_unchanged(processes, find_processes(server, engine))
    memory = {part: read_pss(processes.parts[part]) for part in PARTS}
    return Window(waiting, stems, took, memory, cpu)


def _check_unchanged(before: Processes, after: Processes) -> None:
    assert before.containers == after.containers, "sandboxes were replaced within the window; choose a shorter one"


def _report(results: Results, on: list[Window], off: list[Window]) -> None:
    for part in PARTS:
        for state, windows in (("with the pool", on), ("without", off)):
            results.add(f"PSS of {part}, {state}", [window.memory[part] for window in windows], "MB")
            results.add(f"CPU of {part}, {state}", [window.cpu[part] for window in windows], "s")
    prices = [compute_price(*pair) for pair in zip(on, off, strict=True)]
    results.add("memory of the pool", [price.memory_mb for price in prices], "MB")
    results.add("CPU of the pool, % of a core", [100 * price.share for price in prices], "")
    counts = [window.waiting for window in on]
    results.add_fact("waiting sandboxes", counts)
    results.add_fact("of them stems", [window.stems for window in on])
    for name, values, unit in (
        ("memory for each sandbox", [price.memory_mb for price in prices], "MB"),
        ("CPU for each sandbox, % of a core", [100 * price.share for price in prices], ""),
    ):
        results.add(name, [value / count for value, count in zip(values, counts, strict=True)], unit)
    print(f"  aims for the whole pool: at most {AIM_MB:.0f} MB and {AIM_PERCENT:.0f} % of a core")


def measure() -> None:
    seconds = float(os.environ.get("CRONIUM_BENCH_SECONDS", SECONDS))
    rounds = int(os.environ.get("CRONIUM_BENCH_ROUNDS", ROUNDS))
    results, engine = Results("idle_pool"), connect_engine()
    on, off = [], []
    with run_server() as server:
        for slug, script in LANGUAGES.items():
            server.call_api("POST", "/jobs", {"name": slug, "slug": slug, "language": slug, "script": script})
        print(f"the idle pool, {rounds} pairs of windows of {seconds:.0f} s, alternating")
        for _ in range(rounds):
            on.append(_measure_window(server, engine, seconds, pool=True))
            off.append(_measure_window(server, engine, seconds, pool=False))
        results.add_fact("seconds of a window", seconds)
        _report(results, on, off)
    results.write()
