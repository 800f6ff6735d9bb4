"""Log throughput and latency: container output to the store and to a WebSocket client, compared with the docker CLI."""

import json
import statistics
import subprocess
import sys
import time
from datetime import datetime
from typing import Any

from bench.first_line import compute_percentile
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


def _print_rate(name: str, seconds: list[float]) -> None:
    median = statistics.median(seconds)
    print(f"  {name:38} median {LINES / median / 1000:6.0f} k lines/s   {LINES * WIDTH / median / MB:5.0f} MB/s")


def _print_ratios(name: str, cronium_times: list[float], docker_times: list[float]) -> None:
    ratios = [b / a for a, b in zip(cronium_times, docker_times, strict=True)]
    print(f"  {name:38} median {statistics.median(ratios):.2f}   each {', '.join(f'{r:.2f}' for r in ratios)}")


def measure_throughput(server: Server, image: str, rounds: int) -> None:
    store_times, watch_times, run_times, logs_times = [], [], [], []
    for number in range(rounds + 1):
        run_id = server.call_api("POST", "/jobs/flood/runs")["id"]
        stored = _measure_storing(server, run_id)
        run_id = server.call_api("POST", "/jobs/flood/runs")["id"]
        watched = _read_result(_start_watcher(server, run_id))
        assert watched["lines"] == LINES
        attached, followed = measure_docker_run(image), measure_docker_logs(image)
        if number:  # round 0 is the warm-up
            store_times.append(stored), watch_times.append(watched["seconds"])
            run_times.append(attached), logs_times.append(followed)
    print(f"{LINES:,} lines of {WIDTH} bytes at full speed, {rounds} rounds in sequence")
    _print_rate("cronium, into the store", store_times)
    _print_rate("an attached docker run", run_times)
    _print_ratios("ratio", store_times, run_times)
    _print_rate("cronium, to a WebSocket client", watch_times)
    _print_rate("docker logs -f", logs_times)
    _print_ratios("ratio", watch_times, logs_times)


def measure_latency(server: Server) -> None:
    """Delay of each line. Container and client read the clock of the same machine."""
    for is_flooded in (False, True):
        flood = server.call_api("POST", "/jobs/endless/runs")["id"] if is_flooded else ""
        time.sleep(3 * is_flooded)
        run_id = server.call_api("POST", "/jobs/clock/runs")["id"]
        delays = _read_result(_start_watcher(server, run_id))["delays_ms"]
        if flood:
            server.call_api("POST", f"/runs/{flood}/cancel")
        load = "with a flood" if is_flooded else "alone"
        percentiles = " ".join(
            f"p{share * 100:.0f} {compute_percentile(delays, share):.1f} ms  " for share in (0.5, 0.95, 0.99)
        )
        print(f"  container's clock to WebSocket client, 10 lines/s {load:15} {percentiles}")


def measure(rounds: int = 3) -> None:
    with run_server(CRONIUM_LOG_LIMIT_MB="1000") as server:  # a profile allows 50 MB, less than the measured logs
        image = server.call_api("GET", "/images/bash")["reference"]
        endless = 'while true; do yes "$(head -c 99 /dev/zero | tr "\\0" x)" | head -n 20000; done'
        for slug, script in (("flood", FLOOD), ("clock", CLOCK), ("endless", endless)):
            profile = "small" if slug == "clock" else "large"
            job = {"name": slug, "slug": slug, "language": "bash", "script": script, "profile": profile}
            job["on_log_limit"] = "drop"
            server.call_api("POST", "/jobs", job)
        measure_throughput(server, image, rounds)
        measure_latency(server)
