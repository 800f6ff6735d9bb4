"""Log throughput and latency: container output to the store and to a WebSocket client, compared with the docker CLI."""

import json
import subprocess
import sys
import time
from datetime import datetime
from typing import Any

from bench.results import Results, compute_percentile
from bench.server import ROOT, Server, run_server

LINES, WIDTH = 1_000_000, 100
FLOOD = f'yes "$(head -c {WIDTH - 1} /dev/zero | tr "\\0" x)" | head -n {LINES}'
CLOCK = "for n in $(seq 200); do date +%s%N; sleep 0.1; done"
LIMITS = ["--cpus", "2", "--memory", "1g"]
MB = 1e6


def _read_output(command: list[str]) -> tuple[float, int]:
    """Returns the seconds from the first to the last byte that `command` prints, and the number of bytes."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as process:
        assert process.stdout is not None
        size, started_at = len(process.stdout.read(1)), time.monotonic()
        while block := process.stdout.read(1024 * 1024):
            size += len(block)
        return time.monotonic() - started_at, size


def measure_docker_run(image: str) -> float:
    return _read_output(["docker", "run", "--rm", *LIMITS, image, "bash", "-c", FLOOD])[0]


def measure_docker_logs(image: str) -> float:
    """Seconds for `docker logs -f`, from the start of the container."""
    begin = ["docker", "run", "-d", *LIMITS, "--log-driver", "local", "--log-opt", "max-size=500m"]
    name = subprocess.run([*begin, image, "bash", "-c", FLOOD], capture_output=True, text=True, check=True)
    try:
        return _read_output(["docker", "logs", "-f", name.stdout.strip()])[0]
    finally:
        subprocess.run(["docker", "rm", "-f", name.stdout.strip()], capture_output=True, check=True)


def _start_watcher(server: Server, run_id: str) -> "subprocess.Popen[str]":
    address = f"ws://127.0.0.1:{server.port}/ws/runs/{run_id}/logs?after=0"
    command = [sys.executable, "-m", "bench.watch", address, server.token]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _read_result(watcher: "subprocess.Popen[str]") -> dict[str, Any]:
    output, _ = watcher.communicate(timeout=300)
    return dict(json.loads(output))


def _measure_storing(server: Server, run_id: str) -> float:
    """Seconds from the first line to the end of the run, when its whole log is sealed."""
    while (run := server.call_api("GET", f"/runs/{run_id}"))["status"] in ("queued", "starting", "running"):
        time.sleep(0.1)
    assert run["log_lines"] == LINES, run
    first = server.call_api("GET", f"/runs/{run_id}/logs?limit=1")["lines"][0]["time"]
    return (datetime.fromisoformat(run["finished_at"]) - datetime.fromisoformat(first)).total_seconds()


def _add_rate(results: Results, name: str, seconds: list[float]) -> None:
    results.add(f"{name}, k lines/s of {WIDTH} bytes", [LINES / value / 1000 for value in seconds], "")


def measure_throughput(results: Results, server: Server, image: str, rounds: int) -> None:
    store_times: list[float] = []
    watch_times: list[float] = []
    run_times: list[float] = []
    logs_times: list[float] = []
    for number in range(rounds + 1):
        run_id = server.call_api("POST", "/jobs/flood/runs")["id"]
        stored = _measure_storing(server, run_id)
        run_id = server.call_api("POST", "/jobs/flood/runs")["id"]
        watched = _read_result(_start_watcher(server, run_id))
        assert watched["lines"] == LINES
        attached, followed = measure_docker_run(image), measure_docker_logs(image)
        if number:  # round 0 is the warm-up
            for times, seconds in (
                (store_times, stored),
                (watch_times, watched["seconds"]),
                (run_times, attached),
                (logs_times, followed),
            ):
                times.append(seconds)
    print(f"{LINES:,} lines of {WIDTH} bytes at full speed, {rounds} rounds in sequence")
    _add_rate(results, "cronium, into the store", store_times)
    _add_rate(results, "an attached docker run", run_times)
    results.add_ratios("rate of the store / of docker run", run_times, store_times)
    _add_rate(results, "cronium, to a WebSocket client", watch_times)
    _add_rate(results, "docker logs -f", logs_times)
    results.add_ratios("rate of the client / of docker logs", logs_times, watch_times)


def measure_latency(results: Results, server: Server) -> None:
    """Delay of each line. Container and client read the clock of the same machine."""
    for is_flooded in (False, True):
        flood = server.call_api("POST", "/jobs/endless/runs")["id"] if is_flooded else ""
        time.sleep(3 * is_flooded)
        run_id = server.call_api("POST", "/jobs/clock/runs")["id"]
        delays = _read_result(_start_watcher(server, run_id))["delays_ms"]
        if flood:
            server.call_api("POST", f"/runs/{flood}/cancel")
        load = "with a flood" if is_flooded else "alone"
        results.add(f"delay of a line to a WebSocket client, {load}", delays, "ms")
        results.add_fact(f"its 99th percentile, {load}", compute_percentile(delays, 0.99))


def measure(rounds: int = 3) -> None:
    results = Results("log_flow")
    with run_server(CRONIUM_LOG_LIMIT_MB="1000") as server:  # a profile allows 50 MB, less than the measured logs
        image = server.call_api("GET", "/images/bash")["reference"]
        endless = 'while true; do yes "$(head -c 99 /dev/zero | tr "\\0" x)" | head -n 20000; done'
        for slug, script in (("flood", FLOOD), ("clock", CLOCK), ("endless", endless)):
            profile = "small" if slug == "clock" else "large"
            job = {"name": slug, "slug": slug, "language": "bash", "script": script, "profile": profile}
            job["on_log_limit"] = "drop"
            server.call_api("POST", "/jobs", job)
        measure_throughput(results, server, image, rounds)
        measure_latency(results, server)
    results.write()
