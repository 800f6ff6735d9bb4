"""The time from a schedule's nominal time until its run is claimed: idle, with a seconds field, and a thousand at once.

A thousand at once needs CRONIUM_BENCH_DATABASE_URL and CRONIUM_BENCH_REDIS_URL; creates and drops a database there.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from bench.growth import _create_environment, _run_command
from bench.many import _list_runs
from bench.results import ROOT, Results, compute_percentile
from bench.scale import IMAGE, KEYS, SLOTS, _create_database
from bench.server import Server, run_server

MINUTELY, MINUTES = 20, 2  # schedules with an interval of a minute, each at another second
SECONDS = 120
AT_ONCE, OTHERS = 1000, 2
QUIET_SECONDS = 10.0
GIVE_UP_SECONDS = 300.0
CLAIM_SECONDS = 0.5  # a run that was launched while a claim chose
LEVEL = timedelta(minutes=10)  # of waiting; see `runs/claim_order.py`
SEED = f"""
from cronium_admin.accounts.models import User
from cronium_admin.jobs.service import create_job
from cronium_admin.schedules.models import Schedule
user = User.objects.get()
def make(name, priority=3):
    values = {{"name": name, "slug": name, "language": "bash", "script": "true", "priority": priority}}
    return create_job(values, user)
jobs = [make(f"job-{{n}}", n % 5 + 1) for n in range(50)]
rows = [(jobs[n % 50], str(n)) for n in range({AT_ONCE})] + [(make(f"other-{{n}}"), "other") for n in range({OTHERS})]
Schedule.objects.bulk_create(Schedule(job=job, name=name, owner=user, overlap="allow") for job, name in rows)
"""
AHEAD_SECONDS = 20  # of which the others are fired alone in the second half
# The thousand are due at one second, the others from ten seconds before on.
PLAN = """
WITH moment AS (SELECT date_trunc('second', now()) + %s * INTERVAL '1 second' AS start)
UPDATE schedules_schedule SET
    rule = CASE name WHEN 'other' THEN '* * * * * *' ELSE to_char(start AT TIME ZONE 'UTC', 'SS MI HH24 * * *') END,
    cursor_at = start - INTERVAL '11 seconds',
    next_at = CASE name WHEN 'other' THEN start - INTERVAL '10 seconds' ELSE start END,
    due_at = CASE name WHEN 'other' THEN start - INTERVAL '10 seconds' ELSE start END
FROM moment
"""


def _wait(server: Server, slug: str, seconds: float, launch: bool = False) -> list[dict[str, Any]]:
    """The runs that were claimed meanwhile. With `launch` also a run of the job `floor` each four seconds."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(4.0, left))
        if launch:
            server.call_api("POST", "/jobs/floor/runs")
    time.sleep(QUIET_SECONDS)
    return _list_claimed(server, slug)


def _list_claimed(server: Server, slug: str) -> list[dict[str, Any]]:
    return [run for run in _list_runs(server) if (run["job"] or {}).get("slug") == slug and run["claimed_at"]]


def _subtract(run: dict[str, Any], later: str, earlier: str) -> float:
    return (datetime.fromisoformat(run[later]) - datetime.fromisoformat(run[earlier])).total_seconds()


def _add(results: Results, name: str, values: list[float]) -> list[float]:
    results.add(name, values)
    results.add_fact(f"{name}, p99", round(compute_percentile(values, 0.99), 3))
    return values


