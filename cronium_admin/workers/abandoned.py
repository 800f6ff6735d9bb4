"""Settles the runs of hosts that are away: requeues runs whose script had not begun, and ends the others as lost."""

import logging
from datetime import timedelta

from django.conf import settings

from cronium_admin.core.database.clock import Now
from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.image_builds.versions import settle_builds
from cronium_admin.runs import state_machine
from cronium_admin.runs.attempt_ends import end_stale_attempts
from cronium_admin.runs.models import ON_HOST, Run, Status
from cronium_admin.runs.state_machine import Ending
from cronium_admin.secrets import retired_values
from cronium_admin.secrets.models import RetiredSecret
from cronium_admin.workers import lease
from cronium_admin.workers.clock_steps import ClockStepDetector, shorten_future_times

log = logging.getLogger("cronium.recovery")
CANCELLED_BEFORE_START = Ending(Status.CANCELLED, "cancelled", "Cancelled before the script began.")
SWEEP_SECONDS = 10.0
clock_steps = ClockStepDetector()


def settle_abandoned_runs() -> int:
    """Requeue or end the runs whose host is away; any process may call this. Returns the number of settled runs."""
    is_steady = clock_steps.is_steady()
    if clock_steps.may_have_gone_back:
        shorten_future_times()
        clock_steps.may_have_gone_back = False
    if not is_steady:
        return 0  # all leases may seem expired: every live process renews its own within seconds
    expired = Run.objects.filter(status__in=ON_HOST, lease_expires_at__lt=Now())
    led_hosts = lease.list_led_hosts()
    # The leader of a host handles that host's runs.
    runs = expired.only("status", "lease_epoch", "host", "cancel_requested_at")
    settled = sum(_settle(run) for run in runs if run.host not in led_hosts)
    if RetiredSecret.objects.exists():
        on_host = Run.objects.filter(status__in=ON_HOST).select_related("revision")
        runs_on_host = on_host.only("project", "claimed_at", "differs", "revision__settings").iterator(chunk_size=100)
        retired_values.delete_unneeded((run.project_id, run.secrets, run.claimed_at) for run in runs_on_host)
    settle_builds()
    end_stale_attempts()
    if settled:
        log.warning("settled %d runs whose host is away", settled)
    return settled


def _settle(run: Run) -> bool:
    if run.status == Status.RUNNING:
        after = timedelta(seconds=settings.CONFIG.lost_after)
        message = (
            f"Host {run.host} has been away for {after}, with the script running when it was last seen. Its "
            "result is unknown. Run it again if that is safe."
        )
        return state_machine.end_abandoned(run.pk, run.lease_epoch, after, Ending(Status.LOST, "host_gone", message))
    if run.cancel_requested_at:
        return state_machine.end_abandoned(run.pk, run.lease_epoch, timedelta(0), CANCELLED_BEFORE_START)
    message = f"Host {run.host} went away before the script began"
    return state_machine.requeue_abandoned(run.pk, run.lease_epoch, message)


class AbandonedRunSweeper(PeriodicTask):
    """For web processes: settles abandoned runs where no worker may be left to do it."""

    def __init__(self) -> None:
        super().__init__("sweeper", self.run_once, SWEEP_SECONDS)

    def run_once(self) -> float:
        try:
            settle_abandoned_runs()
        except Exception as error:  # noqa: BLE001 - the database may be unavailable for a while
            log.warning("the sweep for abandoned runs failed: %s", error)
        return SWEEP_SECONDS
