"""Puts rows straight into a server's database, for measurements that need many. Runs in a process of its own.

python -m bench.fill log RUN LINES     a sealed log of so many lines of 100 bytes
python -m bench.fill runs JOB NUMBER   so many runs that have ended, each with a line of log
python -m bench.fill trivial JOB NUMBER  so many runs, each by the steps of a real one, of a script that writes a line
python -m bench.fill windows RUN       prints, as JSON, how long windows of the store take at random places
"""

import json
import os
import random
import sys
import time
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")
django.setup()

from django.db import transaction  # noqa: E402
from django.db.models import Max  # noqa: E402
from django.utils import timezone  # noqa: E402

from bench.sandbox import reported_sandbox  # noqa: E402
from cronium_admin.jobs.models import Job  # noqa: E402
from cronium_admin.logs import read  # noqa: E402
from cronium_admin.logs.models import LogHead  # noqa: E402
from cronium_admin.logs.store import RunLog, commit  # noqa: E402
from cronium_admin.runs import transitions  # noqa: E402
from cronium_admin.runs.models import Run, Status  # noqa: E402
from cronium_admin.runs.service import launch  # noqa: E402
from executor.spec import Batch, Cursor, Segment  # noqa: E402

WORDS = [
    *("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"),
    *("india", "juliet", "kilo", "lima", "mike", "november", "oscar", "papa"),
]
BATCH = 2500  # lines: 250 kB, as a flood's are


def _text(first: int, last: int, rng: random.Random) -> bytes:
    """Lines of 100 bytes: a number, and words that don't repeat from line to line."""
    rows = (f"{n:>9} {' '.join(rng.choices(WORDS, k=16))}"[:99].ljust(99) for n in range(first, last + 1))
    return ("\n".join(rows) + "\n").encode()


def _batch(text: bytes, lines: int, at: int) -> Batch:
    return Batch((Segment(1, lines, time.time_ns(), text),), Cursor(at, at * 100), Cursor())


def log(run_id: str, lines: int) -> None:
    run, rng = Run.objects.get(pk=run_id), random.Random(1)
    Run.objects.filter(pk=run_id).update(status=Status.RUNNING)
    written = RunLog(run.pk, run.lease_epoch)
    texts = [_text(n, n + BATCH - 1, rng) for n in range(1, 20 * BATCH, BATCH)]  # the same few again and again
    for at in range(0, lines, BATCH):
        count = min(BATCH, lines - at)
        text = texts[at // BATCH % len(texts)][: count * 100]
        commit([written.prepare(_batch(text, count, at + count))])
    commit([written.seal()])
    facts = {"log_lines": written.lines, "log_bytes": written.bytes, "log_digest": written.digest}
    Run.objects.filter(pk=run_id).update(status=Status.SUCCEEDED, finished_at=timezone.now(), **facts)


def runs(slug: str, number: int) -> None:
    job = Job.objects.get(slug=slug)
    model = launch(job, None)
    first = Run.objects.aggregate(n=Max("number"))["n"] + 1
    ends = [Status.SUCCEEDED] * 8 + [Status.FAILED, Status.TIMED_OUT]
    fields = {field.attname: getattr(model, field.attname) for field in Run._meta.concrete_fields}
    del fields["id"]
    for at in range(0, number, 2000):
        made = []
        for n in range(at, min(at + 2000, number)):
            when = timezone.now() - timedelta(seconds=30 * (number - n))
            times = {"created_at": when, "claimed_at": when, "started_at": when, "finished_at": when}
            end = {"status": ends[n % 10], "reason": "exit_code", "exit_code": 0, "log_lines": 1}
            made.append(Run(**{**fields, "number": first + n, "idempotency_key": None, **times, **end}))
        with transaction.atomic():
            Run.objects.bulk_create(made)
            LogHead.objects.bulk_create(LogHead(run_id=run.pk, lines=1, bytes=6, sealed=True) for run in made)
    Job.objects.filter(pk=job.pk).update(last_run_number=first + number - 1)
    Run.objects.filter(pk=model.pk).update(status=Status.CANCELLED, reason="cancelled", finished_at=timezone.now())


def trivial(slug: str, number: int) -> None:
    """All rows that a run leaves; only the engine is not there: it is said to report a sandbox as asked."""
    job = Job.objects.get(slug=slug)
    for _ in range(number):
        launch(job, job.created_by)
        run = transitions.claim_next("local", "local:1:bench")
        assert run is not None
        transitions.record_sandbox(run.pk, run.lease_epoch, reported_sandbox(run))
        transitions.begin(run.pk, run.lease_epoch, "sha256:" + "a" * 64)
        written = RunLog(run.pk, run.lease_epoch)
        line = b"Hello from Cronium\n"
        segment = Segment(1, 1, time.time_ns(), line)
        commit([written.prepare(Batch((segment,), Cursor(1, len(line)), Cursor()))])
        commit([written.seal()])
        facts = {**written.facts, "peak_memory_bytes": 4_200_000}
        ending = transitions.Ending(Status.SUCCEEDED, "", "The script ended with exit code 0.", 0, facts)
        assert transitions.finish(run.pk, run.lease_epoch, ending)
        transitions.mark_clean(run.pk)


def windows(run_id: str) -> None:
    run, rng = Run.objects.get(pk=run_id), random.Random(2)
    times = []
    for _ in range(200):
        after = rng.randrange(max(1, run.log_lines - 200))
        began = time.perf_counter()
        found = read.window(run.pk, after, 200)
        times.append((time.perf_counter() - began) * 1000)
        assert found[0].seq == after + 1
    print(json.dumps(times))


if __name__ == "__main__":
    if sys.argv[1] == "windows":
        windows(sys.argv[2])
    else:
        {"log": log, "runs": runs, "trivial": trivial}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
