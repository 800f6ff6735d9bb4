"""Counts ended runs by hour, for the day's bars and the figures. The counts may be up to a few minutes old.

Each process keeps the counts of the projects that its users see, because they read many runs.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cachetools import TTLCache
from django.db.models import CharField, Count, FloatField, Func, Q, Sum

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.database.clock import database_now
from cronium_admin.runs.job_health import BAD, COUNTED_STATUSES, UNCOUNTED_TRIGGERS
from cronium_admin.runs.models import Run, Status

HOUR = timedelta(hours=1)
DAY_SECONDS, MONTH_SECONDS = 15.0, 300.0  # how old the counts of 24 hours and of 30 days may be
_MAX_SCOPES = 64


@dataclass(frozen=True)
class Tally:
    """Of the runs launched in the hour that begins at `at`: how many ended well and badly, and how long they took."""

    at: datetime
    good: int = 0
    bad: int = 0
    seconds: float = 0.0  # of the successful runs

    @property
    def number(self) -> int:
        return self.good + self.bad


class _HourText(Func):
    """The hour of a time as text, in UTC: 2026-11-29 07."""

    output_field = CharField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="SUBSTR(%(expressions)s, 1, 13)", **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "TO_CHAR(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24')"
        return self.as_sql(compiler, connection, template=template, **extra)


class _Seconds(Func):
    """From the first time to the second."""

    output_field = FloatField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self._write("(JULIANDAY({1}) - JULIANDAY({0})) * 86400.0", compiler)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self._write("EXTRACT(EPOCH FROM {1} - {0})", compiler)

    def _write(self, template: str, compiler: Any) -> Any:
        written = [compiler.compile(source) for source in self.get_source_expressions()]
        return template.format(*(sql for sql, _ in written)), [param for _, params in written for param in params]


class _Kept:
    """The counts of each scope, kept for some seconds. Threads that miss at once count once."""

    def __init__(self, days: int, seconds: float) -> None:
        self._days = days
        self._cache: TTLCache[Any, list[Tally]] = TTLCache(_MAX_SCOPES, seconds, timer=time.monotonic)
        self._lock = threading.Lock()

    def fetch(self, scope: Any, count: Callable[[int], list[Tally]]) -> list[Tally]:
        with self._lock:
            if (found := self._cache.get(scope)) is None:
                found = self._cache[scope] = count(self._days)
            return found

    def clear(self) -> None:
        with self._lock:
            self._cache.clear()


_OF_DAY, _OF_MONTH = _Kept(1, DAY_SECONDS), _Kept(30, MONTH_SECONDS)


def clear_tallies() -> None:
    """For tests."""
    _OF_DAY.clear()
    _OF_MONTH.clear()


def fetch_day(user: User) -> list[Tally]:
    """The last 24 hours, oldest first."""
    return _OF_DAY.fetch(_find_scope(user), lambda days: _count_hours(user, days))


def fetch_month(user: User) -> list[Tally]:
    """The hours of the last 30 days, oldest first; the last 24 hours are those of `fetch_day`."""
    day = fetch_day(user)
    found = _OF_MONTH.fetch(_find_scope(user), lambda days: _count_hours(user, days))
    # Counts kept from before the turn of an hour begin one hour early.
    return ([hour for hour in found if hour.at < day[0].at] + day)[-30 * 24 :]


def _find_scope(user: User) -> Any:
    return "all" if user.has_permission(Permission.VIEW) else frozenset(user.list_project_ids(Permission.VIEW))


def _count_hours(user: User, days: int) -> list[Tally]:
    last = database_now().replace(minute=0, second=0, microsecond=0)
    first = last - days * 24 * HOUR + HOUR
    runs = Run.objects.visible_to(user).filter(status__in=COUNTED_STATUSES, created_at__gte=first)
    runs = runs.exclude(trigger__in=UNCOUNTED_TRIGGERS).order_by()
    good = Q(status=Status.SUCCEEDED)
    took = _Seconds("started_at", "finished_at")
    rows = runs.values_list(_HourText("created_at")).annotate(
        good=Count("pk", filter=good), bad=Count("pk", filter=Q(status__in=BAD)), took=Sum(took, filter=good)
    )
    by_hour = {}
    for text, succeeded, failed, duration in rows:
        at = datetime.strptime(text, "%Y-%m-%d %H").replace(tzinfo=UTC)
        by_hour[at] = Tally(at, succeeded, failed, duration or 0.0)
    hours = [first + number * HOUR for number in range(days * 24)]
    return [by_hour.get(at, Tally(at)) for at in hours]
