"""Retention rules that delete rows by a condition, in small batches, each in a transaction."""

import logging
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
from cronium_admin.expectations.models import Incident
from cronium_admin.logs.throttle import Throttle
from cronium_admin.runs import outbox
from cronium_admin.runs.models import Run, RunEvent
from cronium_admin.runs.shared_texts import delete_unused
from cronium_admin.schedules.models import Occurrence
from cronium_admin.script_checks.service import find_expired_checks
from cronium_admin.variables.models import Receipt, Variable

log = logging.getLogger("cronium.retention")
BATCH_SIZE = 500
RECEIPTS_KEPT = timedelta(days=1)  # of a run whose sandbox was never reported as removed
_NO_KEY = {"idempotency_key": None, "idempotency_by": None, "request_digest": ""}
ADMIN_LOG_KEPT = timedelta(days=365)


def _delete_rows(rows: "QuerySet[Any]", label: str, pace: Throttle) -> Iterator[str]:
    # A row that no longer matches when it is locked stays.
    model: type[Model] = rows.model
    deleted = 0
    try:
        while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH_SIZE]):
            with pace.run_step(), transaction.atomic():
                locked = rows.select_for_update(of=("self",)).filter(pk__in=ids).only("pk")
                still_due = [row.pk for row in locked]
                deleted += model._default_manager.filter(pk__in=still_due).delete()[1].get(model._meta.label, 0)
    finally:
        if deleted:
            yield f"{deleted} {label}"


def _make_timedelta(number: int) -> timedelta | None:
    # 0 keeps rows for ever.
    return timedelta(days=number) if number else None


def remove_events(pace: Throttle) -> Iterator[str]:
    yield from _delete_oldest(RunEvent, "at", settings.CONFIG.event_keep_days, "events of runs", pace)


def remove_occurrences(pace: Throttle) -> Iterator[str]:
    days = settings.CONFIG.run_keep_days
    yield from _delete_oldest(Occurrence, "decided_at", days, "rows of the ledgers of schedules", pace)


def remove_incidents(pace: Throttle) -> Iterator[str]:
    if max_age := _make_timedelta(settings.CONFIG.run_keep_days):
        yield from _delete_rows(Incident.objects.filter(closed_at__lt=Now() - max_age), "closed incidents", pace)


def _delete_oldest(model: type[Model], column: str, days: int, label: str, pace: Throttle) -> Iterator[str]:
    # Keys grow with time, so each pass reads at most one batch of rows that stay.
    max_age, deleted = _make_timedelta(days), 0
    try:
        while max_age:
            oldest = list(model._default_manager.order_by("pk").values_list("pk", column)[:BATCH_SIZE])
            ids = [pk for pk, at in oldest if at < database_now() - max_age]
            if not ids:
                break
            with pace.run_step():
                deleted += model._default_manager.filter(pk__in=ids).delete()[0]
    finally:
        if deleted:
            yield f"{deleted} {label}"


def remove_idempotency_keys(pace: Throttle) -> Iterator[str]:
    # The run stays; its key can be used again.
    if max_age := _make_timedelta(settings.CONFIG.idempotency_keep_days):
        used = Run.objects.filter(idempotency_key__isnull=False, created_at__lt=Now() - max_age)
        freed = 0
        try:
            while ids := list(used.order_by("created_at").values_list("pk", flat=True)[:BATCH_SIZE]):
                with pace.run_step():
                    freed += Run.objects.filter(pk__in=ids).update(**_NO_KEY)
        finally:
            if freed:
                yield f"{freed} idempotency keys of launches"


def remove_receipts(pace: Throttle) -> Iterator[str]:
    # Receipts are deleted with the sandbox of their run; these are of runs whose host never reported that.
    ended = Receipt.objects.filter(run__finished_at__lt=Now() - RECEIPTS_KEPT)
    yield from _delete_rows(ended, "idempotency keys of scripts", pace)


def remove_variables(pace: Throttle) -> Iterator[str]:
    if max_age := _make_timedelta(settings.CONFIG.variable_keep_days):
        deleted_variables = Variable.objects.filter(text__isnull=True, changed_at__lt=Now() - max_age)
        yield from _delete_rows(deleted_variables, "deleted variables with their history", pace)


def remove_sessions(pace: Throttle) -> Iterator[str]:
    pace.raise_if_stopped()
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    max_age = timedelta(seconds=settings.SESSION_COOKIE_AGE)
    yield from _delete_rows(
        SignIn.objects.filter(created_at__lt=Now() - max_age), "sign-ins whose session is over", pace
    )


def remove_sign_ins(pace: Throttle) -> Iterator[str]:
    if max_age := _make_timedelta(settings.CONFIG.sign_in_keep_days):
        for model in (AccessAttempt, AccessFailureLog, AccessLog):
            yield from _delete_rows(model.objects.filter(attempt_time__lt=Now() - max_age), "sign-in attempts", pace)


def remove_tokens(pace: Throttle) -> Iterator[str]:
    if max_age := _make_timedelta(settings.CONFIG.token_keep_days):
        expiry = Q(revoked_at__lt=Now() - max_age) | Q(expires_at__lt=Now() - max_age)
        yield from _delete_rows(ApiToken.objects.filter(expiry), "tokens that were revoked or have expired", pace)


def remove_admin_log(pace: Throttle) -> Iterator[str]:
    old = LogEntry.objects.filter(action_time__lt=Now() - ADMIN_LOG_KEPT)
    yield from _delete_rows(old, "log entries of the admin site", pace)


def remove_outbox_events(pace: Throttle) -> Iterator[str]:
    pace.raise_if_stopped()
    if missed := outbox.pass_expired_events():
        log.error("the consumers %s of the outbox have not read events of the last %d days", missed, outbox.KEPT.days)
    yield from _delete_rows(outbox.find_passed_events(), "events of the outbox", pace)


def remove_unused(pace: Throttle) -> Iterator[str]:
    """Revisions of deleted jobs, scripts and sandbox reports that nothing refers to."""
    pace.raise_if_stopped()
    for label, number in delete_unused():
        if number:
            yield f"{number} {label}"


def remove_script_checks(pace: Throttle) -> Iterator[str]:
    yield from _delete_rows(find_expired_checks(), "checks of scripts", pace)
