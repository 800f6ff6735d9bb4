"""Time from `POST .../runs` to the first log line at a client, compared with `docker run`.

The client follows the log over HTTP, or over a WebSocket. Two servers: one without waiting sandboxes (cold), one with
them (warm). Each warm round has a second run with a memory limit that no run had before: it starts on a waiting network
and sidecar (stem). Cold, warm, stem and `docker run` alternate, so that other load on the machine affects all four.
"""

import itertools
import json
import re
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx
from websockets.sync.client import connect

from bench.phases import print_phases
from bench.results import Results, connect_engine
from bench.server import Server, run_server

LINE = "first"
SLUG = "first-line"
REFILL_SECONDS = 20.0
Measure = Callable[[Server, dict[str, Any]], float]
_rare_memory_mb = itertools.count(257)


def measure_stream(server: Server, launch: dict[str, Any]) -> float:
    """Seconds until the client of the HTTP stream has the line. Returns when the run's sandbox is removed."""
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.token}"}, timeout=60) as client:
        client.get("/health")  # a client that is connected, as programs are
        began = time.perf_counter()
        run_id = client.post(f"/jobs/{SLUG}/runs", json=launch).json()["id"]
        first = 0.0
        with client.stream("GET", f"/runs/{run_id}/logs/follow") as response:
            for text in response.iter_lines():
                if not first and text and "text" in (line := json.loads(text)):
                    assert line["text"] == LINE, line
                    first = time.perf_counter() - began
    _wait_until_removed(run_id)
    return first


def measure_websocket(server: Server, launch: dict[str, Any]) -> float:
    """Seconds until the WebSocket client has the line. Returns when the run's sandbox is removed."""
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
        client.get("/health")
        began = time.perf_counter()
        run_id = client.post(f"/jobs/{SLUG}/runs", json=launch).json()["id"]
        first = 0.0
        address = f"ws://127.0.0.1:{server.port}/ws/runs/{run_id}/logs?after=0"
        with connect(address, additional_headers=headers) as socket:
            for text in socket:
                message = json.loads(text)
                if message["type"] == "lines" and not first:
                    assert message["lines"][0][3] == LINE
                    first = time.perf_counter() - began
    _wait_until_removed(run_id)
    return first


def measure_docker_run(image: str) -> float:
    began = time.perf_counter()
    command = ["docker", "run", "--rm", image, "bash", "-c", f"echo {LINE}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == LINE
        return time.perf_counter() - began


def _wait_until_removed(run_id: str) -> None:
    # The removal of a sandbox belongs to no measurement, so none may overlap with it.
    engine = connect_engine()
    while engine.networks(names=[f"cronium-job-{run_id}"]) or engine.containers(filters={"name": run_id}, all=True):
        time.sleep(0.05)


def measure_rare_run(server: Server, call: Measure) -> float:
    """A run with a memory limit that no run had before."""
    return call(server, {"memory_mb": next(_rare_memory_mb)})


def read_counts_by_kind(server: Server, metric: str) -> dict[str, float]:
    """The values of a metric of waiting sandboxes: `whole`, `stem`, `warm` or `cold`."""
    text = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {server.token}"}).text
    found = re.findall(rf'^{metric}{{.*kind="(\w+)".*}} (\S+)$', text, re.MULTILINE)
    return {kind: float(count) for kind, count in found}


def wait_for_waiting_sandbox(server: Server, kind: str) -> None:
    """Returns when the server's host has a waiting sandbox of the kind and builds none, or after REFILL_SECONDS."""
    deadline = time.monotonic() + REFILL_SECONDS
    while time.monotonic() < deadline:
        if read_counts_by_kind(server, "cronium_warm_waiting").get(kind):
            time.sleep(1.0)  # a build beside it ends
            return
        time.sleep(0.2)


def _list_runs_since(server: Server, number: int) -> list[dict[str, Any]]:
    return [run for run in server.call_api("GET", "/runs?limit=200")["items"] if run["number"] > number]


def _print_phases(server: Server, runs: list[dict[str, Any]], floor: list[float]) -> None:
    print_phases([server.call_api("GET", f"/runs/{run['id']}")["trace"] for run in runs], floor)


def measure(rounds: int = 20) -> None:
    results = Results("first_line")
    with run_server(CRONIUM_WARM="0") as cold, run_server() as warm:
        for server in (cold, warm):
            job = {"name": "First line", "slug": SLUG, "language": "bash", "script": f"echo {LINE}"}
            server.call_api("POST", "/jobs", job)
        image = cold.call_api("GET", "/images/bash")["reference"]
        for server in (cold, warm, warm):  # warm-up; the second launch of a kind makes the pool prepare for it
            measure_stream(server, {}), measure_websocket(server, {})
        measure_docker_run(image)
        warm_ups = [int(server.call_api("GET", "/runs?limit=1")["items"][0]["number"]) for server in (cold, warm)]
        before = read_counts_by_kind(warm, "cronium_warm_starts_total")
        print(f"first line, {rounds} alternating rounds for each client ({image})")
        floor: list[float] = []
        clients: tuple[tuple[str, Measure], ...] = (("HTTP stream", measure_stream), ("WebSocket", measure_websocket))
        for name, call in clients:
            floor += _measure_rounds(results, name, call, cold, warm, image, rounds)
        after = read_counts_by_kind(warm, "cronium_warm_starts_total")
        for kind, start in (("warm", "in a waiting sandbox"), ("stem", "on a waiting network and sidecar")):
            hits = int(after.get(kind, 0) - before.get(kind, 0))
            results.add_fact(f"runs that began {start}", hits, f"{hits} of {2 * rounds}")
        cold_runs, warm_runs = (_list_runs_since(*pair) for pair in zip((cold, warm), warm_ups, strict=True))
        usual = warm_runs[-1]["limits"]["memory_mb"]
        for name, server, runs in (
            ("cold", cold, cold_runs),
            ("warm", warm, [run for run in warm_runs if run["limits"]["memory_mb"] == usual]),
            ("stem", warm, [run for run in warm_runs if run["limits"]["memory_mb"] != usual]),
        ):
            print(f"phases, {name}")
            _print_phases(server, runs, floor)
    results.write()


def _measure_rounds(
    results: Results, client: str, call: Measure, cold: Server, warm: Server, image: str, rounds: int
) -> list[float]:
    measured = []
    for _ in range(rounds):
        wait_for_waiting_sandbox(warm, "whole")
        times = [call(cold, {}), call(warm, {})]
        wait_for_waiting_sandbox(warm, "stem")
        measured.append((*times, measure_rare_run(warm, call), measure_docker_run(image)))
    *kinds, docker_times = (list(values) for values in zip(*measured, strict=True))
    named = dict(zip(("cold", "warm", "stem"), kinds, strict=True))
    for kind, values in named.items():
        results.add(f"{client}, {kind}", values)
    results.add(f"{client}, bare docker run beside", docker_times)
    floor = statistics.median(docker_times)
    for kind, values in named.items():
        results.add_ratios(f"{client}, {kind} / bare docker run", values, docker_times)
    medians = {kind: statistics.median(values) / floor for kind, values in named.items()}
    text = ", ".join(f"{kind} {ratio:.2f}" for kind, ratio in medians.items())
    results.add_fact(f"{client}, ratio of the medians", medians, text)
    return docker_times
