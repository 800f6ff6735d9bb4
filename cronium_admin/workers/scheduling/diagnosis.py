"""Why a run waits, in a sentence with the mend; and the queues whose runs no host takes. Changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Min

from cronium_admin.runs.models import Run, Status
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.hosts.service import HostView, all_hosts, queues_of
from cronium_admin.workers.scheduling.capacity import MB, Offer, Promise, needs, reserved

NOBODY = "No host takes runs: none has reported for half a minute. Is a worker running?"


@dataclass(frozen=True)
class Why:
    """`stuck`: it waits until somebody does something; else it is only not its turn yet."""

    words: str
    stuck: bool
    queue: str
    number: int  # of this queue's runs that wait


@dataclass(frozen=True)
class Unserved:
    """A queue whose runs wait, `number` of them, the first one since `since`, for a host that takes them."""

    queue: str
    number: int
    since: datetime
    words: str


def offer_of(row: Host) -> Offer:
    """What a host said it has, as its own worker counts it."""
    return Offer(queues_of(row), row.cpus, row.memory_bytes, settings.CONFIG.cpu_overcommit)


def why(run: Run) -> Why | None:
    """Why this run has not begun; None when it may begin any moment, or waits no more."""
    if run.status != Status.QUEUED or (found := _reason(run)) is None:
        return None
    number = Run.objects.filter(status=Status.QUEUED, queue=run.queue).count()
    return Why(*found, run.queue, number)


def _reason(run: Run) -> tuple[str, bool] | None:
    """In words, and whether it is stuck."""
    takers, words = _takers(run.queue, all_hosts())
    if not takers:
        return words, True
    wanted = needs(run.cpu, run.memory_mb, run.network)
    large = [host for host in takers if offer_of(host.row).ever(wanted)]
    if not large:
        return _too_large(wanted, run.queue, takers), True
    free = [host for host in large if host.row.running < host.row.capacity]
    if not free:
        busy = ", ".join(f"{host.row.name} {host.row.running} of {host.row.capacity}" for host in large)
        return f"All slots are taken ({busy}); it begins when a run before it ends.", False
    taken = reserved()
    if any(offer_of(host.row).now(taken.get(host.row.name, Promise()), wanted) for host in free):
        return None
    return f"It waits for room: it is promised {_amount(wanted)}, and the runs before it hold too much.", False


def unserved(hosts: list[HostView]) -> list[Unserved]:
    """The queues with waiting runs that none of all `hosts` takes."""
    rows = Run.objects.filter(status=Status.QUEUED).order_by("queue").values_list("queue")
    waiting = rows.annotate(number=Count("pk"), since=Min("created_at"))
    found = [(queue, number, since, _takers(queue, hosts)) for queue, number, since in waiting]
    return [Unserved(queue, number, since, words) for queue, number, since, (takers, words) in found if not takers]


def _takers(queue: str, hosts: list[HostView]) -> tuple[list[HostView], str]:
    """The hosts that take runs of this queue; if there are none, why."""
    living = [host for host in hosts if host.alive]
    if not living:
        return [], NOBODY
    serving = [host for host in living if queue in queues_of(host.row)]
    if not serving:
        others = ", ".join(sorted({name for host in living for name in queues_of(host.row)}))
        return [], (
            f"No host serves the queue {queue}; those that live serve {others}. Start a worker for it: "
            f"manage.py worker --queues {queue}."
        )
    takers = [host for host in serving if host.takes_runs]
    if takers:
        return takers, ""
    unsafe = _named(serving, lambda host: host.row.unsafe and not settings.CONFIG.allow_unsafe_host)
    away = _named(serving, lambda host: bool(host.row.engine_error))
    draining = _named(serving, lambda host: host.row.draining)
    reasons = [f"{unsafe} failed the isolation check"] if unsafe else []
    reasons += [f"the Docker Engine of {away} does not answer"] if away else []
    reasons += [f"{draining} {'are' if ',' in draining else 'is'} draining and takes nothing new"] if draining else []
    return [], f"No host takes runs of the queue {queue}: {'; '.join(reasons)}."


def _named(hosts: list[HostView], which: Callable[[HostView], bool]) -> str:
    names = [host.row.name for host in hosts if which(host)]
    return f"host{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def _too_large(wanted: Promise, queue: str, hosts: list[HostView]) -> str:
    have = "; ".join(f"{host.row.name} has {_amount(_all_of(host.row))}" for host in hosts)
    return (
        f"It asks for {_amount(wanted)}, its sidecar included, and no host of the queue {queue} has that: {have}. "
        "Cancel it and choose a smaller profile, or start a larger host."
    )


def _all_of(row: Host) -> tuple[float | None, int | None]:
    return row.cpus, row.memory_bytes


def _amount(what: Promise | tuple[float | None, int | None]) -> str:
    cpu, memory = (what.cpu, what.memory_bytes) if isinstance(what, Promise) else what
    return f"{float(cpu or 0):g} CPU and {(memory or 0) // MB:,} MB"
