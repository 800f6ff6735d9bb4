"""Explains why a run waits and how to fix it, and finds queues whose runs no host takes. Changes nothing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Min
from django.template.defaultfilters import pluralize

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.start_time import is_due
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.hosts.service import HostView, fetch_hosts, get_queues
from cronium_admin.workers.scheduling.capacity import MB, Capacity, Resources, compute_required, sum_reserved
from cronium_admin.workers.scheduling.queue_order import FullLimits, Obstacle, find_place

NO_HOSTS = "No host takes runs: no host has sent a heartbeat in the last 30 seconds. Is a worker running?"


@dataclass(frozen=True)
class WaitReason:
    """`stuck`: the run waits until the cause is fixed; otherwise it only waits for its turn."""

    words: str
    stuck: bool
    queue: str
    number: int  # waiting runs of this queue that the user sees
    position: int = 0  # among the runs of this queue that may start, from 1; 0: it may not start yet
    behind: tuple[Run, ...] = ()  # active runs, one of which must end first


@dataclass(frozen=True)
class UnservedQueue:
    """A queue with `number` waiting runs, the first since `since`, that no host takes."""

    queue: str
    number: int
    since: datetime
    words: str


def build_capacity(row: Host) -> Capacity:
    return Capacity(get_queues(row), row.cpus, row.memory_bytes, settings.CONFIG.cpu_overcommit)


def explain_wait(run: Run, user: User) -> WaitReason | None:
    """None if the run can start at any moment, or does not wait. Counts only the runs that `user` sees."""
    if run.status != Status.QUEUED:
        return None
    number = Run.objects.visible_to(user).filter(status=Status.QUEUED, queue=run.queue).count()
    if run.not_before and run.not_before > database_now():
        return WaitReason(f"It waits until {run.not_before:%Y-%m-%d %H:%M:%S} UTC.", False, run.queue, number)
    reason = _Obstacles([run], user).find_obstacle(run)
    if reason is None:
        return None
    place = find_place(run)
    words = reason.words + ("" if reason.stuck else place.words)
    return WaitReason(words, reason.stuck, run.queue, number, place.position, reason.behind)


def explain_waits(runs: Iterable[Run], user: User) -> dict[UUID, Obstacle]:
    """Why those of the runs wait that may start now and can't. In a fixed number of queries; none if no run waits."""
    waiting = [run for run in runs if run.status == Status.QUEUED]
    if any(run.not_before for run in waiting):
        now = database_now()
        waiting = [run for run in waiting if run.not_before is None or run.not_before <= now]
    obstacles = _Obstacles(waiting, user)
    found = {run.pk: obstacles.find_obstacle(run) for run in waiting}
    return {pk: obstacle for pk, obstacle in found.items() if obstacle is not None}


class _Obstacles:
    """What keeps some waiting runs from starting: a limit, or what the hosts lack."""

    def __init__(self, runs: Sequence[Run], user: User) -> None:
        self._limits = FullLimits(runs, user)

    def find_obstacle(self, run: Run) -> Obstacle | None:
        return self._limits.find_obstacle(run) or self._find_lack(run)

    @cached_property
    def _hosts(self) -> list[HostView]:
        return fetch_hosts()

    @cached_property
    def _reserved(self) -> dict[str, Resources]:
        return sum_reserved()

    def _find_lack(self, run: Run) -> Obstacle | None:
        takers, message = _find_takers(run.queue, self._hosts)
        if not takers:
            return Obstacle(message, stuck=True)
        required = compute_required(run.cpu, run.memory_mb, run.network)
        large = [host for host in takers if build_capacity(host.row).can_ever_fit(required)]
        if not large:
            return Obstacle(_explain_too_large(required, run.queue, takers), stuck=True)
        free = [host for host in large if host.row.running < host.row.capacity]
        if not free:
            busy = ", ".join(f"{host.row.name} {host.row.running} of {host.row.capacity}" for host in large)
            return Obstacle(f"All slots are in use ({busy}). The run starts when another run ends.")
        in_use = self._reserved
        if any(build_capacity(host.row).can_fit_now(in_use.get(host.row.name, Resources()), required) for host in free):
            return None
        text = f"It waits for free resources: it needs {_format_amount(required)}, and active runs hold too much."
        return Obstacle(text)


def find_unserved_queues(hosts: list[HostView]) -> list[UnservedQueue]:
    rows = Run.objects.filter(is_due(), status=Status.QUEUED).order_by("queue").values_list("queue")
    waiting = rows.annotate(number=Count("pk"), since=Min("created_at"))
    candidates = [(queue, number, since, _find_takers(queue, hosts)) for queue, number, since in waiting]
    return [
        UnservedQueue(queue, number, since, message)
        for queue, number, since, (takers, message) in candidates
        if not takers
    ]


def _find_takers(queue: str, hosts: list[HostView]) -> tuple[list[HostView], str]:
    alive = [host for host in hosts if host.alive]
    if not alive:
        return [], NO_HOSTS
    serving = [host for host in alive if queue in get_queues(host.row)]
    if not serving:
        others = ", ".join(sorted({name for host in alive for name in get_queues(host.row)}))
        return [], (
            f"No host serves the queue {queue}. The active hosts serve {others}. Start a worker for it: "
            f"manage.py worker --queues {queue}."
        )
    takers = [host for host in serving if host.takes_runs]
    if takers:
        return takers, ""
    unsafe = _join_names(serving, lambda host: host.row.unsafe and not settings.CONFIG.allow_unsafe_host)
    away = _join_names(serving, lambda host: bool(host.row.engine_error))
    draining = _join_names(serving, lambda host: host.row.draining)
    reasons = [f"{unsafe} failed the isolation check"] if unsafe else []
    reasons += [f"the Docker Engine of {away} does not answer"] if away else []
    reasons += [f"{draining} {'are' if ',' in draining else 'is'} draining and takes no new runs"] if draining else []
    return [], f"No host takes runs of the queue {queue}: {'; '.join(reasons)}."


def _join_names(hosts: list[HostView], condition: Callable[[HostView], bool]) -> str:
    names = [host.row.name for host in hosts if condition(host)]
    return f"host{pluralize(names)} {', '.join(names)}" if names else ""


def _explain_too_large(required: Resources, queue: str, hosts: list[HostView]) -> str:
    have = "; ".join(f"{host.row.name} has {_format_amount(_get_totals(host.row))}" for host in hosts)
    return (
        f"It needs {_format_amount(required)}, including its sidecar, and no host of the queue {queue} has that: "
        f"{have}. Cancel it and choose a smaller profile, or start a larger host."
    )


def _get_totals(row: Host) -> tuple[float | None, int | None]:
    return row.cpus, row.memory_bytes


def _format_amount(amount: Resources | tuple[float | None, int | None]) -> str:
    cpu, memory = (amount.cpu, amount.memory_bytes) if isinstance(amount, Resources) else amount
    return f"{float(cpu or 0):g} CPU and {(memory or 0) // MB:,} MB"
