"""test_plans runs this file in a separate process: fills a database with runs and executes the frequent queries.

Prints as JSON their cost and their plans.
"""

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import override_settings  # noqa: E402
from django.utils import timezone  # noqa: E402

from cronium_admin.accounts.models import Membership, Project, User  # noqa: E402
from cronium_admin.core.paging import fetch_newest_page, make_cursor  # noqa: E402
from cronium_admin.home.activity import fetch_activity  # noqa: E402
from cronium_admin.home.failing import find_last_failure  # noqa: E402
from cronium_admin.jobs.job_filter import JobFilter, Sort  # noqa: E402
from cronium_admin.jobs.job_listing import list_matching  # noqa: E402
from cronium_admin.jobs.job_states import count_states  # noqa: E402
from cronium_admin.jobs.models import Job  # noqa: E402
from cronium_admin.jobs.recent_runs import fetch_recent_runs  # noqa: E402
from cronium_admin.jobs.service import create_job  # noqa: E402
from cronium_admin.logs import seal_orphans  # noqa: E402
from cronium_admin.logs.archive import archiver  # noqa: E402
from cronium_admin.logs.retention import due  # noqa: E402
from cronium_admin.logs.throttle import Throttle  # noqa: E402
from cronium_admin.ops.metrics_endpoint import DatabaseStateCache  # noqa: E402
from cronium_admin.palette.entries import find_entries  # noqa: E402
from cronium_admin.retention import ends, rows  # noqa: E402
from cronium_admin.retention.deletion import Selection, _list_batches  # noqa: E402
from cronium_admin.retention.due import find_due_runs  # noqa: E402
from cronium_admin.runs.filters import RunFilter  # noqa: E402
from cronium_admin.runs.launch import launch  # noqa: E402
from cronium_admin.runs.models import LIVE, Run, Status  # noqa: E402
from cronium_admin.web.frame_counts import count_for_frame  # noqa: E402
from cronium_admin.workers import abandoned  # noqa: E402
from cronium_admin.workers.gc import runs as gc_runs  # noqa: E402
from tests.users import get_admin  # noqa: E402

JOBS, STEP = 4, 1000
SQLITE = connection.vendor == "sqlite"
NUMBERS = (
    "WITH RECURSIVE series(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM series WHERE n <= {count})"
    if SQLITE
    else "WITH series(n) AS (SELECT generate_series(2, {count} + 1))"
)
ID = "printf('%032x', n)" if SQLITE else "('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
WHEN = (
    "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || (n * 30) || ' seconds')"
    if SQLITE
    else "now() - n * interval '30 seconds'"
)


def fill(count: int) -> None:
    """Copies one run: two of a hundred have failed, all are cleaned up, and all logs are sealed."""
    jobs = [create_job({"name": f"j{n}", "language": "bash", "script": "true"}, get_admin()) for n in range(JOBS)]
    model = launch(jobs[0], get_admin())
    columns = {field.column: f'm."{field.column}"' for field in Run._meta.concrete_fields}
    columns |= dict.fromkeys(("created_at", "claimed_at", "started_at", "finished_at", "cleaned_at"), WHEN)
    columns |= {"id": ID, "number": f"{count} + 3 - n", "job_id": f"{jobs[0].pk} + n % {JOBS}", "log_digest": "'x'"}
    columns |= {"status": "CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END", "host": "'local'"}
    columns |= {"reason": f"CASE WHEN n = {count} THEN 'oom' WHEN n % 50 = 0 THEN 'exit_code' ELSE '' END"}
    names = ", ".join(f'"{name}"' for name in columns)
    with connection.cursor() as sql:
        series = NUMBERS.format(count=count)
        picked = f"SELECT {', '.join(columns.values())} FROM series, runs_run m"
        sql.execute(f"{'' if SQLITE else series} INSERT INTO runs_run ({names}) {series if SQLITE else ''} {picked}")
        head = (
            "INSERT INTO logs_loghead (run_id, lines, bytes, stdout_lines, stdout_bytes, stderr_lines, stderr_bytes, "
        )
        head += "stdout_tail, stderr_tail, sealed, gaps, dropped_lines, dropped_bytes, pruning) SELECT id, 1, 1, 1, 1, "
        empty = "x''" if SQLITE else "''::bytea"
        head += f"0, 0, {empty}, {empty}, true, 0, 0, 0, false FROM runs_run WHERE log_digest = 'x'"
        sql.execute(head)
        event = "INSERT INTO runs_runevent (run_id, at, kind, message, \"by\") SELECT id, created_at, 'x', '', '' "
        sql.execute(event + "FROM runs_run WHERE log_digest = 'x'")
        if not SQLITE:
            sql.execute("ANALYZE")
    Job.objects.update(last_run_number=count + 1)
    Run.objects.filter(pk=model.pk).update(status=Status.CANCELLED, finished_at=timezone.now())


