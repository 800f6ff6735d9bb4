"""Why a run waits, in a sentence with the mend; and the queues whose runs no host takes. Changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Min

from cronium_admin.runs.models import Run, Status
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.hosts.service import HostView, fetch_hosts, get_queues
from cronium_admin.workers.scheduling.capacity import MB, Capacity, Resources, compute_required, sum_reserved

NO_HOSTS = "No host takes runs: none has reported for half a minute. Is a worker running?"


@dataclass(frozen=True)
class WaitReason:
    """`stuck`: it waits until somebody does something; else it is only not its turn yet."""

    words: str
    stuck: bool
    queue: str
    number: int  # of this queue's runs that wait


@dataclass(frozen=True)
class UnservedQueue:
    """A queue whose runs wait, `number` of them, the first one since `since`, for a host that takes them."""

    queue: str
    number: int
    since: datetime
    words: str


def build_capacity(row: Host) -> Capacity:
    """What a host said it has, as its own worker counts it."""
    return Capacity(get_queues(row), row.cpus, row.memory_bytes, settings.CONFIG.cpu_overcommit)


def explain_wait(run: Run) -> WaitReason | None:
    """Why this run has not begun; None when it may begin any moment, or waits no more."""
    if run.status != Status.QUEUED or (found := _find_reason(run)) is None:
        return None
    number = Run.objects.filter(status=Status.QUEUED, queue=run.queue).count()
    return WaitReason(*found, run.queue, number)


def _find_reason(run: Run) -> tuple[str, bool] | None:
    """In words, and whether it is stuck."""
    takers, words = _find_takers(run.queue, fetch_hosts())
    if not takers:
        return words, True
    wanted = compute_required(run.cpu, run.memory_mb, run.network)
    large = [host for host in takers if build_capacity(host.row).can_ever_fit(wanted)]
    if not large:
        return _explain_too_large(wanted, run.queue, takers), True
    free = [host for host in large if host.row.running < host.row.capacity]
    if not free:
        busy = ", ".join(f"{host.row.name} {host.row.running} of {host.row.capacity}" for host in large)
        return f"All slots are taken ({busy}); it begins when a run before it ends.", False
    taken = sum_reserved()
    if any(build_capacity(host.row).can_fit_now(taken.get(host.row.name, Resources()), wanted) for host in free):
        return None
    return f"It waits for room: it is promised {_format_amount(wanted)}, and the runs before it hold too much.", False


def find_unserved_queues(hosts: list[HostView]) -> list[UnservedQueue]:
    """The queues with waiting runs that none of all `hosts` takes."""
    rows = Run.objects.filter(status=Status.QUEUED).order_by("queue").values_list("queue")
    waiting = rows.annotate(number=Count("pk"), since=Min("created_at"))
    found = [(queue, number, since, _find_takers(queue, hosts)) for queue, number, since in waiting]
    return [UnservedQueue(queue, number, since, words) for queue, number, since, (takers, words) in found if not takers]


def _find_takers(queue: str, hosts: list[HostView]) -> tuple[list[HostView], str]:
    """The hosts that take runs of this queue; if there are none, why."""
    living = [host for host in hosts if host.alive]
    if not living:
        return [], NO_HOSTS
    serving = [host for host in living if queue in get_queues(host.row)]
    if not serving:
        others = ", ".join(sorted({name for host in living for name in get_queues(host.row)}))
        return [], (
            f"No host serves the queue {queue}; those that live serve {others}. Start a worker for it: "
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
    reasons += [f"{draining} {'are' if ',' in draining else 'is'} draining and takes nothing new"] if draining else []
    return [], f"No host takes runs of the queue {queue}: {'; '.join(reasons)}."


def _join_names(hosts: list[HostView], which: Callable[[HostView], bool]) -> str:
    names = [host.row.name for host in hosts if which(host)]
    return f"host{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def _explain_too_large(wanted: Resources, queue: str, hosts: list[HostView]) -> str:
    have = "; ".join(f"{host.row.name} has {_format_amount(_get_totals(host.row))}" for host in hosts)
    return (
        f"It asks for {_format_amount(wanted)}, its sidecar included, and no host of the queue {queue} has that: "
        f"{have}. Cancel it and choose a smaller profile, or start a larger host."
    )


def _get_totals(row: Host) -> tuple[float | None, int | None]:
    return row.cpus, row.memory_bytes


def _format_amount(what: Resources | tuple[float | None, int | None]) -> str:
    cpu, memory = (what.cpu, what.memory_bytes) if isinstance(what, Resources) else what
    return f"{float(cpu or 0):g} CPU and {(memory or 0) // MB:,} MB"
