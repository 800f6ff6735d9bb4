"""The retention rules of all growing data. The log maintenance calls `apply_rules` before its own work, at the start
and every hour, in the process that holds its lease. Each rule is a conditional statement, so several processes may
apply it at once.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from cronium_admin.core.database.outage import is_outage, log_failure
from cronium_admin.logs.throttle import Stopped, Throttle
from cronium_admin.retention import deletion, rows
from cronium_admin.retention.due import find_due_runs

log = logging.getLogger("cronium.retention")


@dataclass(frozen=True)
class RetentionRule:
    """The kind of data, the setting that limits it with its default, and the function that removes expired data and
    yields descriptions of the removed data."""

    subject: str
    setting: str
    default: str
    remove: Callable[[Throttle], Iterator[str]]


def _remove_runs(pace: Throttle) -> Iterator[str]:
    for due in find_due_runs():
        deleted, failed = 0, list[UUID]()
        try:
            while ids := list(due.runs.exclude(pk__in=failed).values_list("pk", flat=True)[: deletion.BATCH_SIZE]):
                pace.raise_if_stopped()
                number, failures = _delete_batch(ids, pace)
                if not number and not failures:
                    break
                deleted, failed = deleted + number, failed + failures
        finally:
            if deleted:
                yield f"{deleted} runs of {due.job}: {due.reason}"


def _delete_batch(ids: list[UUID], pace: Throttle) -> tuple[int, list[UUID]]:
    # If a batch fails, its runs are deleted one at a time.
    try:
        return deletion.delete_runs(ids, pace), []
    except Stopped:
        raise
    except Exception as error:
        if is_outage(error):
            raise
        if len(ids) == 1:
            log.error("run %s was not deleted; the deletion is tried again", ids[0], exc_info=error)
            return 0, ids
    results = [_delete_batch([run_id], pace) for run_id in ids]
    return sum(number for number, _ in results), [run_id for _, failed in results for run_id in failed]


def _remove_nothing(_: Throttle) -> Iterator[str]:
    # Another part of Cronium removes this data.
    return iter(())


RULES = (
    RetentionRule(
        "runs with their logs and events", "CRONIUM_RUN_KEEP_DAYS, CRONIUM_RUN_KEEP_RUNS", "365 days", _remove_runs
    ),
    RetentionRule(
        "scripts, revisions of deleted jobs, sandbox reports",
        "deletion of their last run",
        "within the hour",
        rows.remove_unused,
    ),
    RetentionRule("logs", "CRONIUM_LOG_KEEP_DAYS, CRONIUM_LOG_KEEP_RUNS", "90 days", _remove_nothing),
    RetentionRule("events of runs", "CRONIUM_EVENT_KEEP_DAYS", "90 days", rows.remove_events),
    RetentionRule("ledgers of schedules", "CRONIUM_RUN_KEEP_DAYS", "365 days", rows.remove_occurrences),
    RetentionRule("incidents", "CRONIUM_RUN_KEEP_DAYS", "365 days", rows.remove_incidents),
    RetentionRule("pings of a check", "their number", "the last 100", _remove_nothing),
    RetentionRule("events of the outbox", "reading by all its consumers", "30 days at most", rows.remove_outbox_events),
    RetentionRule(
        "idempotency keys of launches", "CRONIUM_IDEMPOTENCY_KEEP_DAYS", "7 days", rows.remove_idempotency_keys
    ),
    RetentionRule("idempotency keys of scripts", "the end of the run", "a day at most", rows.remove_receipts),
    RetentionRule("deleted variables", "CRONIUM_VARIABLE_KEEP_DAYS", "90 days", rows.remove_variables),
    RetentionRule("changes of a variable", "their number", "the last 100", _remove_nothing),
    RetentionRule("sessions", "their expiry, counted from the sign-in", "14 days", rows.remove_sessions),
    RetentionRule("sign-in attempts", "CRONIUM_SIGN_IN_KEEP_DAYS", "30 days", rows.remove_sign_ins),
    RetentionRule("revoked and expired tokens", "CRONIUM_TOKEN_KEEP_DAYS", "90 days", rows.remove_tokens),
    RetentionRule("log entries of the admin site", "their age", "365 days", rows.remove_admin_log),
    RetentionRule("checks of scripts", "their age", "30 days", rows.remove_script_checks),
    RetentionRule("hosts", "the Hosts page, DELETE /hosts/{name}", "by hand", _remove_nothing),
)


def apply_rules(pace: Throttle) -> None:
    for rule in RULES:
        try:
            for removed in rule.remove(pace):
                log.info("retention removed %s", removed)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - logged, and tried again within the hour
            log_failure(log, error, f"retention of {rule.subject}")
