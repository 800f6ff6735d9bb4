"""Reads schedules and their ledgers for the pages. The number of queries does not grow with the rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery

from cronium_admin.accounts.models import User
from cronium_admin.core.errors import ApiError
from cronium_admin.core.paging import Page, filter_after, make_cursor, make_cursor_error, parse_cursor
from cronium_admin.jobs.models import Job
from cronium_admin.schedules.catch_up import RUNNABLE
from cronium_admin.schedules.ledger_page import LedgerFilter
from cronium_admin.schedules.models import Occurrence, Schedule, State
from cronium_admin.schedules.schemas import describe_stored
from cronium_admin.schedules.service import list_schedules

MAX_WORDS = 6  # of a search
MAX_MISSED_COUNTED = 100


@dataclass(frozen=True)
class ScheduleRow:
    """A schedule in a list. `last` is the newest row of its ledger."""

    schedule: Schedule
    words: str
    last: Occurrence | None

    @property
    def next_at(self) -> datetime | None:
        return self.schedule.next_at if self.schedule.enabled else None


def fetch_page(user: User, search: str, job: str, after: str, size: int) -> Page:
    rows = list_schedules(user)
    if job:
        rows = rows.filter(job__slug=job)
    for word in search.split()[:MAX_WORDS]:
        rows = rows.filter(Q(name__icontains=word) | Q(job__name__icontains=word))
    is_first = True
    if after:
        try:
            rows, is_first = rows.filter(filter_after("name", *parse_cursor(after, str, int))), False
        except ApiError:
            is_first = True
    found = list(_add_last(rows).order_by("name", "pk")[: size + 1])
    shown = found[:size]
    following = make_cursor(shown[-1].name, shown[-1].pk) if len(found) > size else ""
    return Page(build_rows(shown), following, is_first)


def list_rows_of_job(user: User, job: Job, size: int) -> list[ScheduleRow]:
    rows = _add_last(list_schedules(user).filter(job=job))
    return build_rows(list(rows.order_by("name", "pk")[:size]))


def list_jobs_with_schedules(user: User) -> QuerySet[Job]:
    jobs = Job.objects.visible_to(user).filter(schedules__isnull=False)
    return jobs.only("slug", "name", "order_key").order_by("order_key", "pk").distinct()


def _add_last(rows: QuerySet[Schedule]) -> QuerySet[Schedule]:
    # Without the gaps, whose rows are in no index by time.
    newest = Occurrence.objects.filter(schedule=OuterRef("pk")).exclude(state=State.GAP).order_by("-nominal_at")
    return rows.annotate(last_row=Subquery(newest.values("pk")[:1]))


def build_rows(schedules: Iterable[Any]) -> list[ScheduleRow]:
    schedules = list(schedules)
    keys = [schedule.last_row for schedule in schedules if schedule.last_row]
    last = _list_with_run(Occurrence.objects.filter(pk__in=keys)).in_bulk() if keys else {}
    return [ScheduleRow(one, describe_stored(one), last.get(one.last_row)) for one in schedules]


def fetch_ledger(schedule: Schedule, after: str, size: int, chosen: LedgerFilter) -> Page:
    """Newest first."""
    rows = chosen.select_state(chosen.select_period(_list_with_run(schedule.occurrences.all())))
    is_first = True
    if after:
        try:
            rows, is_first = rows.filter(filter_after("nominal_at", *parse_position(after), down=True)), False
        except ApiError:
            is_first = True
    found = list(rows.order_by("-nominal_at", "-pk")[: size + 1])
    shown = found[:size]
    following = make_cursor(shown[-1].nominal_at.isoformat(), shown[-1].pk) if len(found) > size else ""
    return Page(shown, following, is_first)


def count_missed(schedule: Schedule) -> int:
    """The times that can be run on request, up to MAX_MISSED_COUNTED."""
    counts = schedule.occurrences.filter(state__in=RUNNABLE).order_by("-nominal_at").values_list("count", flat=True)
    return min(sum(counts[:MAX_MISSED_COUNTED]), MAX_MISSED_COUNTED)


def parse_position(after: str) -> tuple[datetime, int]:
    """Raises ApiError for a text that is no cursor of a ledger."""
    at, key = parse_cursor(after, str, int)
    try:
        moment = datetime.fromisoformat(str(at))
    except ValueError:
        raise make_cursor_error() from None
    if moment.tzinfo is None or not 1970 <= moment.year < 9999:
        raise make_cursor_error()
    return moment.astimezone(UTC), int(key)


def _list_with_run(rows: QuerySet[Occurrence]) -> QuerySet[Occurrence]:
    columns = ("number", "status", "cancel_requested_at", "started_at", "created_at")
    names = [field.attname for field in Occurrence._meta.concrete_fields]
    return rows.select_related("run").only(*names, *(f"run__{name}" for name in columns))
