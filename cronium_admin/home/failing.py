"""What needs the user: jobs that fail, folded by cause, and open incidents."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, Subquery

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.expectations.listing import list_incidents
from cronium_admin.expectations.models import OPEN, Incident
from cronium_admin.jobs.job_states import JobState, filter_state
from cronium_admin.jobs.models import Job
from cronium_admin.runs.job_health import BAD
from cronium_admin.runs.models import JobHealth, Run
from cronium_admin.runs.presentation.why import Why, explain_run

MAX_JOBS = 100  # that are read; the list of jobs has all of them
MAX_INCIDENTS = 20
IMAGE_REASONS = ("image_missing", "image_pull_failed", "image_pull_denied", "image_not_found", "image_unusable")
_NUMBER = re.compile(r"\d+")
_OF_RUN = (
    *("id", "number", "status", "reason", "message", "error", "exit_code", "started_at", "cancel_requested_at"),
    *("log_lines",),
)
_OF_HEALTH = ("last_status", "last_ended_at", "failures", "failing_since", "last_good_at")


@dataclass(frozen=True)
class FailingJob:
    job: Job
    health: JobHealth
    run: Run | None  # the last failed run; None: it was deleted
    why: Why
    can_edit: bool
    can_run: bool

    @property
    def cause(self) -> tuple[str, str]:
        """Equal for jobs that fail for the same reason: numbers in the words, such as ports and ids, don't count."""
        return str(self.health.last_status), _NUMBER.sub("0", self.why.words)

    @property
    def log_anchor(self) -> str:
        """The line of the log with the error, as a fragment of the run page's address."""
        line = self.run.error.get("line") if self.run and isinstance(self.run.error, dict) else None
        return f"#L{line}" if line else ""

    @property
    def lacks_image(self) -> bool:
        return self.run is not None and self.run.reason in IMAGE_REASONS


@dataclass(frozen=True)
class Cause:
    """Jobs that fail for the same reason, the one with most failures in a row first."""

    jobs: list[FailingJob]

    @property
    def first(self) -> FailingJob:
        return self.jobs[0]

    @property
    def is_folded(self) -> bool:
        return len(self.jobs) > 1

    @property
    def since(self) -> datetime | None:
        return min((each.health.failing_since for each in self.jobs if each.health.failing_since), default=None)


def list_causes(user: User) -> list[Cause]:
    """The failing jobs, worst first. One query."""
    causes: dict[tuple[str, str], list[FailingJob]] = {}
    for job in _select_failing(user)[:MAX_JOBS]:
        failing = _describe_job(user, job)
        causes.setdefault(failing.cause, []).append(failing)
    return [Cause(jobs) for jobs in causes.values()]


def _select_failing(user: User) -> Any:
    jobs: Any = filter_state(Job.objects.visible_to(user), JobState.FAILING)
    names = ("pk", "name", "slug", "project", "enabled", *(f"health__{name}" for name in _OF_HEALTH))
    jobs = jobs.select_related("health__last_run").only(*names, *(f"health__last_run__{name}" for name in _OF_RUN))
    return jobs.order_by("-health__failures", "health__failing_since", "pk")


def _describe_job(user: User, job: Any) -> FailingJob:
    run = job.health.last_run
    why = explain_run(run) if run else Why("Its last run was deleted.")
    return FailingJob(job, job.health, run, why, can(user, Permission.EDIT, job), can(user, Permission.RUN, job))


def list_open_incidents(user: User) -> list[Incident]:
    return list(list_incidents(user).filter(OPEN).order_by("opened_at", "pk")[:MAX_INCIDENTS])


def find_last_failure(user: User) -> Run | None:
    """The newest run that failed, for a page without a failing job."""
    runs = Run.objects.visible_to(user)
    # One short read of an index for each status.
    newest = [
        Q(pk=Subquery(runs.filter(status=status).order_by("-created_at", "-pk").values("pk")[:1])) for status in BAD
    ]
    condition = Q()
    for each in newest:
        condition |= each
    columns = ("pk", "number", "job_name", "job_slug", "status", "finished_at", "created_at")
    return runs.filter(condition).order_by("-created_at").only(*columns).first()
