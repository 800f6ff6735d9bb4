"""From a container's output into the store and to a WebSocket client, beside the engine's own ways to read it."""

import json
import statistics
import subprocess
import sys
import time
from datetime import datetime
from typing import Any

from bench.first_line import percentile
from bench.server import ROOT, Server, serving

LINES, WIDTH = 1_000_000, 100
FLOOD = f'yes "$(head -c {WIDTH - 1} /dev/zero | tr "\\0" x)" | head -n {LINES}'
CLOCK = "for n in $(seq 200); do date +%s%N; sleep 0.1; done"
LIMITS = ["--cpus", "2", "--memory", "1g"]
MB = 1e6


def _drain(command: list[str]) -> tuple[float, int]:
    """Seconds from the first to the last byte that `command` prints, and how many."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as process:
        assert process.stdout is not None
        size, first = len(process.stdout.read(1)), time.monotonic()
        while block := process.stdout.read(1024 * 1024):
            size += len(block)
        return time.monotonic() - first, size


def attached(image: str) -> float:
    return _drain(["docker", "run", "--rm", *LIMITS, image, "bash", "-c", FLOOD])[0]


def docker_logs(image: str) -> float:
    """`docker logs -f` of a container from its start."""
    begin = ["docker", "run", "-d", *LIMITS, "--log-driver", "local", "--log-opt", "max-size=500m"]
    name = subprocess.run([*begin, image, "bash", "-c", FLOOD], capture_output=True, text=True, check=True)
    try:
        return _drain(["docker", "logs", "-f", name.stdout.strip()])[0]
    finally:
        subprocess.run(["docker", "rm", "-f", name.stdout.strip()], capture_output=True, check=True)


def _watcher(server: Server, run_id: str) -> "subprocess.Popen[str]":
    address = f"ws://127.0.0.1:{server.port}/ws/runs/{run_id}/logs?after=0"
    command = [sys.executable, "-m", "bench.watch", address, server.token]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _told(watcher: "subprocess.Popen[str]") -> dict[str, Any]:
    out, _ = watcher.communicate(timeout=300)
    return dict(json.loads(out))


def _stored_seconds(server: Server, run_id: str) -> float:
    """From the first line's arrival to the run's end, with all of its log sealed."""
    while (run := server.ask("GET", f"/runs/{run_id}"))["status"] in ("queued", "starting", "running"):
        time.sleep(0.1)
    assert run["log_lines"] == LINES, run
    first = server.ask("GET", f"/runs/{run_id}/logs?limit=1")["lines"][0]["time"]
    return (datetime.fromisoformat(run["finished_at"]) - datetime.fromisoformat(first)).total_seconds()


def _say(name: str, seconds: list[float]) -> None:
    median = statistics.median(seconds)
    print(f"  {name:38} median {LINES / median / 1000:6.0f} k lines/s   {LINES * WIDTH / median / MB:5.0f} MB/s")


def _ratio(name: str, ours: list[float], theirs: list[float]) -> None:
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    print(f"  {name:38} median {statistics.median(ratios):.2f}   each {', '.join(f'{r:.2f}' for r in ratios)}")


def throughput(server: Server, image: str, rounds: int) -> None:
    stored, watched, bare, followed = [], [], [], []
    for number in range(rounds + 1):
        run_id = server.ask("POST", "/jobs/flood/runs")["id"]
        one = _stored_seconds(server, run_id)
        run_id = server.ask("POST", "/jobs/flood/runs")["id"]
        two = _told(_watcher(server, run_id))
        assert two["lines"] == LINES
        three, four = attached(image), docker_logs(image)
        if number:  # the first warms up
            stored.append(one), watched.append(two["seconds"]), bare.append(three), followed.append(four)
    print(f"{LINES:,} lines of {WIDTH} bytes at full speed, {rounds} rounds, one after the other")
    _say("cronium, into the store", stored)
    _say("an attached docker run", bare)
    _ratio("ratio", stored, bare)
    _say("cronium, to a WebSocket client", watched)
    _say("docker logs -f", followed)
    _ratio("ratio", watched, followed)


def latency(server: Server) -> None:
    """The container's clock and ours are the same machine's."""
    for beside in (False, True):
        flood = server.ask("POST", "/jobs/endless/runs")["id"] if beside else ""
        time.sleep(3 * beside)
        run_id = server.ask("POST", "/jobs/clock/runs")["id"]
        delays = _told(_watcher(server, run_id))["delays_ms"]
        if flood:
            server.ask("POST", f"/runs/{flood}/cancel")
        words = "beside a flood" if beside else "alone"
        marks = " ".join(f"p{share * 100:.0f} {percentile(delays, share):.1f} ms  " for share in (0.5, 0.95, 0.99))
        print(f"  container's clock to WebSocket client, 10 lines/s {words:15} {marks}")


def measure(rounds: int = 3) -> None:
    with serving(CRONIUM_LOG_LIMIT_MB="1000") as server:  # the profiles' 50 MB are less than what is measured
        image = server.ask("GET", "/images/bash")["reference"]
        endless = 'while true; do yes "$(head -c 99 /dev/zero | tr "\\0" x)" | head -n 20000; done'
        for slug, script in (("flood", FLOOD), ("clock", CLOCK), ("endless", endless)):
            profile = "small" if slug == "clock" else "large"
            job = {"name": slug, "slug": slug, "language": "bash", "script": script, "profile": profile}
            job["on_log_limit"] = "drop"
            server.ask("POST", "/jobs", job)
        throughput(server, image, rounds)
        latency(server)
