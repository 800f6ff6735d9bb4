"""Time from `POST .../runs` to the first log line at a client, compared with `docker run`.

The client follows the log over HTTP, or over a WebSocket. Two servers: one without waiting sandboxes (cold), one with
them (warm). Cold, warm and `docker run` alternate, so that other load on the machine affects all three.
"""

import json
import re
import statistics
import subprocess
import time
from collections.abc import Callable

import httpx
from websockets.sync.client import connect

from bench.phases import print_phases
from bench.results import Results, connect_engine
from bench.server import Server, run_server

LINE = "first"
SLUG = "first-line"
REFILL_SECONDS = 20.0


def measure_stream(server: Server) -> float:
    """Seconds until the client of the HTTP stream has the line. Returns when the run's sandbox is removed."""
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.token}"}, timeout=60) as client:
        client.get("/health")  # a client that is connected, as programs are
        began = time.perf_counter()
        run_id = client.post(f"/jobs/{SLUG}/runs").json()["id"]
        first = 0.0
        with client.stream("GET", f"/runs/{run_id}/logs/follow") as response:
            for text in response.iter_lines():
                if not first and text and "text" in (line := json.loads(text)):
                    assert line["text"] == LINE, line
                    first = time.perf_counter() - began
    _wait_until_removed(run_id)
    return first


def measure_websocket(server: Server) -> float:
    """Seconds until the WebSocket client has the line. Returns when the run's sandbox is removed."""
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
        client.get("/health")
        began = time.perf_counter()
        run_id = client.post(f"/jobs/{SLUG}/runs").json()["id"]
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


def wait_for_waiting_sandbox(server: Server) -> None:
    """Returns when the server's host has a waiting sandbox and builds none, or after REFILL_SECONDS."""
    deadline = time.monotonic() + REFILL_SECONDS
    while time.monotonic() < deadline:
        metrics = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {server.token}"}).text
        if sum(float(count) for count in re.findall(r"^cronium_warm_waiting\{.*\} (\S+)$", metrics, re.MULTILINE)):
            time.sleep(1.0)  # a build beside it ends
            return
        time.sleep(0.2)


def _print_phases(server: Server, since: int, floor: list[float]) -> None:
    runs = [run for run in server.call_api("GET", "/runs?limit=200")["items"] if run["number"] > since]
    print_phases([server.call_api("GET", f"/runs/{run['id']}")["trace"] for run in runs], floor)


def _find_last_number(server: Server) -> int:
    return int(server.call_api("GET", "/runs?limit=1")["items"][0]["number"])


def _count_warm(server: Server, since: int) -> int:
    runs = server.call_api("GET", "/runs?limit=200")["items"]
    return sum(bool(run["warm"]) for run in runs if run["number"] > since)


def measure(rounds: int = 20) -> None:
    results = Results("first_line")
    with run_server(CRONIUM_WARM="0") as cold, run_server() as warm:
        for server in (cold, warm):
            job = {"name": "First line", "slug": SLUG, "language": "bash", "script": f"echo {LINE}"}
            server.call_api("POST", "/jobs", job)
        image = cold.call_api("GET", "/images/bash")["reference"]
        for server in (cold, warm, warm):  # warm-up; the second launch of a kind makes the pool prepare for it
            measure_stream(server), measure_websocket(server)
        measure_docker_run(image)
        warm_ups = [_find_last_number(server) for server in (cold, warm)]
        print(f"first line, {rounds} rounds of two triples, alternating ({image})")
        floor: list[float] = []
        for name, call in (("HTTP stream", measure_stream), ("WebSocket", measure_websocket)):
            floor += _measure_triples(results, name, call, cold, warm, image, rounds)
        hits = _count_warm(warm, warm_ups[1])
        results.add_fact("runs that began in a waiting sandbox", hits, f"{hits} of {2 * rounds}")
        for name, server, warm_up in zip(("cold", "warm"), (cold, warm), warm_ups, strict=True):
            print(f"phases, {name}")
            _print_phases(server, warm_up, floor)
    results.write()


def _measure_triples(
    results: Results,
    client: str,
    call: Callable[[Server], float],
    cold: Server,
    warm: Server,
    image: str,
    rounds: int,
) -> list[float]:
    triples = []
    for _ in range(rounds):
        wait_for_waiting_sandbox(warm)
        triples.append((call(cold), call(warm), measure_docker_run(image)))
    cold_times, warm_times, docker_times = (list(values) for values in zip(*triples, strict=True))
    results.add(f"{client}, cold", cold_times)
    results.add(f"{client}, warm", warm_times)
    results.add(f"{client}, bare docker run beside", docker_times)
    results.add_ratios(f"{client}, cold / bare docker run", cold_times, docker_times)
    results.add_ratios(f"{client}, warm / bare docker run", warm_times, docker_times)
    floor = statistics.median(docker_times)
    medians = statistics.median(cold_times) / floor, statistics.median(warm_times) / floor
    results.add_fact(f"{client}, ratio of the medians", medians, f"cold {medians[0]:.2f}, warm {medians[1]:.2f}")
    return docker_times
