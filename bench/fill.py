"""Writes rows directly into a server's database, for benchmarks that need many. Runs as a separate process.

python -m bench.fill log RUN LINES       writes a sealed log of LINES lines of 100 bytes
python -m bench.fill runs JOB NUMBER     inserts NUMBER finished runs, each with one log line
python -m bench.fill trivial JOB NUMBER  makes NUMBER runs of a one-line script, through all steps of a real run
python -m bench.fill launch JOB NUMBER RATE  launches NUMBER runs, RATE a second (0: no pauses); prints its cost
python -m bench.fill requests JOB        prints a JSON object: CPU milliseconds and queries of a request, by its name
python -m bench.fill windows RUN         prints a JSON array: milliseconds to read 200 lines at random places
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
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from bench.queries import count_queries  # noqa: E402
from bench.sandbox import create_sandbox_report  # noqa: E402
from cronium_admin.accounts.models import ApiToken  # noqa: E402
from cronium_admin.accounts.people import find_administrator  # noqa: E402
from cronium_admin.jobs.models import Job  # noqa: E402
from cronium_admin.logs import read  # noqa: E402
from cronium_admin.logs.models import LogHead  # noqa: E402
from cronium_admin.logs.store import RunLog, commit_writes  # noqa: E402
from cronium_admin.runs import state_machine  # noqa: E402
from cronium_admin.runs.launch import launch  # noqa: E402
from cronium_admin.runs.models import Run, Status  # noqa: E402
from cronium_admin.runs.trace import pack_offsets  # noqa: E402
from cronium_admin.web.static_files import collect_static_files  # noqa: E402
from executor.spec import Batch, Cursor, Segment  # noqa: E402

WORDS = [
    *("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"),
    *("india", "juliet", "kilo", "lima", "mike", "november", "oscar", "papa"),
]
BATCH = 2500  # lines: 250 kB, the batch size of a busy log


def _generate_lines(first: int, last: int, rng: random.Random) -> bytes:
    rows = (f"{n:>9} {' '.join(rng.choices(WORDS, k=16))}"[:99].ljust(99) for n in range(first, last + 1))
    return ("\n".join(rows) + "\n").encode()


def _create_batch(text: bytes, lines: int, last_line: int) -> Batch:
    return Batch((Segment(1, lines, time.time_ns(), text),), Cursor(last_line, last_line * 100), Cursor())


def write_log(run_id: str, lines: int) -> None:
    run, rng = Run.objects.get(pk=run_id), random.Random(1)
    Run.objects.filter(pk=run_id).update(status=Status.RUNNING)
    run_log = RunLog(run.pk, run.lease_epoch)
    texts = [_generate_lines(n, n + BATCH - 1, rng) for n in range(1, 20 * BATCH, BATCH)]  # repeated
    for offset in range(0, lines, BATCH):
        count = min(BATCH, lines - offset)
        text = texts[offset // BATCH % len(texts)][: count * 100]
        commit_writes([run_log.prepare_write(_create_batch(text, count, offset + count))])
    commit_writes([run_log.prepare_seal()])
    facts = {"log_lines": run_log.lines, "log_bytes": run_log.bytes, "log_digest": run_log.digest}
    Run.objects.filter(pk=run_id).update(status=Status.SUCCEEDED, finished_at=timezone.now(), **facts)


def insert_runs(slug: str, number: int) -> None:
    job = Job.objects.get(slug=slug)
    template = launch(job, find_administrator())
    first = Run.objects.aggregate(n=Max("number"))["n"] + 1
    statuses = [Status.SUCCEEDED] * 8 + [Status.FAILED, Status.TIMED_OUT]
    fields = {field.attname: getattr(template, field.attname) for field in Run._meta.concrete_fields}
    del fields["id"]
    for offset in range(0, number, 2000):
        batch = []
        for n in range(offset, min(offset + 2000, number)):
            run_time = timezone.now() - timedelta(seconds=30 * (number - n))
            times = dict.fromkeys(("created_at", "claimed_at", "started_at", "finished_at"), run_time)
            outcome = {"status": statuses[n % 10], "reason": "exit_code", "exit_code": 0, "log_lines": 1}
            batch.append(Run(**{**fields, "number": first + n, "idempotency_key": None, **times, **outcome}))
        with transaction.atomic():
            Run.objects.bulk_create(batch)
            LogHead.objects.bulk_create(LogHead(run_id=run.pk, lines=1, bytes=6, sealed=True) for run in batch)
    Job.objects.filter(pk=job.pk).update(last_run_number=first + number - 1)
    Run.objects.filter(pk=template.pk).update(status=Status.CANCELLED, reason="cancelled", finished_at=timezone.now())


# A cold start with all phases.
OFFSETS = {
    **{"accepted": 0.0, "queued": 9.4, "claimed": 14.1, "network_made": 78.2, "main_started": 351.9},
    **{"sidecar_loaded": 371.0, "sidecar_ready": 379.6, "prepared": 381.3, "bound": 381.4, "begun": 385.9},
    **{"payload_sent": 386.2, "first_byte": 394.4, "first_line_stored": 396.5, "exit_seen": 484.1},
    **{"drained": 486.7, "finished": 492.0, "taken_down": 764.5},
}


def make_trivial_runs(slug: str, number: int) -> None:
    """Writes all rows of a run. Uses no engine: the recorded sandbox report is made from the requested options."""
    job = Job.objects.get(slug=slug)
    administrator, trace = find_administrator(), pack_offsets(OFFSETS)
    for _ in range(number):
        launch(job, administrator)
        run = state_machine.claim_next("local", "local:1:bench")
        assert run is not None
        state_machine.record_sandbox(run.pk, run.lease_epoch, create_sandbox_report(run))
        state_machine.mark_running(run.pk, run.lease_epoch, "sha256:" + "a" * 64)
        run_log = RunLog(run.pk, run.lease_epoch)
        line = b"Hello from Cronium\n"
        segment = Segment(1, 1, time.time_ns(), line)
        commit_writes([run_log.prepare_write(Batch((segment,), Cursor(1, len(line)), Cursor()))])
        commit_writes([run_log.prepare_seal()])
        facts = {**run_log.totals, "peak_memory_bytes": 4_200_000, "trace": trace}
        ending = state_machine.Ending(Status.SUCCEEDED, "", "The script ended with exit code 0.", 0, facts)
        assert state_machine.finish(run.pk, run.lease_epoch, ending)
        state_machine.mark_cleaned(run.pk, trace=trace)


def launch_runs(slug: str, number: int, rate: float) -> None:
    """Launches as a request does, without HTTP. Prints the duration, the CPU time and the number of queries."""
    job, administrator = Job.objects.get(slug=slug), find_administrator()
    launch(job, administrator)  # opens the connections
    counter = count_queries()
    started_at, cpu = time.monotonic(), time.process_time()
    for n in range(number - 1):
        time.sleep(max(0.0, started_at + n / rate - time.monotonic()) if rate else 0)
        launch(job, administrator)
    seconds, cpu = time.monotonic() - started_at, time.process_time() - cpu
    time.sleep(0.5)  # the publisher's thread sends the last wake-ups
    print(json.dumps({"seconds": seconds, "cpu": cpu, "queries": counter.total()}))


def time_requests(slug: str, repeats: int = 40) -> None:
    """Through Django, without the HTTP server; on the CPU of this process only."""
    administrator, run = find_administrator(), Run.objects.filter(job__slug=slug).latest("created_at")
    headers = {"Authorization": f"Bearer {ApiToken.mint(administrator, 'bench')[1]}"}
    api, browser = Client(headers=headers, SERVER_NAME="localhost"), Client(SERVER_NAME="localhost")
    counter = count_queries()
    collect_static_files()
    browser.force_login(administrator)
    requests = {
        "launch over the API": lambda: api.post(f"/api/v1/jobs/{slug}/runs", {}, content_type="application/json"),
        "a run over the API": lambda: api.get(f"/api/v1/runs/{run.pk}"),
        "200 lines over the API": lambda: api.get(f"/api/v1/runs/{run.pk}/logs"),
        "the page of runs": lambda: browser.get("/runs/"),
        "the page of a run": lambda: browser.get(f"/runs/{run.pk}/"),
    }
    costs = {}
    for name, send in requests.items():
        assert send().status_code in (200, 202), name
        before, started_at = counter.total(), time.process_time()
        for _ in range(repeats):
            send()
        milliseconds = (time.process_time() - started_at) / repeats * 1000
        costs[name] = {"ms": milliseconds, "queries": (counter.total() - before) / repeats}
    print(json.dumps(costs))


def time_windows(run_id: str) -> None:
    run, rng = Run.objects.get(pk=run_id), random.Random(2)
    times = []
    for _ in range(200):
        after = rng.randrange(max(1, run.log_lines - 200))
        started_at = time.perf_counter()
        lines = read.read_lines(run.pk, after, 200)
        times.append((time.perf_counter() - started_at) * 1000)
        assert lines[0].seq == after + 1
    print(json.dumps(times))


if __name__ == "__main__":
    if sys.argv[1] == "windows":
        time_windows(sys.argv[2])
    elif sys.argv[1] == "requests":
        time_requests(sys.argv[2])
    elif sys.argv[1] == "launch":
        launch_runs(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    else:
        fill = {"log": write_log, "runs": insert_runs, "trivial": make_trivial_runs}[sys.argv[1]]
        fill(sys.argv[2], int(sys.argv[3]))
