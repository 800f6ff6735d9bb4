"""The place of a waiting run in its queue, and the limits that it waits for. Changes nothing."""

from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet, Subquery
from django.template.defaultfilters import pluralize

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import QueueLimit
from cronium_admin.runs.claim_order import IS_QUEUED, ORDER
from cronium_admin.runs.concurrency import describe_limit, format_numbers
from cronium_admin.runs.models import ON_HOST, Run
from cronium_admin.runs.start_time import is_due

MAX_NAMED = 5  # runs that one waits behind


@dataclass(frozen=True)
class Obstacle:
    """Why a run waits. `stuck`: until the cause is fixed; else until `behind`, or another run, ends."""

    words: str
    stuck: bool = False
    behind: tuple[Run, ...] = ()


@dataclass(frozen=True)
class Place:
    """`position` among the waiting runs of the queue that may start, from 1. `higher`: those before with a higher
    priority."""

    position: int
    higher: int

    @property
    def words(self) -> str:
        if not self.higher:
            return ""
        verb = pluralize(self.higher, "is,are")
        return f" {self.higher} run{pluralize(self.higher)} with a higher priority {verb} before it."


def find_place(run: Run) -> Place:
    waiting = Run.objects.filter(IS_QUEUED, is_due(), queue=run.queue).annotate(order=ORDER)
    own = Subquery(Run.objects.filter(pk=run.pk).annotate(order=ORDER).values("order"))
    older = Q(created_at__lt=run.created_at) | Q(created_at=run.created_at, pk__lt=run.pk)
    before = waiting.filter(Q(order__lt=own) | Q(order=own) & older)
    counts = before.aggregate(number=Count("pk"), higher=Count("pk", filter=Q(priority__gt=run.priority)))
    return Place(counts["number"] + 1, counts["higher"])


def find_full_job(run: Run) -> Obstacle | None:
    """The limit of the run's job, if as many of its runs are active as it allows."""
    limit = run.job.concurrency_limit if run.job else None
    if limit is None:
        return None
    key = run.concurrency_key
    active = _select_active(Run.objects.filter(job=run.job_id, concurrency_key=key))
    rows = list(active[:limit])
    if len(rows) < limit:
        return None
    words = describe_limit(limit, key)
    numbers = format_numbers([other.number for other in rows])
    text = f"{words[0].upper()}{words[1:]}. It starts when {'one of ' if limit > 1 else ''}{numbers} has ended."
    return Obstacle(text, behind=tuple(rows[:MAX_NAMED]))


def find_full_queue(run: Run, user: User) -> Obstacle | None:
    """The limit of the run's queue, if as many of its runs are active as it allows. Names runs that `user` sees."""
    row = QueueLimit.objects.filter(queue=run.queue, max_running__isnull=False).first()
    if row is None or row.max_running is None:
        return None
    if row.max_running == 0:
        text = f"The queue {run.queue} is held: its limit is 0. An administrator can change it on the page Hosts."
        return Obstacle(text, stuck=True)
    number = Run.objects.filter(status__in=ON_HOST, queue=run.queue).count()
    if number < row.max_running:
        return None
    visible = Run.objects.visible_to(user).filter(queue=run.queue)
    words = f"The queue {run.queue} is full: {number} of {row.max_running} run, on all hosts together."
    return Obstacle(words, behind=tuple(_select_active(visible)[:MAX_NAMED]))


def _select_active(runs: "QuerySet[Run]") -> "QuerySet[Run]":
    columns = ("pk", "number", "job_slug", "job_name", "created_at")
    return runs.filter(status__in=ON_HOST).order_by("created_at", "pk").only(*columns)
