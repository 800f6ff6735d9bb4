"""Counts runs: those of the last 24 hours, and ended ones by hour, for the day's bars and the figures. The counts may
be up to a few minutes old.

Each process keeps the counts of the projects that its users see, because they read many runs.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from cachetools import TTLCache
from django.db.models import CharField, Count, FloatField, Func, Q, Sum

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.database.clock import database_now
from cronium_admin.runs.filters import RunFilter
from cronium_admin.runs.job_health import BAD, COUNTED_STATUSES, UNCOUNTED_TRIGGERS
from cronium_admin.runs.models import Run, Status

HOUR = timedelta(hours=1)
DAY_SECONDS, MONTH_SECONDS = 15.0, 300.0  # how old the counts of 24 hours and of 30 days may be
_MAX_SCOPES = 64

T = TypeVar("T")


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


@dataclass(frozen=True)
class Launched:
    """Runs launched in the last 24 hours, as the list of runs counts them: also live and cancelled ones, builds and
    tries."""

    number: int
    failed: int


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


class _Kept(Generic[T]):
    """The counts of each scope, kept for some seconds. Threads that miss at once count once."""

    def __init__(self, seconds: float) -> None:
        self._cache: TTLCache[Any, T] = TTLCache(_MAX_SCOPES, seconds, timer=time.monotonic)
        self._lock = threading.Lock()

    def fetch(self, user: User, count: Callable[[], T]) -> T:
        scope = _find_scope(user)
        with self._lock:
            if (found := self._cache.get(scope)) is None:
                found = self._cache[scope] = count()
            return found

    def clear(self) -> None:
        with self._lock:
            self._cache.clear()


_OF_DAY, _OF_MONTH = _Kept[list[Tally]](DAY_SECONDS), _Kept[list[Tally]](MONTH_SECONDS)
_LAUNCHED = _Kept[Launched](DAY_SECONDS)


def clear_tallies() -> None:
    """For tests."""
    _OF_DAY.clear()
    _OF_MONTH.clear()
    _LAUNCHED.clear()


def fetch_launched(user: User) -> Launched:
    return _LAUNCHED.fetch(user, lambda: Launched(_count_launched(user), _count_launched(user, BAD)))


def _count_launched(user: User, statuses: Iterable[str] = ()) -> int:
    chosen = RunFilter(period="24h", status=tuple(statuses))
    return chosen.select(Run.objects.visible_to(user), user).order_by().count()


def fetch_day(user: User) -> list[Tally]:
    """The last 24 hours, oldest first."""
    return _OF_DAY.fetch(user, lambda: _count_hours(user, 1))


def fetch_month(user: User) -> list[Tally]:
    """The hours of the last 30 days, oldest first; the last 24 hours are those of `fetch_day`."""
    day = fetch_day(user)
    found = _OF_MONTH.fetch(user, lambda: _count_hours(user, 30))
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