class Watch:
    """The cost of queries: steps of SQLite's virtual machine, or rows that PostgreSQL touched; and the plans."""

    def __init__(self) -> None:
        self.work = 0
        self.plans: list[str] = []

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().startswith(("SELECT", "UPDATE", "DELETE")) and "runs_run" in sql:
            self._explain(sql, params)
        return execute(sql, params, many, context)

    def _explain(self, sql: str, params: Any) -> None:
        with connection.cursor() as plan:
            if SQLITE:
                plan.cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
                self.plans += [str(row[3]) for row in plan.cursor.fetchall()]
            elif sql.lstrip().startswith("SELECT"):
                plan.cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql.replace('FOR NO KEY UPDATE', '')}", params)
                self._note(plan.cursor.fetchone()[0][0]["Plan"])

    def _note(self, node: dict[str, Any]) -> None:
        touched = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        self.work += int(touched * node["Actual Loops"])
        name = node.get("Index Name") or node.get("Relation Name") or ""
        self.plans.append(f"{node['Node Type']} {name} {node.get('Index Cond', '')}".strip())
        for part in node.get("Plans", ()):
            self._note(part)

    def step(self) -> None:
        self.work += STEP


@contextmanager
def watched() -> Iterator[Watch]:
    watch = Watch()
    raw: Any = connection.connection
    if SQLITE:
        assert isinstance(raw, sqlite3.Connection)
        raw.set_progress_handler(watch.step, STEP)
    with connection.execute_wrapper(watch):
        yield watch
    if SQLITE:
        raw.set_progress_handler(None, 0)


def _with(ask: Callable[[], Any], **settings_of_config: Any) -> Any:
    with override_settings(CONFIG=settings.CONFIG.model_copy(update=settings_of_config)):
        return ask()


def _archived() -> Any:
    return next(archiver.find_archivable_logs(), None)


def _first_log() -> Any:
    return next(due.find_due_logs())


def _first_runs() -> Any:
    return [found.runs.first() for found in find_due_runs()]


def _filters(job: Job, after: str, deep: datetime) -> dict[str, Callable[[], Any]]:
    """The filters of the API and the page for the list of runs, at its beginning and deep in it."""
    tagged = Job.objects.last()
    assert tagged is not None
    Job.objects.update(tags=["all"])
    Job.objects.filter(pk=tagged.pk).update(tags=["all", "one"])
    User.objects.create(username="other", role="operator")
    Project.objects.create(name="North", slug="north")
    filters: dict[str, dict[str, Any]] = {
        "job": {"job": [job.slug]},
        "failed": {"status": ["failed"]},
        "succeeded": {"status": ["succeeded"]},
        "lost, of which there is none": {"status": ["lost"]},
        "live": {"status": ["live"]},
        "live or failed": {"status": ["live", "failed"]},
        "failed or lost": {"status": ["failed", "lost"]},
        "job, failed": {"job": [job.slug], "status": ["failed"]},
        "job, lost": {"job": [job.slug], "status": ["lost"]},
        "tag": {"tag": ["one"]},
        "tag, failed": {"tag": ["one"], "status": ["failed"]},
        "tags of all jobs": {"tag": ["all"]},
        "host": {"host": ["local"]},
        "host, of which there is none": {"host": ["gone"]},
        "language": {"language": ["bash"]},
        "language, of which there is none": {"language": ["node"]},
        "reason": {"reason": ["oom"]},
        "reason, of which there is none": {"reason": ["tampered"]},
        "trigger": {"trigger": ["manual"]},
        "trigger, of which there is none": {"trigger": ["webhook"]},
        "user": {"by": [get_admin().username]},
        "user, of which there is none": {"by": ["other"]},
        "project, of which there is none": {"project": ["north"]},
        "input, of which there is none": {"input": (("region", "eu"),)},
        "since": {"since": deep},
        "since, failed": {"since": deep, "status": ["failed"]},
        "since, job": {"since": deep, "job": [job.slug]},
        "since, job, lost": {"since": deep, "job": [job.slug], "status": ["lost"]},
    }

    def page(chosen: dict[str, Any], cursor_: str) -> Callable[[], Any]:
        return lambda: fetch_newest_page(RunFilter(**chosen).select(Run.objects.all(), get_admin()), cursor_, 50)

    found = {f"list: {name}": page(chosen, "") for name, chosen in filters.items()}
    return found | {f"list, deep: {name}": page(chosen, after) for name, chosen in filters.items()}


