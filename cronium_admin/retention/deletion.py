"""Deletes ended runs with their log, archived object and timeline. Their numbers are not used again.

First the log is hidden, then its chunks are deleted in batches, each in a transaction, and the run's row is deleted
last. After a crash the run may remain without a log; deleting it again completes the deletion.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from cronium_admin.accounts.models import Project, User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import choose_row
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.models import Job
from cronium_admin.logs.retention import prune
from cronium_admin.logs.throttle import Throttle
from cronium_admin.runs.models import TERMINAL, Run
from cronium_admin.runs.row_locks import lock_health_of_runs, lock_runs

log = logging.getLogger("cronium.retention")
BATCH_SIZE = 100  # runs a transaction
MAX_DELETED = 1000  # runs that one request deletes


def delete_runs(run_ids: Sequence[UUID], pace: Throttle) -> int:
    """Deletes those of the runs that have ended; returns how many. Live runs are not changed."""
    ended = list(Run.objects.filter(pk__in=run_ids, status__in=TERMINAL).values_list("pk", flat=True))
    if not ended:
        return 0
    prune.hide_logs(ended, "its run is being deleted")
    prune.delete_hidden_logs(ended, pace)
    with pace.run_step():
        return _delete_rows(ended)


# IntegrityError: a new row, such as a rerun, refers to one of the runs
@retry(retry=retry_if_exception_type(IntegrityError), stop=stop_after_attempt(3), reraise=True)
def _delete_rows(run_ids: Sequence[UUID]) -> int:
    with transaction.atomic():
        # Their reruns and later attempts, some of which may be live, lose the reference; so does a job's health.
        lock_runs(Run.objects.filter(Q(pk__in=run_ids) | Q(parent__in=run_ids) | Q(retry_of__in=run_ids)))
        lock_health_of_runs(run_ids)
        ended = Run.objects.filter(pk__in=run_ids, status__in=TERMINAL).only("pk")
        return ended.delete()[1].get(Run._meta.label, 0)


def delete_run(run: Run, by: User) -> None:
    """Raises ApiError (409) for a live run."""
    if run.is_live:
        raise ApiError(
            409,
            "run_is_live",
            f"This run has not ended: it is {run.get_status_display().lower()}. Cancel it, then delete it.",
        )
    try:
        is_deleted = delete_runs([run.pk], Throttle())
    except BaseException:
        text = "%s began to delete the run %s (%s), then an error stopped the deletion; its log may be lost"
        log.warning(text, by.get_username(), run, run.pk, extra={"run_id": str(run.pk)})
        raise
    if is_deleted:
        log.info("%s deleted the run %s (%s)", by.get_username(), run, run.pk, extra={"run_id": str(run.pk)})


@dataclass(frozen=True)
class Selection:
    """The filters of a bulk delete by an administrator of the instance or of projects; an empty field filters nothing.

    A slug means the job of the default project, if several of the user's projects have one.
    """

    by: User
    job: str = ""  # the slug of a job, or of a deleted job
    status: tuple[str, ...] = ()
    before: datetime | None = None  # the runs ended before this time
    counted_at: datetime | None = None  # when the page counted the runs; later ends are not deleted

    def __str__(self) -> str:
        parts = [f"job {self.job}"] if self.job else []
        parts += [f"status {', '.join(self.status)}"] if self.status else []
        parts += [f"ended before {self.before.isoformat()}"] if self.before else []
        return "; ".join(parts)

    def validate(self) -> None:
        """Raises ApiError (422) for an empty selection, a status that is not terminal, and an unknown job."""
        if not (self.job or self.status or self.before):
            text = "Give at least one of job, status and before: deleting all runs at once is not possible."
            raise ApiError(422, "invalid", text, {"job": [text]})
        if live := [status for status in self.status if status not in TERMINAL]:
            text = f"Only ended runs can be deleted; {live[0]} is not the status of an ended run."
            raise ApiError(422, "invalid", f"status: {text}", {"status": [text]})
        if self.job and ("\0" in self.job or not self._has_job()):
            text = f"There is no job {self.job[:80]!r}, and no run of a deleted job with that slug."
            raise ApiError(422, "invalid", f"job: {text}", {"job": [text]})

    def _has_job(self) -> bool:
        return self._find_job() is not None or self._select_runs_of_deleted_job().exists()

    def _find_job(self) -> Job | None:
        jobs = Job.objects.visible_to(self.by, Permission.ADMIN).filter(slug=self.job).only("pk", "project")
        return choose_row(jobs.order_by("pk"), f"a job {self.job[:80]}")

    def _select_runs_of_deleted_job(self) -> QuerySet[Run]:
        runs = Run.objects.visible_to(self.by, Permission.ADMIN).filter(job__isnull=True, job_slug=self.job)
        projects = Project.objects.filter(pk__in=list(runs.order_by().values_list("project_id", flat=True).distinct()))
        project = choose_row(projects, f"runs of a deleted job {self.job[:80]}")
        return runs.filter(project=project) if project else runs.none()

    def select_runs(self) -> QuerySet[Run]:
        rows: QuerySet[Run] = Run.objects.visible_to(self.by, Permission.ADMIN)
        if self.job:
            job = self._find_job()
            rows = rows.filter(job_id=job.pk) if job else self._select_runs_of_deleted_job()
        rows = rows.filter(status__in=self.status or TERMINAL, finished_at__isnull=False)
        for bound in filter(None, (self.before, self.counted_at)):
            rows = rows.filter(finished_at__lt=bound)
        return rows


def delete_selected(selection: Selection, most: int = MAX_DELETED) -> tuple[int, int]:
    """Deletes up to `most` of the selected runs, the oldest first; returns how many were deleted, and how many match
    still."""
    selection.validate()
    by, deleted = selection.by, 0
    try:
        for batch in _list_batches(selection, most):
            deleted += delete_runs(batch, Throttle())
        left = selection.select_runs().count()
    except BaseException:
        text = (
            "%s deleted %d runs (%s), then an error stopped the deletion; up to %d more runs may have lost their logs"
        )
        log.warning(text, by.get_username(), deleted, selection, BATCH_SIZE)
        raise
    log.info("%s deleted %d runs (%s); %d are left", by.get_username(), deleted, selection, left)
    return deleted, left


def _list_batches(selection: Selection, most: int) -> Iterator[list[UUID]]:
    ids = list(selection.select_runs().order_by("created_at", "id").values_list("pk", flat=True)[:most])
    for start in range(0, len(ids), BATCH_SIZE):
        yield ids[start : start + BATCH_SIZE]
