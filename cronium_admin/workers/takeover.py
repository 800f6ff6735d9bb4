"""What a host's new process does about the runs of the one before, and anybody about those of a host that is away."""

import logging
import math
import threading
import time
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, Q

from cronium_admin.core.database.clock import Now
from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import ON_HOST, TERMINAL, Run, Status
from cronium_admin.runs.state_machine import Ending
from cronium_admin.runtime_api import handlers as runtime
from cronium_admin.secrets import retired_values
from cronium_admin.secrets.models import RetiredSecret
from cronium_admin.secrets.retired_values import SecretUnavailable
from cronium_admin.workers import lease
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.run_spec import build_spec_to_adopt, build_spec_to_remove
from executor.checks.isolation import is_canary_host
from executor.docker.errors import EngineError
from executor.spec import RunSpec

log = logging.getLogger("cronium.recovery")
CANCELLED_BEFORE_START = Ending(Status.CANCELLED, "cancelled", "Cancelled; its script had not begun.")
SWEEP_SECONDS = 10.0
STEP_SECONDS = 5.0  # less than this is a slow answer, or the slewing of a time server
GC_GRACE = timedelta(seconds=10)  # whoever ended it is still clearing up
REQUEUE_MESSAGE = "Its worker stopped before the script began"


@dataclass(frozen=True)
class AdoptedRun:
    """A run that this process has taken over, and the seconds that are left of its time."""

    spec: RunSpec
    epoch: int
    seconds_left: float
    started_at: float  # by time.monotonic
    stop_reason: str


def take_over_runs(
    host: str, owner: str, instance: str, active: Set[str], remove: Callable[[RunSpec], None]
) -> list[AdoptedRun]:
    """Settle or adopt what nobody sees to: this host's runs that are not `active` here. For who holds its lease.

    Every change has that lease for a condition: who wakes after it was lost changes nothing. What had not begun waits
    again: user code starts at most once. `remove` ends a run whose log can't be masked; while
    it raises EngineError that run stays as it is, for the next look.
    """
    adopted, acts = [], lease.holds_lease(host, owner)
    for run in Run.objects.filter(status__in=ON_HOST, host=host).exclude(pk__in=active):
        if run.status == Status.STARTING:
            if run.cancel_requested_at:
                state_machine.finish(run.pk, run.lease_epoch, CANCELLED_BEFORE_START, acts)
            else:
                state_machine.requeue(run.pk, run.lease_epoch, REQUEUE_MESSAGE, only_if=acts)
        elif (spec := _build_spec_or_end(run, instance, host, remove, acts)) and state_machine.adopt(
            run.pk, run.lease_epoch, owner, _describe_takeover(run, owner), acts
        ):
            adopted.append(_make_adopted(run, spec))
    return adopted


def _describe_takeover(run: Run, owner: str) -> str:
    """Who takes the run over, and why, for its timeline."""
    if run.lease_owner == owner:
        return f"Taken up again by the worker of host {run.host}, which had lost its lease"
    before = "went away without a word" if run.lease_owner else "was stopped and had let go of it"
    return f"Taken over by the new worker of host {run.host}: the one before {before}"


def _build_spec_or_end(
    run: Run, instance: str, host: str, remove: Callable[[RunSpec], None], acts: Q
) -> RunSpec | None:
    """The spec to go on with; None where the log could not be masked: the run is then ended as soon as possible."""
    try:
        return build_spec_to_adopt(run, instance, host)
    except SecretUnavailable as error:
        ending = Ending(Status.ERRORED, "secret_unavailable", str(error))
        stop_and_end(build_spec_to_remove(run, instance, host), ending, remove, acts)
        return None


def stop_and_end(spec: RunSpec, ending: Ending, remove: Callable[[RunSpec], None], acts: Q) -> None:
    """Stop the script of a run that can't be resumed, then end the run.

    While `remove` raises EngineError the run stays as it is, for the next sweep.
    """
    if not Run.objects.filter(acts, pk=spec.run_id, status=Status.RUNNING, lease_epoch=spec.epoch).exists():
        return
    try:
        remove(spec)
    except EngineError as error:
        log.warning("run %s could not be stopped yet: %s", spec.run_id, error, extra={"run_id": spec.run_id})
    else:
        state_machine.finish(UUID(spec.run_id), spec.epoch, ending, acts)


def _make_adopted(run: Run, spec: RunSpec) -> AdoptedRun:
    run.refresh_from_db()
    passed = Run.objects.filter(pk=run.pk).values_list(Now() - run.started_at, flat=True).get()  # the database's clock
    seconds = max(0.0, passed.total_seconds())  # the clock may have been put back
    begun_at = time.monotonic() - seconds
    seconds_left = max(0.0, run.timeout_seconds - seconds)
    return AdoptedRun(replace(spec, epoch=run.lease_epoch), run.lease_epoch, seconds_left, begun_at, run.stop_reason)


def _list_led_hosts() -> set[str]:
    """The names of the hosts that have a process: their lease is not over."""
    return set(Host.objects.filter(lease_expires_at__gt=Now()).exclude(owner="").values_list("name", flat=True))


