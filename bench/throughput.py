"""Runs per minute, and 40 launches at once, compared with the same objects made by plain docker-py.

The measurements alternate, so that other load on the machine affects all of them. A batch ends when all its containers
and networks are removed.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil

from bench.plain_docker import PlainDocker
from bench.results import Results
from bench.server import Server, run_server

PARALLEL = {1: 10, 4: 24, 8: 32}  # runs at a time, and runs of a batch
BURST, BURST_SECONDS = 40, 3
SLUGS = {"trivial": "echo first", "three-seconds": f"echo first; sleep {BURST_SECONDS}"}
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Batch:
    """Seconds from the first launch until all runs have ended, and until nothing of them is left on the engine."""

    ended: float
    removed: float
    warm: int  # runs that began in a waiting sandbox


def run_batch(server: Server, slug: str, number: int) -> Batch:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: server.call_api("POST", f"/jobs/{slug}/runs")["id"], range(number)))
    while server.call_api("GET", f"/runs?job={slug}&status=live&limit=1")["items"]:  # cheap for the server
        time.sleep(POLL_SECONDS)
    runs = [_wait_until_removed(server, run_id) for run_id in ids]
    failed = [run["message"] for run in runs if run["status"] != "succeeded"]
    assert not failed, failed
    created = [datetime.fromisoformat(run["created_at"]).timestamp() for run in runs]
    ended = [datetime.fromisoformat(run["finished_at"]).timestamp() for run in runs]
    # Times that the server recorded, so that polling costs the batch no time.
    after = [(run["trace"]["taken_down"] - (run["trace"]["queued"] or 0)) / 1000 for run in runs]
    removed = [at + seconds for at, seconds in zip(created, after, strict=True)]
    return Batch(max(ended) - min(created), max(removed) - min(created), sum(bool(run["warm"]) for run in runs))


def _wait_until_removed(server: Server, run_id: str) -> dict[str, Any]:
    while True:
        run: dict[str, Any] = server.call_api("GET", f"/runs/{run_id}")
        if run["trace"] and run["trace"]["taken_down"] is not None:
            return run
        time.sleep(0.1)


def wait_until_calm(seconds: float = 30) -> None:
    """Returns when this machine is idle, or after `seconds`: a pool may refill after a batch."""
    deadline = time.monotonic() + seconds
    while psutil.cpu_percent(1.0) > 25 and time.monotonic() < deadline:
        pass


def _create_jobs(server: Server) -> None:
    for slug, script in SLUGS.items():
        body = {"name": slug, "slug": slug, "language": "bash", "script": script}
        server.call_api("POST", "/jobs", body)


def _measure_rates(results: Results, cold: Server, warm: Server, plain: PlainDocker, rounds: int) -> None:
    rates: dict[tuple[str, int], list[float]] = {}
    warm_runs = 0
    for parallel, number in PARALLEL.items():
        for server in (cold, warm):
            server.restart(CRONIUM_MAX_CONCURRENT=str(parallel))
            run_batch(server, "trivial", 2)
        plain.run()
        for _ in range(rounds):
            for kind, measure in _list_measurements(cold, warm, plain, number, parallel):
                wait_until_calm()
                seconds, hits = measure()
                rates.setdefault((kind, parallel), []).append(60 * number / seconds)
                warm_runs += hits
    for (kind, parallel), values in rates.items():
        results.add(f"runs per minute, {parallel} at a time, {kind}", values, "")
    for parallel in PARALLEL:
        floor = rates["plain docker-py", parallel]
        results.add_ratios(f"cold / plain docker-py, {parallel} at a time", rates["cold", parallel], floor)
        sequence = rates.get(("plain docker-py in one sequence", parallel), floor)
        results.add_ratios(
            f"cold, {parallel} at a time / plain docker-py in one sequence", rates["cold", parallel], sequence
        )
        results.add_ratios(
            f"with the pool / without, {parallel} at a time", rates["with the pool", parallel], rates["cold", parallel]
        )
    results.add_fact("runs that began in a waiting sandbox", warm_runs)


def _list_measurements(
    cold: Server, warm: Server, plain: PlainDocker, number: int, parallel: int
) -> list[tuple[str, Callable[[], tuple[float, int]]]]:
    def measure(server: Server) -> tuple[float, int]:
        batch = run_batch(server, "trivial", number)
        return batch.removed, batch.warm

    kinds: list[tuple[str, Callable[[], tuple[float, int]]]] = [
        ("cold", lambda: measure(cold)),
        ("plain docker-py", lambda: (plain.run_many(number, parallel), 0)),
        ("with the pool", lambda: measure(warm)),
    ]
    if parallel > 1:
        sequence = number / PARALLEL[1]  # fewer runs; the rate counts
        kinds.append(("plain docker-py in one sequence", lambda: (plain.run_many(PARALLEL[1], 1) * sequence, 0)))
    return kinds


def _measure_burst(results: Results, server: Server, image: str, rounds: int) -> None:
    slots = int(server.call_api("GET", "/hosts")["items"][0]["capacity"])
    plain = PlainDocker(image, SLUGS["three-seconds"])
    batches, floors = [], []
    for _ in range(rounds):
        wait_until_calm()
        batches.append(run_batch(server, "three-seconds", BURST))
        wait_until_calm()
        floors.append(plain.run_many(BURST, slots))
    label = f"{BURST} launches at once, {BURST_SECONDS} s each, {slots} slots"
    results.add(f"{label}: all ended", [batch.ended for batch in batches])
    results.add(f"{label}: all removed", [batch.removed for batch in batches])
    results.add(f"the same by plain docker-py, {slots} threads", floors)
    results.add_ratios("all removed / plain docker-py", [batch.removed for batch in batches], floors)


def measure(rounds: int = 3) -> None:
    results = Results("throughput")
    with run_server(CRONIUM_WARM="0") as cold, run_server() as warm:
        for server in (cold, warm):
            _create_jobs(server)
        image = cold.call_api("GET", "/images/bash")["reference"]
        print(f"throughput, {rounds} rounds, alternating ({image}, {os.cpu_count()} cores)")
        plain = PlainDocker(image, SLUGS["trivial"])
        results.add_fact("topology of the sandboxes", plain.topology)
        _measure_rates(results, cold, warm, plain, rounds)
        cold.restart(CRONIUM_MAX_CONCURRENT="")
        run_batch(cold, "trivial", 2)
        _measure_burst(results, cold, image, rounds)
    results.write()
