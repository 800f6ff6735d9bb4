"""Keeps the rows of the watched jobs equal to the settings of the jobs."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet

from cronium_admin.expectations.incidents import close_incidents
from cronium_admin.expectations.models import Closing, Kind, Watch
from cronium_admin.jobs.job_fields import EXPECTED_FIELDS
from cronium_admin.jobs.models import Job
from cronium_admin.runs.row_locks import lock_job

_OF_KIND = {
    Kind.START_BY: ("start_by",),
    Kind.FINISH_BY: ("finish_by",),
    Kind.SUCCEED_EVERY: ("succeed_every", "succeed_grace"),
}
_EXPECTS = Q(start_by__isnull=False) | Q(finish_by__isnull=False) | Q(succeed_every__isnull=False)


def sync_watches(now: datetime) -> None:
    """Nothing before `now` is judged by a new or changed setting. An incident of a setting that is gone is closed."""
    for watch in _find_idle():
        _stop_watching(watch)
    for watch in _find_changed():
        _follow_job(watch, now)
    new = Job.objects.filter(_EXPECTS, enabled=True, watch__isnull=True).order_by()
    settings = new.values("pk", *EXPECTED_FIELDS)
    rows = [_make_watch(values.pop("pk"), values, now) for values in settings]
    if rows:
        Watch.objects.bulk_create(rows, ignore_conflicts=True)


def compute_success_due(base: datetime, every: int | None, grace: int | None) -> datetime | None:
    return None if every is None else base + timedelta(seconds=every + (grace or 0))


def _find_idle() -> "QuerySet[Watch]":
    expects = Q(job__start_by__isnull=False) | Q(job__finish_by__isnull=False) | Q(job__succeed_every__isnull=False)
    return Watch.objects.exclude(expects, job__enabled=True).select_related("job")


def _find_changed() -> "QuerySet[Watch]":
    same = Q()
    for name in EXPECTED_FIELDS:
        same &= Q(**{name: F(f"job__{name}")}) | Q(**{f"{name}__isnull": True, f"job__{name}__isnull": True})
    return Watch.objects.exclude(same).select_related("job")


def _make_watch(job_id: int, settings: dict[str, Any], now: datetime) -> Watch:
    due = compute_success_due(now, settings["succeed_every"], settings["succeed_grace"])
    return Watch(job_id=job_id, since_at=now, success_base_at=now, success_due_at=due, **settings)


@transaction.atomic
def _stop_watching(watch: Watch) -> None:
    lock_job(watch.job_id)
    is_disabled = not watch.job.enabled
    closing = Closing.DISABLED if is_disabled else Closing.REMOVED
    text = "The job was disabled." if is_disabled else "The setting was removed from the job."
    close_incidents(watch.job_id, tuple(_OF_KIND), closing, text)
    watch.delete()


@transaction.atomic
def _follow_job(watch: Watch, now: datetime) -> None:
    """Copies the job's settings. A changed setting begins now."""
    lock_job(watch.job_id)
    if not Watch.objects.filter(pk=watch.pk).exists():
        return  # the job was deleted in the meantime
    for kind, names in _OF_KIND.items():
        if all(getattr(watch, name) == getattr(watch.job, name) for name in names):
            continue
        if getattr(watch.job, names[0]) is None:
            close_incidents(watch.job_id, (kind,), Closing.REMOVED, "The setting was removed from the job.")
        else:
            close_incidents(watch.job_id, (kind,), Closing.CHANGED, "The setting was changed; it counts from now.")
        if kind == Kind.SUCCEED_EVERY:
            watch.success_base_at = now
        else:
            watch.since_at = now
        for name in names:
            setattr(watch, name, getattr(watch.job, name))
    watch.success_due_at = compute_success_due(watch.success_base_at, watch.succeed_every, watch.succeed_grace)
    watch.save()
