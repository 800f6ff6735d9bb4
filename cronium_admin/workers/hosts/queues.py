"""The queues, and how many runs of each may run at once on all hosts together."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Count, Q

from cronium_admin.accounts.models import User
from cronium_admin.core.edit_versions import check_version, write_edit
from cronium_admin.jobs.models import Job, QueueLimit
from cronium_admin.jobs.validation import validate_queue
from cronium_admin.profiles.limits import Bound
from cronium_admin.runs.models import LIVE, ON_HOST, Run, Status
from cronium_admin.workers.hosts.service import HostView

MAX_RUNNING = Bound("max_running", 0, 10_000, "runs")
_FIRST_VERSION = 1  # also of a queue whose limit was never set


@dataclass(frozen=True)
class QueueView:
    """`max_running` None: no limit. `hosts`: those that serve the queue."""

    name: str
    max_running: int | None
    version: int
    active: int
    waiting: int
    hosts: tuple[str, ...]


def fetch_queues(hosts: Iterable[HostView]) -> list[QueueView]:
    """The queues of hosts, jobs and live runs, and those with a limit; by name."""
    served: dict[str, list[str]] = {}
    for host in hosts:
        for name in host.queues:
            served.setdefault(name, []).append(host.row.name)
    limits = {row.queue: row for row in QueueLimit.objects.all()}
    counts = _count_live()
    limited = {name for name, row in limits.items() if row.max_running is not None}
    of_jobs = Job.objects.order_by().values_list("queue", flat=True).distinct()
    names = sorted({*served, *of_jobs, *counts, *limited})
    return [_build_view(name, limits.get(name), counts.get(name, (0, 0)), served.get(name, ())) for name in names]


def fetch_queue(name: str, hosts: Iterable[HostView]) -> QueueView:
    """The queue, also if nothing uses it. Raises ValidationError for a name that no queue can have."""
    _check_name(name)
    found = next((queue for queue in fetch_queues(hosts) if queue.name == name), None)
    return found or _build_view(name, QueueLimit.objects.filter(queue=name).first(), (0, 0), ())


def _build_view(name: str, row: QueueLimit | None, counts: tuple[int, int], hosts: Iterable[str]) -> QueueView:
    version, most = (row.version, row.max_running) if row else (_FIRST_VERSION, None)
    return QueueView(name, most, version, *counts, tuple(sorted(hosts)))


def _count_live() -> dict[str, tuple[int, int]]:
    sums = {"active": Count("pk", filter=Q(status__in=ON_HOST)), "waiting": Count("pk", filter=Q(status=Status.QUEUED))}
    rows = Run.objects.filter(status__in=LIVE).order_by().values_list("queue").annotate(**sums)
    return {queue: (active, waiting) for queue, active, waiting in rows}


def set_limit(name: str, max_running: Any, by: User, version: int | None = None) -> None:
    """Sets the limit of a queue; None removes it. Active runs continue.

    Raises ValidationError by field, and ChangedMeanwhile if `version` is given and outdated.
    """
    _check_name(name)
    _check_limit(max_running)
    with transaction.atomic():
        stored = _lock_row(name)
        check_version(stored, version)
        if stored.max_running != max_running:
            write_edit(stored, {"max_running": max_running}, by)


def _lock_row(name: str) -> QueueLimit:
    rows = QueueLimit.objects.select_for_update(of=("self",)).select_related("updated_by")
    if (row := rows.filter(queue=name).first()) is None:
        try:
            with transaction.atomic():
                QueueLimit.objects.create(queue=name, version=_FIRST_VERSION)
        except IntegrityError:  # another request created it at the same moment
            return rows.get(queue=name)
        row = rows.get(queue=name)
    return row


def _check_name(name: str) -> None:
    try:
        validate_queue(name)
    except ValidationError as error:
        raise ValidationError({"queue": error.messages}) from None


def _check_limit(value: Any) -> None:
    if value is None:
        return
    try:
        MAX_RUNNING.check_value(value)
    except ValidationError as error:
        raise ValidationError({"max_running": error.messages}) from None
