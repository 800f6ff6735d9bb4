"""The place of a waiting run in its queue, and the limits that it waits for. Changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from django.db.models import Count, Q, Subquery
from django.template.defaultfilters import pluralize

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job, QueueLimit
from cronium_admin.runs.claim_order import IS_QUEUED, ORDER
from cronium_admin.runs.concurrency import describe_limit, format_numbers
from cronium_admin.runs.models import ON_HOST, Run
from cronium_admin.runs.serial import fetch_serial_runs, find_earlier
from cronium_admin.runs.start_time import is_due

MAX_NAMED = 5  # runs that one waits behind
_COLUMNS = ("pk", "number", "job_slug", "job_name", "created_at")


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


class FullLimits:
    """The limits that some waiting runs wait for: each kind of row is read once, and only if a run needs it.

    Names only runs that `user` sees.
    """

    def __init__(self, runs: Sequence[Run], user: User) -> None:
        self._runs = runs
        self._user = user

    def find_obstacle(self, run: Run) -> Obstacle | None:
        return self._find_earlier(run) or self._find_full_job(run) or self._find_full_queue(run)

    def _find_earlier(self, run: Run) -> Obstacle | None:
        if run.serial_key is None or (earlier := find_earlier(run, self._serial)) is None:
            return None
        text = f"It starts when the run #{earlier.number} of the same schedule has ended."
        return Obstacle(text, behind=(earlier,))

    def _find_full_job(self, run: Run) -> Obstacle | None:
        limit = self._job_limits.get(run.job_id) if run.job_id else None
        if limit is None:
            return None
        key = run.concurrency_key
        rows = [other for other in self._active if (other.job_id, other.concurrency_key) == (run.job_id, key)][:limit]
        if len(rows) < limit:
            return None
        words = describe_limit(limit, key)
        numbers = format_numbers([other.number for other in rows])
        text = f"{words[0].upper()}{words[1:]}. It starts when {'one of ' if limit > 1 else ''}{numbers} has ended."
        return Obstacle(text, behind=tuple(rows[:MAX_NAMED]))

    def _find_full_queue(self, run: Run) -> Obstacle | None:
        limit = self._queue_limits.get(run.queue)
        if limit is None:
            return None
        if limit == 0:
            text = f"The queue {run.queue} is held: its limit is 0. An administrator can change it on the page Hosts."
            return Obstacle(text, stuck=True)
        rows = [other for other in self._active if other.queue == run.queue]
        if len(rows) < limit:
            return None
        words = f"The queue {run.queue} is full: {len(rows)} of {limit} run, on all hosts together."
        return Obstacle(words, behind=tuple([other for other in rows if other.pk in self._visible][:MAX_NAMED]))

    @cached_property
    def _serial(self) -> dict[str, list[Run]]:
        return fetch_serial_runs({run.serial_key for run in self._runs if run.serial_key is not None})

    @cached_property
    def _job_limits(self) -> dict[int, int]:
        jobs = Job.objects.filter(pk__in={run.job_id for run in self._runs if run.job_id}).order_by()
        return {pk: limit for pk, limit in jobs.values_list("pk", "concurrency_limit") if limit is not None}

    @cached_property
    def _queue_limits(self) -> dict[str, int]:
        rows = QueueLimit.objects.filter(queue__in={run.queue for run in self._runs})
        return {queue: limit for queue, limit in rows.values_list("queue", "max_running") if limit is not None}

    @cached_property
    def _active(self) -> list[Run]:
        of_limits = Q(job__in=self._job_limits) | Q(queue__in=self._queue_limits)
        rows = Run.objects.filter(of_limits, status__in=ON_HOST).order_by("created_at", "pk")
        return list(rows.only(*_COLUMNS, "job", "concurrency_key", "queue"))

    @cached_property
    def _visible(self) -> set[UUID]:
        rows = Run.objects.visible_to(self._user).filter(queue__in=self._queue_limits, status__in=ON_HOST)
        return set(rows.values_list("pk", flat=True))
