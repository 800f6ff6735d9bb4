"""`make chaos`: runs jobs under injected faults, waits until all runs have ended, and checks them.

Exits with 1 on a violation.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import httpx

from tests.chaos.cancels import Cancels
from tests.chaos.check import TERMINAL, Request, create_script
from tests.chaos.cluster import Cluster
from tests.chaos.evidence import find_violations
from tests.chaos.images import ImageLoad
from tests.chaos.nemesis import FAILPOINTS, FAILPOINTS_WITH_BUILDS, MAX_WAIT_SECONDS, Nemesis
from tests.chaos.schedules import ScheduleLoad
from tests.engine.registry import start_registry

SETTLE_SECONDS = 180
REQUEST_SECONDS = 180  # web is frozen for at most 40 s, and a call takes up to 30 s
RESTORE_SECONDS = 420  # the longest fault, then the restart of all parts; an engine may take 120 s each time to start
LONG_FAILPOINT_SECONDS = 45.0  # a killed worker's lease ends after 20 s, and a build has its first failpoint later
ENDLESS_SECONDS = 600.0  # longer than SETTLE_SECONDS: such a run ends by its timeout or a cancel


def plan_request(rng: random.Random, number: int) -> Request:
    lines, code = rng.randint(1, 400), rng.choice((0, 0, 0, 3))
    times_out, is_cancelled = number % 17 == 0, number % 8 == 0
    is_endless = is_cancelled and number % 16 == 0  # the cancel comes well before the end and must take effect
    sleep = ENDLESS_SECONDS if times_out or is_endless else rng.choice((0, 0.5, 2, 8))
    timeout = 5 if times_out else 150 if is_endless else 90  # less than SETTLE_SECONDS
    return Request(number, "", lines, code, sleep, timeout, is_cancelled)


def send_request(cluster: Cluster, request: Request, errors: Counter[str]) -> Request:
    """Creates a job and a run. Web may be down, so each call is repeated, with the same idempotency key."""
    job = {
        "name": request.slug,
        "slug": request.slug,
        "language": "bash",
        "script": create_script(cluster.name, request.number, request.lines, request.sleep, request.code),
        "timeout_seconds": request.timeout,
    }
    deadline = time.monotonic() + REQUEST_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            response = cluster.client.post("/jobs", json=job)
            if response.status_code in (201, 409, 422):  # 409, 422: it exists, its response was lost
                launched = cluster.client.post(
                    f"/jobs/{request.slug}/runs", json={}, headers={"Idempotency-Key": request.slug}
                )
                if launched.status_code == 202:
                    return replace(request, run_id=launched.json()["id"])
                response = launched
            path = response.request.url.path.rpartition("/")[2]
            errors[f"{response.request.method} {path} {response.status_code}"] += 1
            if response.status_code < 500:
                raise AssertionError(f"{request.slug} got the response {response.status_code} {response.text}")
        time.sleep(0.5)
    raise AssertionError(f"{request.slug} got no response within {REQUEST_SECONDS} s")


def is_settled(cluster: Cluster, requests: list[Request], loads: Sequence[ImageLoad | ScheduleLoad]) -> bool:
    with suppress(httpx.TransportError, AssertionError):
        return (
            all(cluster.get(request.run_id)["status"] in TERMINAL for request in requests)
            and not cluster.list_leftovers()
            and all(load.is_settled() for load in loads)
        )
    return False


def run_trial(runs: int, seed: int, seconds: float, folder: Path, *, with_images: bool = False) -> int:
    """Schedules come due beside the runs. `with_images`: custom images are built and images are pulled, too."""
    print(f"chaos: {runs} runs, {seconds:.0f} s, seed {seed}", flush=True)
    rng = random.Random(seed)
    cluster = Cluster(folder, os.environ["CRONIUM_TEST_DATABASE_URL"])
    load: ImageLoad | None = None
    with ExitStack() as stack:
        stack.callback(cluster.remove)
        cluster.prepare()
        if with_images:
            load = ImageLoad(cluster, stack.enter_context(start_registry()), seed)
            stack.callback(load.remove)
            load.start()
        schedules = ScheduleLoad(cluster)
        schedules.start()
        failpoints = FAILPOINTS_WITH_BUILDS if load else FAILPOINTS
        nemesis = Nemesis(cluster, seed, failpoints, LONG_FAILPOINT_SECONDS if load else MAX_WAIT_SECONDS)
        errors, requests = Counter[str](), list[Request]()
        thread = threading.Thread(target=nemesis.run, daemon=True)
        thread.start()
        cancels, end = Cancels(cluster, rng), time.monotonic() + seconds
        for number in range(1, runs + 1):
            requests.append(send_request(cluster, plan_request(rng, number), errors))
            if requests[-1].is_cancelled:
                cancels.schedule(requests[-1])
            cancels.send_due()
            time.sleep(max(0.0, (end - time.monotonic()) / (runs - number + 1)) * rng.uniform(0, 1.5))
        if load:
            load.stop()
        nemesis.stopped.set()
        thread.join(RESTORE_SECONDS)
        violations = cancels.send_all(60) + schedules.stop()
        started_at = time.monotonic()
        loads = [schedules, load] if load else [schedules]
        while not is_settled(cluster, requests, loads) and time.monotonic() < started_at + SETTLE_SECONDS:
            time.sleep(1)
        settle_seconds = time.monotonic() - started_at
        violations += find_violations(
            *(cluster, cluster.witness, requests, cancels.results, nemesis.faults),
            [cluster.setup_run_id, *(run_id for each in loads for run_id in each.list_run_ids())],
        )
        violations += find_tool_failures(cluster, nemesis)
        violations += [f"left on an engine: {name}" for name in cluster.list_leftovers()]
        print_summary(nemesis, cluster, requests, errors, failpoints)
        violations += [violation for each in loads for violation in each.find_violations()]
        if load:
            load.print_summary()
        total = f"faults {nemesis.counts.total()}, runs {len(requests)}"
        print(f"  {total}, settled after {settle_seconds:.0f} s, violations {len(violations)}")
        for violation in violations:
            print(f"  VIOLATION {violation}")
        return len(violations)


def find_tool_failures(cluster: Cluster, nemesis: Nemesis) -> list[str]:
    """Failures that make the trial invalid, and processes that ended without a fault."""
    nemesis.record_exits()
    failures = list(nemesis.unexpected_exits)
    if not nemesis.is_finished:
        failures.append("invalid trial: the nemesis failed or has not finished")
    if cluster.witness.failure:
        failures.append(f"invalid trial: the witness failed: {cluster.witness.failure}")
    return failures


def print_summary(
    nemesis: Nemesis, cluster: Cluster, requests: list[Request], errors: Counter[str], failpoints: Sequence[str]
) -> None:
    for fault, count in sorted(nemesis.counts.items()):
        print(f"  {fault:32} {count}")
    outcomes: Counter[str] = Counter()
    for request in requests:
        with suppress(httpx.TransportError, AssertionError):
            run = cluster.get(request.run_id)
            outcomes[f"{run['status']}/{run['reason']}"] += 1
    for outcome, count in sorted(outcomes.items()):
        print(f"  outcome {outcome:24} {count}")
    for error, count in sorted(errors.items()):
        print(f"  response {error:23} {count}")
    missed = nemesis.failpoints
    print(f"  failpoints reached: {len(failpoints) - len(missed)} of {len(failpoints)}; not reached: {missed}")
    witness = cluster.witness
    print(f"  starts counted {witness.count_starts() - 1}; longest pause of the witness {witness.longest_pause:.1f} s")
    print(f"  slowest exit after SIGTERM {nemesis.slowest_exit:.1f} s")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the finally blocks
    runs, seconds = int(os.environ.get("CHAOS_RUNS", "300")), float(os.environ.get("CHAOS_SECONDS", "900"))
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    folder = Path(tempfile.mkdtemp(prefix="cronium-chaos-"))
    violations = run_trial(runs, seed, seconds, folder, with_images=True)
    if violations:
        print(f"chaos: the logs of the processes are in {folder}; to repeat: CHAOS_SEED={seed}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
