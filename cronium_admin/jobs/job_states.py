"""The state of a job, for counters and filters: each job has exactly one.

The first state that applies, in the order of `JobState`. So a failing job stays failing while another run of it waits
or runs.
"""

from typing import Any

from django.db import models
from django.db.models import Case, CharField, Count, Q, QuerySet, Value, When

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


def count_states(jobs: "QuerySet[Job]") -> dict[str, int]:
    """The number of jobs by state, in one query; the numbers add up to that of `jobs`."""
    rows = add_state(jobs).order_by().values_list("state").annotate(number=Count("pk"))
    return dict.fromkeys(JobState.values, 0) | dict(rows)
