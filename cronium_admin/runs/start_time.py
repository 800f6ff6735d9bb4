"""Queued runs that may not start yet, or not any more: `not_before`, and attempts that were given up."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db.models import DateTimeField, Exists, OuterRef, Q

from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run, Status

MAX_AHEAD = timedelta(days=366)
TOLERANCE = timedelta(minutes=1)  # a time that passed so recently means now


def is_due() -> Q:
    """A condition on queued runs: they wait for no time."""
    return Q(not_before=None) | Q(not_before__lte=Now())


def find_seconds_to_start(queues: Collection[str]) -> float | None:
    """Until the next run of these queues may start that waits for a time; None: there is none."""
    later = Run.objects.filter(not_before__gt=Now(), status=Status.QUEUED, queue__in=queues).order_by("not_before")
    row = later.values_list("not_before", Now(output_field=DateTimeField())).first()
    return None if row is None else (row[0] - row[1]).total_seconds()


def is_stale_attempt() -> Q:
    """A condition on queued runs: the total time of the attempts is over, or the job was disabled."""
    return Q(attempt__gt=1) & (Q(retry_until__lte=Now()) | Q(_is_job_disabled()))


def is_no_stale_attempt() -> Q:
    # Not the negation, which would be unknown without a `retry_until`
    return Q(attempt=1) | ((Q(retry_until=None) | Q(retry_until__gt=Now())) & ~Q(_is_job_disabled()))


def _is_job_disabled() -> Exists:
    return Exists(Job.objects.filter(pk=OuterRef("job"), enabled=False))


def check_not_before(at: datetime | None) -> datetime | None:
    """The time at which a launch may start; None: at once. Raises ValidationError for a time that has passed."""
    if at is None:
        return None
    now = database_now()
    if at > now + MAX_AHEAD:
        text = f"At most {MAX_AHEAD.days} days ahead; this is {at:%Y-%m-%d %H:%M} UTC. For later times use a schedule."
        raise ValidationError(text, code="too_far")
    if at < now - TOLERANCE:
        text = f"{at:%Y-%m-%d %H:%M} UTC has passed; it is {now:%H:%M} UTC on {now:%Y-%m-%d}."
        raise ValidationError(f"{text} Choose a later time, or none to start now.", code="past")
    return at if at > now else None
