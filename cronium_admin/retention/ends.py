"""The one list of what grows and what ends it. `sweep` applies every end; the logs' keeper calls it before its own
work, at the start and every hour, in every process with pages. Each end is conditional and may run anywhere at once.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from cronium_admin.core.database.outage import is_outage, log_failure
from cronium_admin.logs.throttle import Pace, Stopped
from cronium_admin.retention import deletion, rows
from cronium_admin.retention.due import due_runs

log = logging.getLogger("cronium.retention")


@dataclass(frozen=True)
class End:
    """What grows, the setting that bounds it with its default, and the function that removes it: what it removed, in
    words, as it goes."""

    what: str
    setting: str
    default: str
    remove: Callable[[Pace], Iterator[str]]


def _remove_runs(pace: Pace) -> Iterator[str]:
    for due in due_runs():
        deleted, failed = 0, list[UUID]()
        try:
            while ids := list(due.runs.exclude(pk__in=failed).values_list("pk", flat=True)[: deletion.BATCH]):
                pace.check()
                gone, more = _delete(ids, pace)
                if not gone and not more:
                    break
                deleted, failed = deleted + gone, failed + more
        finally:
            if deleted:
                yield f"{deleted} runs of {due.job}: {due.why}"


def _delete(ids: list[UUID], pace: Pace) -> tuple[int, list[UUID]]:
    """How many were deleted, and those that failed: where the batch does, one run at a time."""
    try:
        return deletion.delete_runs(ids, pace), []
    except Stopped:
        raise
    except Exception as error:
        if is_outage(error):
            raise
        if len(ids) == 1:
            log.error("run %s was not deleted; it is tried again", ids[0], exc_info=error)
            return 0, ids
    each = [_delete([run_id], pace) for run_id in ids]
    return sum(gone for gone, _ in each), [run_id for _, failed in each for run_id in failed]


def _remove_nothing(_: Pace) -> Iterator[str]:
    """For what another part of Cronium removes."""
    return iter(())


ENDS = (
    End("runs with their logs and events", "CRONIUM_RUN_KEEP_DAYS, CRONIUM_RUN_KEEP_RUNS", "365 days", _remove_runs),
    End("scripts and sandbox reports of runs", "deletion of their last run", "within the hour", rows.remove_unused),
    End("logs", "CRONIUM_LOG_KEEP_DAYS, CRONIUM_LOG_KEEP_RUNS", "90 days", _remove_nothing),
    End("events of runs", "CRONIUM_EVENT_KEEP_DAYS", "90 days", rows.remove_events),
    End("idempotency keys of launches", "CRONIUM_IDEMPOTENCY_KEEP_DAYS", "7 days", rows.remove_idempotency_keys),
    End("idempotency keys of scripts", "the end of the run", "a day at most", rows.remove_receipts),
    End("deleted variables", "CRONIUM_VARIABLE_KEEP_DAYS", "90 days", rows.remove_variables),
    End("changes of a variable", "their number", "the last 100", _remove_nothing),
    End("sessions", "their expiry, counted from the sign-in", "14 days", rows.remove_sessions),
    End("sign-in attempts", "CRONIUM_SIGN_IN_KEEP_DAYS", "30 days", rows.remove_sign_ins),
    End("revoked and expired tokens", "CRONIUM_TOKEN_KEEP_DAYS", "90 days", rows.remove_tokens),
    End("log entries of the admin site", "their age", "365 days", rows.remove_admin_log),
    End("hosts", "the Hosts page, DELETE /hosts/{name}", "by hand", _remove_nothing),
)


def sweep(pace: Pace) -> None:
    """Apply every end. One that fails is logged and holds up no other."""
    for end in ENDS:
        try:
            for words in end.remove(pace):
                log.info("retention removed %s", words)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - logged, and tried again within the hour
            log_failure(log, error, f"retention of {end.what}")
