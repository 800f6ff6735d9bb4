"""`make chaos`: runs, harm, quiet, and a verdict. Exit 1 on a violation."""

import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx

from executor.failpoints import POINTS
from tests.chaos.cancels import Cancels
from tests.chaos.check import TERMINAL, Asked, script
from tests.chaos.cluster import Cluster
from tests.chaos.evidence import violations
from tests.chaos.nemesis import Nemesis

QUIET_SECONDS = 180
ASK_SECONDS = 180  # web is frozen for 40 s at most, and each call to it takes up to 30 s
HEAL_SECONDS = 420  # the longest act, and then all up again: an engine's start may take 120 s, each time
NEVER = 600.0  # longer than any trial's quiet: who sleeps that long ends by its limit or a cancel


def planned(rng: random.Random, number: int) -> Asked:
    """What is asked for next, and what will be done to it."""
    lines, code = rng.randint(1, 400), rng.choice((0, 0, 0, 3))
    times_out, cancelled = number % 17 == 0, number % 8 == 0
    lasts = cancelled and number % 16 == 0  # its cancel comes well before its end, and must be obeyed
    sleep = NEVER if times_out or lasts else rng.choice((0, 0.5, 2, 8))
    timeout = 5 if times_out else 150 if lasts else 90  # less than QUIET_SECONDS
    return Asked(number, "", lines, code, sleep, timeout, cancelled)


def ask(cluster: Cluster, plan: Asked, answers: Counter[str]) -> Asked:
    """A job and a run of it; web may be away, so each call is repeated under one key."""
    job = {
        "name": plan.slug,
        "slug": plan.slug,
        "language": "bash",
        "script": script(cluster.name, plan.number, plan.lines, plan.sleep, plan.code),
        "timeout_seconds": plan.timeout,
    }
    end = time.monotonic() + ASK_SECONDS
    while time.monotonic() < end:
        with suppress(httpx.TransportError):
            made = cluster.client.post("/jobs", json=job)
            if made.status_code in (201, 409, 422):  # the last two: it was made, and its answer was lost
                answer = cluster.client.post(f"/jobs/{plan.slug}/runs", json={}, headers={"Idempotency-Key": plan.slug})
                if answer.status_code == 202:
                    return Asked(**{**vars(plan), "run_id": answer.json()["id"]})
                made = answer
            answers[f"{made.request.method} {made.request.url.path.rpartition('/')[2]} {made.status_code}"] += 1
            if made.status_code < 500:
                raise AssertionError(f"{plan.slug} was answered {made.status_code} {made.text}")
        time.sleep(0.5)
    raise AssertionError(f"{plan.slug} could not be asked for within {ASK_SECONDS} s")


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
        nemesis, answers, asked = Nemesis(cluster, seed), Counter[str](), list[Asked]()
        thread = threading.Thread(target=nemesis.run, daemon=True)
        thread.start()
        cancels, end = Cancels(cluster, rng), time.monotonic() + seconds
        for number in range(1, runs + 1):
            asked.append(ask(cluster, planned(rng, number), answers))
            if asked[-1].cancelled:
                cancels.plan(asked[-1])
            cancels.go()
            time.sleep(max(0.0, (end - time.monotonic()) / (runs - number + 1)) * rng.uniform(0, 1.5))
        nemesis.over.set()
        thread.join(HEAL_SECONDS)
        found = cancels.go_on(60)
        quiet = time.monotonic()
        while not settled(cluster, asked) and time.monotonic() < quiet + QUIET_SECONDS:
            time.sleep(1)
        quiet = time.monotonic() - quiet
        found += violations(cluster, cluster.witness, asked, cancels.answers, nemesis.harm, [cluster.proof])
        found += broken_tools(cluster, nemesis)
        found += [f"left on an engine: {name}" for name in cluster.left_on_engines()]
        table(nemesis, cluster, asked, answers)
        print(f"  harm {nemesis.did.total()}, runs {len(asked)}, settled after {quiet:.0f} s, violations {len(found)}")
        for words in found:
            print(f"  VIOLATION {words}")
        return len(found)
    finally:
        cluster.end()


def broken_tools(cluster: Cluster, nemesis: Nemesis) -> list[str]:
    """Why this trial proves nothing, and which processes ended by themselves."""
    nemesis.look()
    found = list(nemesis.unasked)
    if not nemesis.ended_well:
        found.append("the nemesis itself failed, or is still at it, so this trial proves nothing")
    if cluster.witness.failed:
        found.append(f"the witness failed, so this trial proves nothing: {cluster.witness.failed}")
    return found


def table(nemesis: Nemesis, cluster: Cluster, asked: list[Asked], answers: Counter[str]) -> None:
    for what, times in sorted(nemesis.did.items()):
        print(f"  {what:32} {times}")
    ends: Counter[str] = Counter()
    for one in asked:
        with suppress(httpx.TransportError, AssertionError):
            run = cluster.get(one.run_id)
            ends[f"{run['status']}/{run['reason']}"] += 1
    for name, times in sorted(ends.items()):
        print(f"  ended {name:26} {times}")
    for name, times in sorted(answers.items()):
        print(f"  answered {name:23} {times}")
    print(f"  crash points reached: {len(POINTS) - len(nemesis.points)} of {len(POINTS)}; not: {nemesis.points}")
    witness = cluster.witness
    print(f"  starts seen {witness.total() - 1}; the witness once did not look for {witness.longest_pause:.1f} s")
    print(f"  the slowest end after SIGTERM took {nemesis.slowest_end:.1f} s")


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