def _measure_idle(results: Results) -> None:
    with run_server() as server:
        for slug in ("minute", "second", "floor"):
            body = {"name": slug, "slug": slug, "language": "bash", "script": "true"}
            server.call_api("POST", "/jobs", body)
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=QUIET_SECONDS)
        made = []
        for number in range(MINUTELY):
            anchor = start + timedelta(seconds=number * 60 // MINUTELY)
            values = {"name": f"{number}", "kind": "interval", "every_seconds": 60, "overlap": "allow"}
            answer = server.call_api("POST", "/jobs/minute/schedules", {**values, "anchor": anchor.isoformat()})
            made.append(answer["id"])
        runs = _wait(server, "minute", 60.0 * MINUTES)
        _add(results, "idle, every minute", [_subtract(run, "claimed_at", "scheduled_for") for run in runs])
        for pk in made:
            server.call_api("PATCH", f"/schedules/{pk}", {"enabled": False})
        rule = {"name": "second", "rule": "*/4 * * * * *", "overlap": "allow"}
        server.call_api("POST", "/jobs/second/schedules", rule)
        runs = _wait(server, "second", SECONDS, launch=True)
        ours = _add(
            results, "idle, a seconds field", [_subtract(run, "claimed_at", "scheduled_for") for run in reversed(runs)]
        )
        launched = list(reversed(_list_claimed(server, "floor")))
        floor = _add(
            results, "a launch by the API beside it", [_subtract(run, "claimed_at", "created_at") for run in launched]
        )
        pairs = min(len(ours), len(floor))
        results.add_ratios("a seconds field / a launch", ours[:pairs], floor[:pairs])


@contextmanager
def _run_process(environment: dict[str, str], *arguments: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        **{"cwd": ROOT, "env": environment, "stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL},
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _count_out_of_order(runs: list[tuple[datetime, datetime, int]]) -> int:
    """How many claims took a run although one that comes before it by priority and age had been waiting."""
    count = 0
    keyed = [(created - priority * LEVEL, created, claimed) for created, claimed, priority in runs]
    slack = timedelta(seconds=CLAIM_SECONDS)
    for key, _, claimed in keyed:
        count += any(other < key and made + slack < claimed < taken - slack for other, made, taken in keyed)
    return count


def _wait_for_start(database: "psycopg.Connection[Any]") -> None:
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    query = "SELECT (SELECT count(*) FROM schedules_heartbeat) + (SELECT count(*) FROM hosts_host WHERE owner <> '')"
    while database.execute(query).fetchall() != [(2,)]:
        if time.monotonic() > give_up_at:
            raise RuntimeError("the ticker and the host did not start")
        time.sleep(0.2)


def _measure_at_once(url: str, environment: dict[str, str], results: Results) -> None:
    _run_command(environment, "manage.py", "migrate", "-v0")
    _run_command(environment, "manage.py", "bootstrap")
    _run_command(environment, "manage.py", "shell", "-v0", "-c", SEED)
    of_all = "FROM schedules_occurrence o JOIN schedules_schedule s ON s.id = o.schedule_id"
    of_all += " JOIN runs_run r ON r.id = o.run_id"
    lag = "extract(epoch FROM {} - o.nominal_at)::float"
    with ExitStack() as stack:
        database = stack.enter_context(psycopg.connect(url, autocommit=True))
        stack.enter_context(_run_process(environment, "bench.scale_hosts", "0", "1", IMAGE))
        stack.enter_context(_run_process(environment, "tests.engine.ticker"))
        _wait_for_start(database)
        database.execute(PLAN, [AHEAD_SECONDS])
        ended, give_up_at = 0, time.monotonic() + GIVE_UP_SECONDS
        while ended < AT_ONCE:
            time.sleep(1)
            query = f"SELECT count(r.claimed_at) {of_all} WHERE s.name <> 'other'"
            [(ended,)] = database.execute(query).fetchall()  # type: ignore[arg-type]
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"only {ended} of {AT_ONCE} runs were claimed")

        def read(column: str, which: str) -> list[float]:
            query = f"SELECT {lag.format(column)} {of_all} WHERE s.name {which} 'other' AND r.claimed_at IS NOT NULL"
            return [row[0] for row in database.execute(query).fetchall()]  # type: ignore[arg-type]

        _add(results, f"{AT_ONCE:,} at once, launched", read("r.created_at", "<>"))
        _add(results, f"{AT_ONCE:,} at once, claimed", read("r.claimed_at", "<>"))
        others = _add(results, "others beside them, launched", read("r.created_at", "="))
        results.add_fact("others beside them, the latest launch", round(max(others), 3))
        _add(results, "others beside them, claimed", read("r.claimed_at", "="))
        query = f"SELECT r.created_at, r.claimed_at, r.priority {of_all} WHERE r.claimed_at IS NOT NULL"
        rows = database.execute(query).fetchall()  # type: ignore[arg-type]
        results.add_fact("claims out of order", _count_out_of_order(rows))
        query = f"SELECT count(*) - count(DISTINCT (s.id, o.nominal_at)) {of_all}"
        results.add_fact("doubled runs", database.execute(query).fetchall()[0][0])  # type: ignore[arg-type]


def measure() -> None:
    print("schedule_lag")
    results = Results("schedule_lag")
    _measure_idle(results)
    server, redis_url = (os.environ.get(f"CRONIUM_BENCH_{name}_URL", "") for name in ("DATABASE", "REDIS"))
    if not (server and redis_url):
        print("  a thousand at once: not measured; set CRONIUM_BENCH_DATABASE_URL and CRONIUM_BENCH_REDIS_URL")
        results.write()
        return
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cronium-bench-"))
        url = stack.enter_context(_create_database(server))
        settings = {
            "CRONIUM_REDIS_URL": redis_url,
            "CRONIUM_CANARY": "off",
            "CRONIUM_WARM": "0",
            "CRONIUM_MAX_CONCURRENT": str(SLOTS),
            "CRONIUM_CPU_OVERCOMMIT": "10",
            "CRONIUM_CONTAINER_IMAGES_BASH": IMAGE,
            **KEYS,
        }
        environment = _create_environment(folder, url) | settings
        _measure_at_once(url, environment | {"DJANGO_SETTINGS_MODULE": "cronium_admin.settings"}, results)
    results.write()
