"""From `POST .../runs` to the first log line at a WebSocket client, beside a bare `docker run`.

The two alternate, so that whatever else the machine does meets both alike.
"""

import json
import statistics
import subprocess
import time

from websockets.sync.client import connect

from bench.server import Server, serving

LINE = "first"


def through_cronium(server: Server, slug: str) -> float:
    """Seconds until the line is at the client; returns when the run has ended."""
    begun = time.perf_counter()
    run = server.ask("POST", f"/jobs/{slug}/runs")
    address = f"ws://127.0.0.1:{server.port}/ws/runs/{run['id']}/logs?after=0"
    first = 0.0
    with connect(address, additional_headers={"Authorization": f"Bearer {server.token}"}) as socket:
        for text in socket:
            message = json.loads(text)
            if message["type"] == "lines" and not first:
                assert message["lines"][0][3] == LINE
                first = time.perf_counter() - begun
    _wait_until_clean(server, run["id"])
    return first


def _wait_until_clean(server: Server, run_id: str) -> None:
    """The sandbox's take-down is no part of either measurement, so neither may run beside it."""
    name = f"cronium-job-{run_id}"
    command = ["docker", "network", "ls", "-q", "--filter", f"name={name}"]
    while subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip():
        time.sleep(0.05)


def bare(image: str) -> float:
    """Seconds until `docker run` shows the line."""
    begun = time.perf_counter()
    command = ["docker", "run", "--rm", image, "bash", "-c", f"echo {LINE}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == LINE
        return time.perf_counter() - begun


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(rounds: int = 20) -> None:
    with serving() as server:
        image = server.ask("GET", "/images/bash")["reference"]
        job = {"name": "First line", "slug": "first-line", "language": "bash", "script": f"echo {LINE}"}
        server.ask("POST", "/jobs", job)
        through_cronium(server, "first-line"), bare(image)  # warm both up
        pairs = [(through_cronium(server, "first-line"), bare(image)) for _ in range(rounds)]
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    ratios = [a / b for a, b in pairs]
    print(f"first line, {rounds} pairs, alternating ({image})")
    for name, values in (("cronium, hardened, with sidecar", ours), ("bare docker run", theirs)):
        print(f"  {name:32} median {statistics.median(values):.3f} s   p95 {percentile(values, 0.95):.3f} s")
    print(f"  {'ratio of each pair':32} median {statistics.median(ratios):.2f}     p95 {percentile(ratios, 0.95):.2f}")