class ClockStepDetector:
    """Notices between two looks that the database's clock was set forward, and waits until leases are true again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[datetime, float] | None = None
        self._steady_at = -math.inf

    def is_steady(self) -> bool:
        """Asks the database for its time."""
        row = Host.objects.order_by("pk").values_list(Now(output_field=DateTimeField())).first()
        if row is None:
            return True  # no worker has been here yet
        with self._lock:
            before, self._last = self._last, (row[0], time.monotonic())
            if before is not None:
                step = (row[0] - before[0]).total_seconds() - (self._last[1] - before[1])
                if step > STEP_SECONDS:
                    words = "the database's clock was set forward by %.0f s, or we slept; no run is given up for %d s"
                    log.warning(words, step, lease.LEASE_DURATION.total_seconds())
                    self._steady_at = time.monotonic() + lease.LEASE_DURATION.total_seconds()
            return time.monotonic() >= self._steady_at


clock_steps = ClockStepDetector()


def settle_abandoned_runs() -> int:
    """Runs whose host is away: what had not begun waits for another, what had is lost after a while. For anybody.

    Returns how many were settled.
    """
    if not clock_steps.is_steady():
        return 0  # all leases may have ended at once: whoever lives renews its own within seconds
    after = timedelta(seconds=settings.CONFIG.lost_after)
    over = Run.objects.filter(status__in=ON_HOST, lease_expires_at__lt=Now())
    acted_for = _list_led_hosts()
    settled = 0
    for run in over.only("status", "lease_epoch", "host", "cancel_requested_at"):
        if run.host in acted_for:
            continue  # its own process sees to it
        if run.status == Status.RUNNING:
            message = (
                f"Host {run.host} has been away for {after}, with the script running when it was last seen. Nobody "
                "knows how it ended. Run it again if that is safe."
            )
            ending = Ending(Status.LOST, "host_gone", message)
            settled += state_machine.end_abandoned(run.pk, run.lease_epoch, after, ending)
        elif run.cancel_requested_at:
            settled += state_machine.end_abandoned(run.pk, run.lease_epoch, timedelta(0), CANCELLED_BEFORE_START)
        else:
            words = f"Host {run.host} went away before the script began"
            settled += state_machine.requeue_abandoned(run.pk, run.lease_epoch, words)
    if RetiredSecret.objects.exists():
        retired_values.delete_unneeded(Run.objects.filter(status__in=ON_HOST).values_list("secrets", "claimed_at"))
    if settled:
        log.warning("settled %d runs whose host is away", settled)
    return settled


def find_still_active(host: str, run_ids: Set[str]) -> set[str]:
    """Those of the runs whose containers on `host` must stay: they are its own, or ended a moment ago."""
    ids = [one for one in run_ids if is_uuid(one)]
    own = Q(status__in=ON_HOST, host=host) | Q(finished_at__gt=Now() - GC_GRACE)
    return {str(pk) for pk in Run.objects.filter(own, pk__in=ids).values_list("pk", flat=True)}


def find_orphaned_elsewhere(things: Set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the (host, run id) whose run has ended or was deleted, and whose host no process acts for, as after it
    was renamed. A canary's run has no row and is not deserted."""
    things = {(host, run_id) for host, run_id in things if is_uuid(run_id) and not is_canary_host(host)}
    ids = {run_id for _, run_id in things}
    kept = Run.objects.filter(pk__in=ids).exclude(status__in=TERMINAL, finished_at__lt=Now() - GC_GRACE)
    over = ids - {str(pk) for pk in kept.values_list("pk", flat=True)}
    acted_for = _list_led_hosts()
    return {(host, run_id) for host, run_id in things if run_id in over and host not in acted_for}


def mark_cleaned_runs(host: str, gone: Set[str], left: Set[str], looks_back: timedelta | None) -> None:
    """Mark those of which nothing is left on the engine: the ended runs in `gone`, and of this host any but `left`.

    Of these only the ones that ended within `looks_back`, where it is given.
    """
    over = Run.objects.filter(cleaned_at=None, finished_at__isnull=False, finished_at__lt=Now() - GC_GRACE)
    own = Q(host=host)
    if looks_back is not None:
        own &= Q(finished_at__gt=Now() - looks_back)
    removed = Q(pk__in=[one for one in gone if is_uuid(one)])
    for run_id in over.filter(own | removed).values_list("pk", flat=True):
        if str(run_id) not in left:
            mark_cleaned(run_id)


def mark_cleaned(run_id: UUID) -> None:
    """Nothing of a run that has ended is left on its engine, and nothing of it is asked again. Of no other run."""
    with transaction.atomic():
        if state_machine.mark_cleaned(run_id):
            runtime.delete_receipts(run_id)


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


class AbandonedRunSweeper(PeriodicTask):
    """A thread that settles abandoned runs where no worker may be left to do it."""

    def __init__(self) -> None:
        super().__init__("sweeper", self.run_once, SWEEP_SECONDS)

    def run_once(self) -> float:
        try:
            settle_abandoned_runs()
        except Exception as error:  # noqa: BLE001 - the database may be away for a while
            log.warning("abandoned runs were not looked for: %s", error)
        return SWEEP_SECONDS
