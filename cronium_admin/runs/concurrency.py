"""A launch while the limit of its job is reached: the run waits, ends at once, or replaces the oldest live run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from cronium_admin.core.wakeup import wake_workers
from cronium_admin.jobs.concurrency import COMMON_KEY, KeyFailed, WhenFull, compute_key
from cronium_admin.jobs.models import Job
from cronium_admin.runs import events
from cronium_admin.runs.models import LIVE, Run, Status
from cronium_admin.runs.row_locks import lock_runs
from cronium_admin.runs.start_time import is_due
from cronium_admin.runs.triggers import Trigger

SKIPPED = "concurrency_skipped"  # the reason of a run that its job's limit did not allow


@dataclass(frozen=True)
class FullLimit:
    """The limit that a launch meets, and, unless the run waits, the live runs of its job and key, oldest first."""

    limit: int
    when_full: str
    live: list[Run]


def compute_run_key(job: Job, run_input: Any) -> str:
    """Raises ValidationError for the field `input`."""
    try:
        return compute_key(job.concurrency, run_input)
    except KeyFailed as error:
        text = f"The key of the job's limit, {job.concurrency['key']}, can't be computed from this input: {error}."
        raise ValidationError({"input": [text]}) from None


def find_full_limit(job: Job | None, columns: Mapping[str, Any]) -> FullLimit | None:
    """None: the limit allows one more run. Call it in the transaction that has locked the job's row for a launch."""
    if job is None or not job.concurrency:
        return None
    limit, when_full = _find_setting(job, columns)
    key = columns["concurrency_key"]
    if when_full == WhenFull.CANCEL_OLDEST:
        lock_runs(Run.objects.filter(job=job, concurrency_key=key, status__in=LIVE))
    rows = Run.objects.filter(is_due(), job=job, concurrency_key=key, status__in=LIVE).order_by("created_at", "pk")
    rows = rows.only("pk", "number", "cancel_requested_at")
    if when_full == WhenFull.QUEUE:
        return FullLimit(limit, when_full, []) if rows[limit - 1 : limit].exists() else None
    live = list(rows[:limit] if when_full == WhenFull.SKIP else rows)
    return FullLimit(limit, when_full, live) if len(live) >= limit else None


def _find_setting(job: Job, columns: Mapping[str, Any]) -> tuple[int, str]:
    # A further attempt always waits, as do a run that may start later and a try: none replaces a run that is live now.
    if not job.concurrency:
        return 0, ""
    waits = columns.get("attempt", 1) > 1 or columns.get("not_before") or columns.get("trigger") == Trigger.TRY
    return int(job.concurrency["limit"]), WhenFull.QUEUE if waits else str(job.concurrency["when_full"])


def settle_launch(run: Run, full: FullLimit) -> None:
    """Ends the new run, or cancels the oldest ones, as the job says. In the transaction of the launch."""
    if full.when_full == WhenFull.SKIP:
        numbers = format_numbers([other.number for other in full.live])
        verb = "were" if len(full.live) > 1 else "was"
        text = f"Not run: {describe_limit(full.limit, run.concurrency_key)}, and {numbers} {verb} live."
        _end(run, text)
        run.refresh_from_db(fields=("status", "reason", "message", "finished_at"))
    elif full.when_full == WhenFull.CANCEL_OLDEST:
        _cancel_oldest(run, full)


def _cancel_oldest(run: Run, full: FullLimit) -> None:
    remaining = [other for other in full.live if other.cancel_requested_at is None]
    oldest = remaining[: max(0, len(remaining) - full.limit + 1)]
    name = f"run #{run.number} ({describe_limit(full.limit, run.concurrency_key)})"
    # In the order of their keys, in which others lock several runs.
    cancelled = [other for other in sorted(oldest, key=lambda other: other.pk) if _cancel(other, name)]
    if cancelled:
        numbers = format_numbers(sorted(other.number for other in cancelled))
        events.record_event(run.pk, "limit", f"Cancelled {numbers}: {describe_limit(full.limit, run.concurrency_key)}")


def _end(run: Run, text: str) -> None:
    from cronium_admin.runs import state_machine  # which imports `launch`, for retries

    ending = state_machine.Ending(Status.CANCELLED, SKIPPED, text)
    state_machine.end_queued(run.pk, ending, "")


def _cancel(run: Run, name: str) -> bool:
    from cronium_admin.runs import state_machine

    if state_machine.cancel_queued(run.pk, name):
        return True
    if not state_machine.request_cancel(run.pk, None, name):
        return False
    host = Run.objects.values_list("host", flat=True).get(pk=run.pk)
    transaction.on_commit(lambda: wake_workers(str(run.pk), f"host.{host}"))
    return True


def describe_limit(limit: int, key: str) -> str:
    """As "the job runs at most 3 at once for the key eu"."""
    return f"the job runs at most {limit} at once" + (f" for the key {key}" if key != COMMON_KEY else "")


def format_numbers(numbers: list[int]) -> str:
    """As "#3", "#3 and #4", or "#3, #4 and 7 more"."""
    names = [f"#{number}" for number in numbers[:3]]
    if len(numbers) > len(names):
        names.append(f"{len(numbers) - len(names)} more")
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
