"""The ends of rows that need no more than a condition: small batches, each a transaction."""

from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import Model, Q, QuerySet

from cronium_admin.accounts.models import ApiToken, SignIn
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.logs.throttle import Pace
from cronium_admin.runs.models import Run, RunEvent
from cronium_admin.runs.shared_texts import sweep_unused
from cronium_admin.variables.models import Receipt, Variable

BATCH = 500
RECEIPTS_KEPT = timedelta(days=1)  # of a run whose sandbox nobody reported as removed
_NO_KEY = {"idempotency_key": None, "idempotency_by": None, "request_digest": ""}
ADMIN_LOG_KEPT = timedelta(days=365)


def _delete(rows: "QuerySet[Any]", what: str, pace: Pace) -> Iterator[str]:
    """Delete the rows, and say how many there were. A row that changes meanwhile, so that it is to stay, stays."""
    model: type[Model] = rows.model
    deleted = 0
    try:
        while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]):
            with pace.step(), transaction.atomic():
                locked = rows.select_for_update(of=("self",)).filter(pk__in=ids).only("pk")
                still_due = [row.pk for row in locked]
                deleted += model._default_manager.filter(pk__in=still_due).delete()[1].get(model._meta.label, 0)
    finally:
        if deleted:
            yield f"{deleted} {what}"


def _days(number: int) -> timedelta | None:
    """None where they are kept for ever."""
    return timedelta(days=number) if number else None


def remove_events(pace: Pace) -> Iterator[str]:
    """From the oldest on: their keys rise with the time, so a round reads no event that stays but the first."""
    kept, deleted = _days(settings.CONFIG.event_keep_days), 0
    try:
        while kept:
            oldest = list(RunEvent.objects.order_by("pk").values_list("pk", "at")[:BATCH])
            ids = [pk for pk, at in oldest if at < database_now() - kept]
            if not ids:
                break
            with pace.step():
                deleted += RunEvent.objects.filter(pk__in=ids).delete()[0]
    finally:
        if deleted:
            yield f"{deleted} events of runs"


def remove_idempotency_keys(pace: Pace) -> Iterator[str]:
    """The run stays; its key is free again."""
    if kept := _days(settings.CONFIG.idempotency_keep_days):
        used = Run.objects.filter(idempotency_key__isnull=False, created_at__lt=Now() - kept)
        freed = 0
        try:
            while ids := list(used.order_by("created_at").values_list("pk", flat=True)[:BATCH]):
                with pace.step():
                    freed += Run.objects.filter(pk__in=ids).update(**_NO_KEY)
        finally:
            if freed:
                yield f"{freed} idempotency keys of launches"


def remove_receipts(pace: Pace) -> Iterator[str]:
    """They go when the sandbox of their run is gone; these are of runs whose host never said so."""
    ended = Receipt.objects.filter(run__finished_at__lt=Now() - RECEIPTS_KEPT)
    yield from _delete(ended, "idempotency keys of scripts", pace)


def remove_variables(pace: Pace) -> Iterator[str]:
    if kept := _days(settings.CONFIG.variable_keep_days):
        gone = Variable.objects.filter(text__isnull=True, changed_at__lt=Now() - kept)
        yield from _delete(gone, "deleted variables with their history", pace)


def remove_sessions(pace: Pace) -> Iterator[str]:
    """Whatever engine keeps them."""
    pace.check()
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    kept = timedelta(seconds=settings.SESSION_COOKIE_AGE)
    yield from _delete(SignIn.objects.filter(created_at__lt=Now() - kept), "sign-ins whose session is over", pace)


def remove_sign_ins(pace: Pace) -> Iterator[str]:
    if kept := _days(settings.CONFIG.sign_in_keep_days):
        for model in (AccessAttempt, AccessFailureLog, AccessLog):
            yield from _delete(model.objects.filter(attempt_time__lt=Now() - kept), "sign-in attempts", pace)


def remove_tokens(pace: Pace) -> Iterator[str]:
    if kept := _days(settings.CONFIG.token_keep_days):
        over = Q(revoked_at__lt=Now() - kept) | Q(expires_at__lt=Now() - kept)
        yield from _delete(ApiToken.objects.filter(over), "tokens that were revoked or have expired", pace)


def remove_admin_log(pace: Pace) -> Iterator[str]:
    old = LogEntry.objects.filter(action_time__lt=Now() - ADMIN_LOG_KEPT)
    yield from _delete(old, "log entries of the admin site", pace)


def remove_unused(pace: Pace) -> Iterator[str]:
    """Scripts, and tables of sandboxes, that no run has any more."""
    pace.check()
    for what, number in sweep_unused():
        if number:
            yield f"{number} {what} that no run has"
