"""`make chaos`: runs, harm, quiet, and a verdict. Exit 1 on a violation."""

import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx

from executor.crash import POINTS
from tests.chaos.check import SCRIPT, Asked, violations
from tests.chaos.cluster import Cluster
from tests.chaos.nemesis import Nemesis
from tests.engine.server import TERMINAL

QUIET_SECONDS = 180


def ask(cluster: Cluster, rng: random.Random, number: int) -> Asked:
    """A job and a run; web may be away, so each call is repeated under one key."""
    lines, code = rng.randint(1, 400), rng.choice((0, 0, 0, 3))
    times_out, cancelled = number % 17 == 0, number % 8 == 0
    sleep = 60 if times_out else rng.choice((0, 0.5, 2, 8))
    slug = f"chaos-{number}"
    job = {
        "name": slug,
        "slug": slug,
        "language": "bash",
        "script": SCRIPT.format(number=number, lines=lines, sleep=sleep, code=code),
        "timeout_seconds": 5 if times_out else 90,  # less than QUIET_SECONDS
    }
    while True:
        with suppress(httpx.TransportError):
            made = cluster.client.post("/jobs", json=job)
            if made.status_code in (201, 409, 422):  # the last two: it was made, and its answer was lost
                answer = cluster.client.post(f"/jobs/{slug}/runs", json={}, headers={"Idempotency-Key": slug})
                if answer.status_code == 202:
                    return Asked(number, answer.json()["id"], lines, code, cancelled, times_out)
        time.sleep(0.5)


class Cancels:
    """Asks for each cancel some time after its run, so that it meets runs at every step."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self._cluster, self._rng = cluster, rng
        self._due: list[tuple[float, Asked]] = []

    def plan(self, one: Asked) -> None:
        self._due.append((time.monotonic() + self._rng.uniform(0, 6), one))

    def go(self, whatever: bool = False) -> None:
        """Ask for what is due, or for all."""
        waiting = self._due
        self._due = [pair for pair in waiting if pair[0] > time.monotonic() and not whatever]
        for pair in waiting:
            if pair not in self._due:
                with suppress(httpx.TransportError):
                    self._cluster.client.post(f"/runs/{pair[1].run_id}/cancel")


def settled(cluster: Cluster, asked: list[Asked]) -> bool:
    with suppress(httpx.TransportError, AssertionError):
        return all(cluster.get(one.run_id)["status"] in TERMINAL for one in asked) and not cluster.left_on_engines()
    return False


def trial(runs: int, seed: int, seconds: float, folder: Path) -> int:
    """The number of violations."""
    print(f"chaos: {runs} runs, {seconds:.0f} s, seed {seed}", flush=True)
    rng = random.Random(seed)
    cluster = Cluster(folder, os.environ["CRONIUM_TEST_DATABASE_URL"])
    try:
        cluster.prepare()
        nemesis = Nemesis(cluster, seed)
        thread = threading.Thread(target=nemesis.run, daemon=True)
        thread.start()
        asked, cancels, end = [], Cancels(cluster, rng), time.monotonic() + seconds
        for number in range(1, runs + 1):
            asked.append(ask(cluster, rng, number))
            if asked[-1].cancelled:
                cancels.plan(asked[-1])
            cancels.go()
            time.sleep(max(0.0, (end - time.monotonic()) / (runs - number + 1)) * rng.uniform(0, 1.5))
        cancels.go(whatever=True)
        nemesis.over.set()
        thread.join(120)
        quiet = time.monotonic()
        while not settled(cluster, asked) and time.monotonic() < quiet + QUIET_SECONDS:
            time.sleep(1)
        found = violations(cluster, asked)
        if not nemesis.ended_well:
            found.append("the nemesis itself failed, so this trial proves nothing")
        found += [f"left on an engine: {name}" for name in cluster.left_on_engines()]
        table(nemesis, cluster, asked, found, time.monotonic() - quiet)
        return len(found)
    finally:
        cluster.end()


def table(nemesis: Nemesis, cluster: Cluster, asked: list[Asked], found: list[str], quiet: float) -> None:
    for what, times in sorted(nemesis.did.items()):
        print(f"  {what:32} {times}")
    ends: dict[str, int] = {}
    for one in asked:
        run = cluster.get(one.run_id)
        name = f"{run['status']}/{run['reason']}"
        ends[name] = ends.get(name, 0) + 1
    for name, times in sorted(ends.items()):
        print(f"  ended {name:26} {times}")
    print(f"  crash points reached: {len(POINTS) - len(nemesis.points)} of {len(POINTS)}; not: {nemesis.points}")
    print(f"  harm {nemesis.did.total()}, runs {len(asked)}, settled after {quiet:.0f} s, violations {len(found)}")
    for words in found:
        print(f"  VIOLATION {words}")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all it started is stopped
    runs, seconds = int(os.environ.get("CHAOS_RUNS", "300")), float(os.environ.get("CHAOS_SECONDS", "900"))
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    folder = Path(tempfile.mkdtemp(prefix="cronium-chaos-"))
    broken = trial(runs, seed, seconds, folder)
    if broken:
        print(f"chaos: the processes' logs are in {folder}; again with CHAOS_SEED={seed}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
