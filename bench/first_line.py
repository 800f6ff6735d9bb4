"""Time from `POST .../runs` to the first log line at a WebSocket client, compared with `docker run`.

The two measurements alternate, so that other load on the machine affects both.
"""

import json
import statistics
import subprocess
import time

from websockets.sync.client import connect

from bench.server import Server, run_server

LINE = "first"


def measure_cronium(server: Server, slug: str) -> float:
    """Seconds until the client has the line. Returns after the run has ended and its sandbox is removed."""
    started_at = time.perf_counter()
    run = server.call_api("POST", f"/jobs/{slug}/runs")
    address = f"ws://127.0.0.1:{server.port}/ws/runs/{run['id']}/logs?after=0"
    first = 0.0
    with connect(address, additional_headers={"Authorization": f"Bearer {server.token}"}) as socket:
        for text in socket:
            message = json.loads(text)
            if message["type"] == "lines" and not first:
                assert message["lines"][0][3] == LINE
                first = time.perf_counter() - started_at
    _wait_until_removed(server, run["id"])
    return first


def _wait_until_removed(server: Server, run_id: str) -> None:
    """Removing the sandbox belongs to neither measurement, so neither may overlap with it."""
    name = f"cronium-job-{run_id}"
    command = ["docker", "network", "ls", "-q", "--filter", f"name={name}"]
    while subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip():
        time.sleep(0.05)


def measure_docker_run(image: str) -> float:
    started_at = time.perf_counter()
    command = ["docker", "run", "--rm", image, "bash", "-c", f"echo {LINE}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == LINE
        return time.perf_counter() - started_at


def compute_percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(rounds: int = 20) -> None:
    with run_server() as server:
        image = server.call_api("GET", "/images/bash")["reference"]
        job = {"name": "First line", "slug": "first-line", "language": "bash", "script": f"echo {LINE}"}
        server.call_api("POST", "/jobs", job)
        measure_cronium(server, "first-line"), measure_docker_run(image)  # warm-up
        pairs = [(measure_cronium(server, "first-line"), measure_docker_run(image)) for _ in range(rounds)]
    cronium_times, docker_times = [a for a, _ in pairs], [b for _, b in pairs]
    ratios = [a / b for a, b in pairs]
    print(f"first line, {rounds} pairs, alternating ({image})")
    for name, values in (("cronium, hardened, with sidecar", cronium_times), ("bare docker run", docker_times)):
        print(f"  {name:32} median {statistics.median(values):.3f} s   p95 {compute_percentile(values, 0.95):.3f} s")
    ratio, p95 = statistics.median(ratios), compute_percentile(ratios, 0.95)
    print(f"  {'ratio of each pair':32} median {ratio:.2f}     p95 {p95:.2f}")
