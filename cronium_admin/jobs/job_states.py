"""The state of a job, for counters and filters: each job has exactly one.

The first state that applies, in the order of `JobState`. So a failing job stays failing while another run of it waits
or runs.
"""

from typing import Any

from django.db import models
from django.db.models import Case, CharField, Exists, OuterRef, Q, QuerySet, Value, When

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID, Project, User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.database.row_counts import count_rows
from cronium_admin.jobs.models import Job


class JobState(models.TextChoices):
    DISABLED = "disabled", "Disabled"
    FAILING = "failing", "Failing"
    RUNNING = "running", "Running"
    WAITING = "waiting", "Waiting"
    NEVER = "never", "Never run"  # no run of it has succeeded or failed
    OK = "ok", "Fine"


def _select_jobs_of_runs(*statuses: str) -> Any:
    # `runs` is a higher layer, so its model is reached through the relation.
    runs: Any = Job._meta.get_field("runs").related_model
    return runs.objects.filter(status__in=statuses, job__isnull=False).order_by().values("job")


def _list_conditions() -> list[tuple[JobState, Q]]:
    return [
        (JobState.DISABLED, Q(enabled=False)),
        (JobState.FAILING, Q(health__failures__gt=0)),
        (JobState.RUNNING, Q(pk__in=_select_jobs_of_runs("starting", "running"))),
        (JobState.WAITING, Q(pk__in=_select_jobs_of_runs("queued"))),
        (JobState.NEVER, Q(health__isnull=True)),
    ]


def add_state(jobs: "QuerySet[Job]") -> "QuerySet[Any]":
    """Adds `state` to each job, a value of JobState."""
    cases = [When(condition, then=Value(state.value)) for state, condition in _list_conditions()]
    return jobs.annotate(state=Case(*cases, default=Value(JobState.OK.value), output_field=CharField()))


def filter_state(jobs: "QuerySet[Job]", state: str) -> "QuerySet[Job]":
    """The jobs with this state; ValueError for an unknown one."""
    wanted = JobState(state)
    for each, condition in _list_conditions():
        if each == wanted:
            return jobs.filter(condition)
        jobs = jobs.filter(~condition)
    return jobs


def count_states(user: User) -> dict[str, int]:
    """The number of the jobs that `user` sees, by state, in one query. The numbers add up to that of all these jobs.

    Counts sets, most of them small, instead of finding the state of each job.
    """
    jobs, health = Job.objects.visible_to(user), _select_health(user)
    unhealthy = ~Exists(health.filter(job=OuterRef("pk")))  # it has no counted run
    at_work, queued = (Q(pk__in=_select_jobs_of_runs(*names)) for names in (("starting", "running"), ("queued",)))
    disabled, enabled = jobs.filter(enabled=False), jobs.filter(enabled=True)
    not_failing = enabled.filter(~Exists(health.filter(job=OuterRef("pk"), failures__gt=0)))
    sets = (
        jobs,
        disabled,
        health.filter(failures__gt=0, job__enabled=True),
        not_failing.filter(at_work),
        not_failing.filter(queued & ~at_work),
        health,
        disabled.filter(unhealthy),
        enabled.filter(at_work | queued, unhealthy),
    )
    one_row = Project.objects.filter(pk=DEFAULT_PROJECT_ID)
    numbers = one_row.values_list(*map(count_rows, sets)).get()
    total, off, failing, running, waiting, known, off_unknown, live_unknown = numbers
    counts = {
        JobState.DISABLED.value: off,
        JobState.FAILING.value: failing,
        JobState.RUNNING.value: running,
        JobState.WAITING.value: waiting,
        JobState.NEVER.value: total - known - off_unknown - live_unknown,
    }
    return {**counts, JobState.OK.value: total - sum(counts.values())}


def _select_health(user: User) -> Any:
    rows: Any = Job._meta.get_field("health").related_model
    if user.has_permission(Permission.VIEW):
        return rows.objects.all()  # without a join
    return rows.objects.filter(job__in=Job.objects.visible_to(user).order_by().values("pk"))
