"""Receives pings. Each is one short transaction, which locks the row of its check."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from cronium_admin.core.database.clock import database_now
from cronium_admin.core.edit_versions import format_utc
from cronium_admin.expectations.check_models import Check, Ping, PingKind
from cronium_admin.expectations.check_states import apply_ping
from cronium_admin.expectations.incidents import open_incident
from cronium_admin.expectations.models import OPEN, Closing, Incident, Kind

KEPT = 100  # pings of a check
BODY_LIMIT = 100_000  # bytes
PER_MINUTE = 60  # pings of a check
_COLUMNS = (
    *("status", "ping_count", "last_ping_at", "last_success_at", "started_at", "expected_at", "due_at"),
    *("minute_at", "minute_count"),
)


class UnknownCheck(LookupError):
    pass


class TooManyPings(Exception):
    pass


@dataclass(frozen=True)
class Request:
    kind: PingKind
    method: str
    exit_code: int | None = None
    run_id: UUID | None = None
    user_agent: str = ""
    body: bytes = b""


def receive_ping(key: UUID, request: Request) -> None:
    """Raises UnknownCheck and TooManyPings, which store nothing."""
    with transaction.atomic():
        check = Check.objects.select_for_update(of=("self",)).filter(ping_key=key).first()
        if check is None:
            raise UnknownCheck
        now = database_now()
        _count_ping(check, now)
        apply_ping(check, request.kind, now)
        Check.objects.filter(pk=check.pk).update(**{name: getattr(check, name) for name in _COLUMNS})
        ping = _store_ping(check, request, now)
        if check.enabled and request.kind == PingKind.FAIL:
            _open_by_failure(check, ping)
        elif request.kind == PingKind.SUCCESS:
            close_check(check.pk, Closing.FULFILLED, f"Ping #{ping.number} reported a success at {format_utc(now)}.")


def close_check(check_id: int, closing: Closing, text: str) -> None:
    rows = Incident.objects.filter(OPEN, of_check=check_id)
    rows.update(closed_at=database_now(), closing=closing, closing_text=text)


def _count_ping(check: Check, now: datetime) -> None:
    if check.minute_at is None or not timedelta(0) <= now - check.minute_at < timedelta(minutes=1):
        check.minute_at, check.minute_count = now, 0
    if check.minute_count >= PER_MINUTE:
        raise TooManyPings
    check.minute_count += 1
    check.ping_count += 1


def _store_ping(check: Check, request: Request, now: datetime) -> Ping:
    duration = None
    if request.kind in (PingKind.SUCCESS, PingKind.FAIL):
        of_run = check.pings.filter(run_id=request.run_id).exclude(kind=PingKind.LOG)
        before = of_run.order_by("-number").only("kind", "at").first()
        if before is not None and before.kind == PingKind.START:
            duration = max(0, int((now - before.at).total_seconds() * 1000))
    ping = Ping.objects.create(
        of=check,
        number=check.ping_count,
        at=now,
        kind=request.kind,
        exit_code=request.exit_code,
        run_id=request.run_id,
        duration_ms=duration,
        method=request.method,
        user_agent=request.user_agent,
        body=request.body[:BODY_LIMIT].decode("utf-8", "replace").replace("\0", "\ufffd"),
        body_bytes=len(request.body),
    )
    check.pings.filter(number__lte=check.ping_count - KEPT).delete()
    return ping


def _open_by_failure(check: Check, ping: Ping) -> None:
    code = f" (exit code {ping.exit_code})" if ping.exit_code is not None else ""
    incident = Incident(
        project_id=check.project_id,
        of_check=check,
        kind=Kind.PING,
        expected_from=ping.at,
        due_at=ping.at,
        reason=f"Ping #{ping.number} reported a failure{code} at {format_utc(ping.at)}.",
    )
    if not Incident.objects.filter(OPEN, of_check=check).exists():
        open_incident(incident)
