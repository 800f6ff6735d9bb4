"""Ends attempts that wait and must not start any more."""

from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.start_time import is_stale_attempt
from cronium_admin.runs.state_machine import Ending

DISABLED = Ending(Status.CANCELLED, "job_disabled", "The job was disabled before this attempt started.")
EXPIRED = Ending(Status.CANCELLED, "retry_expired", "The total time of the attempts was over before this one started.")


def end_superseded_attempt(run: Run, cause: str, by: str) -> bool:
    """Ends an attempt that still waits; False if it has started or ended in the meantime. `cause` is a clause."""
    ending = Ending(Status.CANCELLED, "superseded", f"{cause} before this attempt started.")
    return state_machine.end_queued(run.pk, ending, by)


def end_stale_attempts() -> int:
    """Ends the attempts whose total time is over, or whose job was disabled; any process may call this."""
    stale = Run.objects.filter(is_stale_attempt(), status=Status.QUEUED).values_list("pk", "job__enabled")
    endings = [(pk, DISABLED if is_enabled is False else EXPIRED) for pk, is_enabled in stale]
    return sum(state_machine.end_queued(pk, ending, "Cronium", is_stale_attempt()) for pk, ending in endings)
