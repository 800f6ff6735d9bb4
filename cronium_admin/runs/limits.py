"""The limits on runs that run at once: of a job, all together or for each key, and of a queue on all hosts.

They are counted from the runs on hosts, never kept in a counter. A claim has WITHIN_LIMITS as a condition of its
UPDATE. SQLite has one writer at a time, so the condition is exact. On PostgreSQL two claims could both count before
either commits: a claim of a run with a limit first locks the limit, by `LimitCheck`.

The conditions are SQL, because Django needs longer to write them than the database to answer them.
"""

import time
from uuid import UUID

from django.db import connection, models
from django.db.models.expressions import RawSQL

from cronium_admin.runs.models import Run, Status

_TRIES, _PAUSE_SECONDS = 20, 0.01  # of a lock that another claim holds, which takes a few milliseconds
_JOB_LOCK, _QUEUE_LOCK = 0x63726A, 0x637271  # PostgreSQL's advisory locks
_ACTIVE = "active.status IN ('starting', 'running')"
_QUEUE_IS_FULL = f"""q.max_running IS NOT NULL AND q.max_running <= (
    SELECT COUNT(*) FROM runs_run active WHERE active.queue = q.queue AND {_ACTIVE})"""  # noqa: S608
_WITHIN = f"""NOT EXISTS (
  SELECT 1 FROM jobs_job j WHERE j.id = runs_run.job_id AND j.concurrency_limit IS NOT NULL AND j.concurrency_limit <= (
    SELECT COUNT(*) FROM runs_run active
    WHERE active.job_id = runs_run.job_id AND active.concurrency_key = runs_run.concurrency_key AND {_ACTIVE}))
AND NOT EXISTS (SELECT 1 FROM jobs_queuelimit q WHERE q.queue = runs_run.queue AND {_QUEUE_IS_FULL})"""  # noqa: S608
# The same with subqueries that the database executes once, for a search among many waiting runs.
_OUTSIDE_FULL = f"""(runs_run.job_id IS NULL OR (runs_run.job_id, runs_run.concurrency_key) NOT IN (
  SELECT active.job_id, active.concurrency_key FROM runs_run active JOIN jobs_job j ON j.id = active.job_id
  WHERE {_ACTIVE} AND j.concurrency_limit IS NOT NULL
  GROUP BY active.job_id, active.concurrency_key, j.concurrency_limit HAVING COUNT(*) >= j.concurrency_limit))
AND runs_run.queue NOT IN (SELECT q.queue FROM jobs_queuelimit q WHERE {_QUEUE_IS_FULL})"""  # noqa: S608
_HAS_LIMIT = """(EXISTS (SELECT 1 FROM jobs_job j WHERE j.id = runs_run.job_id AND j.concurrency_limit IS NOT NULL)
OR EXISTS (SELECT 1 FROM jobs_queuelimit q WHERE q.queue = runs_run.queue AND q.max_running IS NOT NULL))"""
_LOCK = f"""
SELECT pg_try_advisory_xact_lock({_QUEUE_LOCK}, q.id::int) FROM jobs_queuelimit q
JOIN runs_run r ON r.queue = q.queue WHERE r.id = %s AND q.max_running IS NOT NULL
UNION ALL
SELECT pg_try_advisory_xact_lock({_JOB_LOCK}, (j.id %% 2147483647)::int) FROM jobs_job j
JOIN runs_run r ON r.job_id = j.id WHERE r.id = %s AND j.concurrency_limit IS NOT NULL"""  # noqa: S608


def _make_condition(sql: str) -> RawSQL:
    return RawSQL(sql, [], output_field=models.BooleanField())  # noqa: S611 - no text of others is in it


WITHIN_LIMITS = _make_condition(_WITHIN)
IS_OUTSIDE_FULL_LIMITS = _make_condition(_OUTSIDE_FULL)
HAS_LIMIT = _make_condition(_HAS_LIMIT)


class LimitCheck:
    """Checks the limits of the runs that one claim considers, one run after the other.

    On PostgreSQL use it in the transaction of the claim: it locks the limits, and the run that may be claimed, until
    the end of the transaction. If other claims hold a lock for too long, as a frozen process may, it refuses all
    further runs: the claim then holds no lock that those claims wait for.
    """

    def __init__(self) -> None:
        self._is_blocked = False
        self._full: set[tuple[object, ...]] = set()

    def may_claim(self, run_id: UUID, *group: object) -> bool:
        """`group`: job, key and queue of the run, which has a limit. Runs with the same group have the same limits."""
        if self._is_blocked or group in self._full:
            return False
        queued = Run.objects.filter(pk=run_id, status=Status.QUEUED)
        if connection.vendor == "postgresql":
            if not _lock_limits(run_id):
                self._is_blocked = True
                return False
            queued = queued.select_for_update(skip_locked=True, no_key=True)
        found = list(queued.values_list(WITHIN_LIMITS, flat=True))
        if found == [False]:
            self._full.add(group)
        return found == [True]


def _lock_limits(run_id: UUID) -> bool:
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        with connection.cursor() as cursor:
            cursor.execute(_LOCK, [run_id, run_id])
            if all(row[0] for row in cursor.fetchall()):
                return True
    return False
