"""What runs and waits now, what comes next, the user's pins, and the slots of hosts."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.pins import list_pinned_ids
from cronium_admin.jobs.recent_runs import fetch_recent_runs
from cronium_admin.logs.preview import fetch_last_lines
from cronium_admin.runs.durations import measure_recent
from cronium_admin.runs.lookup import select_live_runs
from cronium_admin.runs.models import ON_HOST, Run, Status
from cronium_admin.schedules.models import Schedule
from cronium_admin.workers.hosts.service import fetch_hosts
from cronium_admin.workers.scheduling.diagnosis import explain_waits

MAX_RUNNING = MAX_WAITING = 8
MAX_NEXT = 5
MAX_PINS = 12
_LONG = ("differs", "output", "sandbox", "error", "message", "trace")


@dataclass(frozen=True)
class LiveRun:
    run: Run
    words: str  # its last log line, or why it waits
    median: float | None  # seconds that the last successful runs of its job took
    can_cancel: bool

    @property
    def usual(self) -> timedelta | None:
        return None if self.median is None else timedelta(seconds=self.median)


@dataclass(frozen=True)
class Activity:
    """`running` and `waiting` are the numbers of all live runs that the user sees; `rows` are the first of them."""

    running: int
    waiting: int
    rows: list[LiveRun]

    @property
    def number(self) -> int:
        return self.running + self.waiting

    @property
    def left(self) -> int:
        return self.number - len(self.rows)


def fetch_activity(user: User) -> Activity:
    """In a fixed number of queries."""
    live = select_live_runs(user)
    numbers = live.order_by().aggregate(
        running=Count("pk", filter=Q(status__in=ON_HOST)), waiting=Count("pk", filter=Q(status=Status.QUEUED))
    )
    if not any(numbers.values()):
        return Activity(0, 0, [])
    runs = live.select_related("job").defer(*_LONG, "job__script", "job__env", "job__input", "job__description")
    # By status first: else SQLite searches all runs in the order of their times for the few that are live.
    running = list(runs.filter(status__in=ON_HOST).order_by("status", "created_at", "pk")[:MAX_RUNNING])
    waiting = list(runs.filter(status=Status.QUEUED).order_by("status", "created_at", "pk")[:MAX_WAITING])
    lines = fetch_last_lines((run.pk for run in running), user)
    obstacles = explain_waits(waiting, user)
    medians = measure_recent([run.job for run in running if run.job])
    rows = [
        LiveRun(run, lines.get(run.pk, ""), medians.get(run.job_id or 0), can(user, Permission.RUN, run))
        for run in running
    ]
    for run in waiting:
        obstacle = obstacles.get(run.pk)
        rows.append(LiveRun(run, obstacle.words if obstacle else "", None, can(user, Permission.RUN, run)))
    return Activity(numbers["running"], numbers["waiting"], rows)


def list_next_times(user: User) -> list[Schedule]:
    """The schedules that run next, each with its next time."""
    rows = Schedule.objects.visible_to(user).filter(enabled=True, due_at__isnull=False, next_at__isnull=False)
    rows = rows.filter(job__enabled=True).select_related("job")
    # By the index of due times; a time may be due before the next one that runs, on a closed day.
    due = rows.only("name", "next_at", "due_at", "timezone", "job__name", "job__slug").order_by("due_at", "pk")
    return sorted(due[: 4 * MAX_NEXT], key=lambda row: (row.next_at, row.pk))[:MAX_NEXT]


def list_pins(user: User) -> list[dict[str, Any]]:
    """The pinned jobs that the user still sees, with their last runs."""
    ids = list_pinned_ids(user)[:MAX_PINS]
    if not ids:
        return []
    jobs = Job.objects.visible_to(user).filter(pk__in=ids)
    found = {job.pk: job for job in jobs.only("pk", "name", "slug", "project", "enabled", "last_run_number")}
    recent = fetch_recent_runs(found.values())
    pinned = [found[pk] for pk in ids if pk in found]
    return [
        {
            "job": job,
            "runs": recent[job.pk],
            "last": recent[job.pk][-1] if recent[job.pk] else None,
            "can_run": job.enabled and can(user, Permission.RUN, job),
        }
        for job in pinned
    ]


@dataclass(frozen=True)
class Slots:
    """Of the hosts that take runs: slots, and how many are in use; `away`: hosts that take none."""

    hosts: int
    away: int
    running: int
    capacity: int


def count_slots(user: User) -> Slots | None:
    """None for users who may not see the hosts."""
    if not user.has_permission(Permission.VIEW):
        return None
    hosts = fetch_hosts()
    taking = [host.row for host in hosts if host.takes_runs]
    return Slots(
        hosts=len(taking),
        away=len(hosts) - len(taking),
        running=sum(row.running for row in taking),
        capacity=sum(row.capacity for row in taking),
    )
