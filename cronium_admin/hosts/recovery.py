"""What a host does about the runs that an earlier process of its name left behind."""

import logging

from cronium_admin.runs import transitions
from cronium_admin.runs.models import ON_HOST, Run, Status
from cronium_admin.runs.transitions import Ending

log = logging.getLogger("cronium.recovery")


def settle(host: str, owner: str) -> int:
    """Call after their containers were removed. What had not begun waits again; what had is lost: user
    code starts at most once. Returns how many runs were settled."""
    left = Run.objects.filter(status__in=ON_HOST, host=host).exclude(lease_owner=owner)
    settled = 0
    for run_id, status, epoch, cancelling in left.values_list("pk", "status", "lease_epoch", "cancel_requested_at"):
        if cancelling:
            ending = Ending(Status.CANCELLED, "cancelled", "Cancelled; its container was removed.")
            settled += transitions.finish(run_id, epoch, ending)
        elif status == Status.STARTING:
            settled += transitions.requeue(run_id, epoch, "Cronium stopped before the script began")
        else:
            message = (
                "Cronium itself stopped while the script ran, and its container was removed. Run it again if that "
                "is safe."
            )
            settled += transitions.finish(run_id, epoch, Ending(Status.LOST, "worker_restarted", message))
    if settled:
        log.warning("settled %d runs that an earlier process left behind", settled)
    return settled
