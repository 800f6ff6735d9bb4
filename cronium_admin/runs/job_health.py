"""Keeps one row a job of how its last runs ended, in the transaction that ends a run.

The order is that in which the ends are stored: the row's lock decides between two runs that end at once. So a long run
that ends after one with a higher number counts last. The numbers of runs and the clock do not matter.

This module alone decides which ends count. Not counted are cancelled runs (also those that a limit skipped or a newer
run superseded), builds of images, and runs that try a script. Each attempt of a retried run counts.
"""

from uuid import UUID

from django.db import connection

from cronium_admin.runs.health_models import JobHealth
from cronium_admin.runs.models import BUILD_TRIGGER, Run, Status
from cronium_admin.runs.triggers import Trigger

GOOD = (Status.SUCCEEDED,)
BAD = (Status.FAILED, Status.TIMED_OUT, Status.ERRORED, Status.LOST)
COUNTED_STATUSES = (*GOOD, *BAD)
UNCOUNTED_TRIGGERS = (BUILD_TRIGGER, Trigger.TRY.value)

_TABLE = JobHealth._meta.db_table
_BAD_VALUE = "CASE WHEN r.status = 'succeeded' THEN NULL ELSE r.finished_at END"
_GOOD_VALUE = "CASE WHEN r.status = 'succeeded' THEN r.{} END"
_TRIGGERS = ", ".join(f"'{trigger}'" for trigger in UNCOUNTED_TRIGGERS)
_SECONDS = {
    "sqlite": "(JULIANDAY(r.finished_at) - JULIANDAY(r.started_at)) * 86400.0",
    "postgresql": "EXTRACT(EPOCH FROM r.finished_at - r.started_at)",
}
# One statement, because every end of a run executes it.
_RECORD = f"""
INSERT INTO {_TABLE} AS h (job_id, last_run_id, last_status, last_ended_at, last_seconds, failures, failing_since,
    last_good_id, last_good_at)
SELECT r.job_id, r.id, r.status, r.finished_at, {{seconds}}, CASE WHEN r.status = 'succeeded' THEN 0 ELSE 1 END,
    {_BAD_VALUE}, {_GOOD_VALUE.format("id")}, {_GOOD_VALUE.format("finished_at")}
FROM {Run._meta.db_table} r
WHERE r.id = %s AND r.job_id IS NOT NULL AND r."trigger" NOT IN ({_TRIGGERS})
ON CONFLICT (job_id) DO UPDATE SET
    last_run_id = excluded.last_run_id,
    last_status = excluded.last_status,
    last_ended_at = excluded.last_ended_at,
    last_seconds = excluded.last_seconds,
    failures = CASE WHEN excluded.failures = 0 THEN 0 ELSE h.failures + 1 END,
    failing_since = CASE WHEN excluded.failures > 0 THEN COALESCE(h.failing_since, excluded.failing_since) END,
    last_good_id = CASE WHEN excluded.failures = 0 THEN excluded.last_good_id ELSE h.last_good_id END,
    last_good_at = COALESCE(excluded.last_good_at, h.last_good_at)"""  # noqa: S608 - names of ours

_STATEMENTS = {vendor: _RECORD.format(seconds=seconds) for vendor, seconds in _SECONDS.items()}


def record_end(run_id: UUID, status: str) -> None:
    """Call it last in the transaction that has ended the run with `status`: it locks the row of the job's health."""
    if status not in COUNTED_STATUSES:
        return
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENTS[connection.vendor], [Run._meta.pk.get_db_prep_value(run_id, connection)])