def asked(count: int) -> dict[str, Callable[[], Any]]:
    deep = timezone.now() - timedelta(seconds=30 * count * 0.9)
    after = make_cursor(deep.isoformat(), "00000000-0000-4000-8000-000000000000")
    job, metrics = Job.objects.first(), DatabaseStateCache()
    metrics.fetch_state()
    assert job is not None
    return {
        "page: all": lambda: fetch_newest_page(Run.objects.all(), after, 50),
        "page: of a job": lambda: fetch_newest_page(Run.objects.filter(job=job), after, 50),
        "page: failed": lambda: fetch_newest_page(Run.objects.filter(status="failed"), after, 50),
        **_filters(job, after, deep),
        "count: live": lambda: Run.objects.filter(status__in=LIVE).count(),
        "timed: unsealed logs": seal_orphans.seal_orphaned_logs,
        "timed: runs to clean": lambda: gc_runs.mark_cleaned_runs("local", {str(job.pk)}, set(), None),
        "timed: runs to clean, the last hour": lambda: gc_runs.mark_cleaned_runs(
            "local", set(), set(), timedelta(hours=1)
        ),
        "timed: abandoned runs": abandoned.settle_abandoned_runs,
        "retention: runs": lambda: ends.apply_rules(Throttle()),
        "retention: logs": lambda: list(due.find_due_logs()),
        "retention: logs by number": lambda: _with(_first_log, log_keep_days=0, log_keep_runs=100),
        "retention: runs by number": lambda: _with(_first_runs, run_keep_days=0, run_keep_runs=100),
        "retention: logs to the archive": lambda: _with(_archived, log_storage="file:///nowhere"),
        "retention: keys": lambda: list(rows.remove_idempotency_keys(Throttle())),
        "the list of jobs": lambda: fetch_recent_runs(Job.objects.all()),
        "reruns of a run": lambda: list(job.runs.all()[0].reruns.order_by("number")[:10]),
        "to delete: before a day": lambda: list(_list_batches(Selection(get_admin(), before=deep), 100)),
        "to delete: failed ones of a job": lambda: list(
            _list_batches(Selection(get_admin(), job.slug, ("failed",)), 100)
        ),
        "to delete: of a deleted job": lambda: Selection(get_admin(), "gone")._has_job(),
        "metrics": metrics._query_state,  # the first time, before this, it counts all
        **_make_pages(),
    }


def _make_pages() -> dict[str, Callable[[], Any]]:
    """Home, the list of jobs and the palette; of an administrator, and of a member of another project."""
    member = User.objects.create(username="member", role="")
    Membership.objects.create(user=member, project=Project.objects.create(name="South", slug="south"), role="viewer")
    found: dict[str, Callable[[], Any]] = {
        "list: of a member of another project": lambda: fetch_newest_page(
            RunFilter().select(Run.objects.visible_to(member), member), "", 50
        )
    }
    for name, user in (("admin", get_admin()), ("member", member)):
        found |= {
            f"home: states, {name}": partial(count_states, user),
            f"home: runs, {name}": partial(fetch_activity, user),
            f"home: last failure, {name}": partial(find_last_failure, user),
            f"frame, {name}": partial(count_for_frame, user),
            f"palette, {name}": partial(find_entries, user, ""),
            f"palette: number, {name}": partial(find_entries, user, "#77"),
            **{f"jobs: {sort}, {name}": partial(_list_page, user, sort) for sort in Sort.values},
        }
    return found


def _list_page(user: User, sort: str) -> list[Job]:
    return list_matching(user, JobFilter(sort=sort)).fetch(0, 50)


def main(count: int) -> None:
    call_command("migrate", verbosity=0)
    fill(count)
    found = {}
    for name, ask in asked(count).items():
        with watched() as watch:
            ask()
        found[name] = {"work": watch.work, "plans": watch.plans}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
