"""Explains why a run waits and how to fix it, and finds queues whose runs no host takes. Changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Min
from django.template.defaultfilters import pluralize

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.serial import find_earlier
from cronium_admin.runs.start_time import is_due
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.hosts.service import HostView, fetch_hosts, get_queues
from cronium_admin.workers.scheduling.capacity import MB, Capacity, Resources, compute_required, sum_reserved
from cronium_admin.workers.scheduling.queue_order import Obstacle, find_full_job, find_full_queue, find_place

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
    reason = _find_limit(run, user) or _find_lack(run)
    if reason is None:
        return None
    place = find_place(run)
    words = reason.words + ("" if reason.stuck else place.words)
    return WaitReason(words, reason.stuck, run.queue, number, place.position, reason.behind)


def _find_limit(run: Run, user: User) -> Obstacle | None:
    if earlier := find_earlier(run):
        text = f"It starts when the run #{earlier.number} of the same schedule has ended."
        return Obstacle(text, behind=(earlier,))
    return find_full_job(run) or find_full_queue(run, user)


def _find_lack(run: Run) -> Obstacle | None:
    """What the hosts lack for the run."""
    takers, message = _find_takers(run.queue, fetch_hosts())
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
    in_use = sum_reserved()
    if any(build_capacity(host.row).can_fit_now(in_use.get(host.row.name, Resources()), required) for host in free):
        return None
    return Obstacle(f"It waits for free resources: it needs {_format_amount(required)}, and active runs hold too much.")


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
