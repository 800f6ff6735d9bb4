"""The page of the ledger: filters, counters of states, days, and the single times of a row that stands for several.

The number of queries does not grow with the rows, and each reads at most MAX_COUNTED of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django.db.models import Case, Count, DateTimeField, Q, QuerySet, Sum, Value, When

from cron_rules.errors import RuleError
from cron_rules.evaluate import iterate_before, list_noted
from cronium_admin.core.database.clock import database_now
from cronium_admin.runs.zone_times import get_zone_info
from cronium_admin.schedules.models import Occurrence, Schedule, State
from cronium_admin.schedules.notes import describe_label
from cronium_admin.schedules.rules import RuleFields, build_rule, to_datetime, to_instant

MAX_COUNTED = 10_000  # rows, the newest
MAX_SINGLE = 200  # times of a row, at once
PERIODS = {"24h": (1, "24 hours"), "7d": (7, "7 days"), "30d": (30, "30 days"), "": (0, "All")}
DIFFERS = "differs"  # all states but RAN


@dataclass(frozen=True)
class LedgerFilter:
    """`state`: a state, `differs`, or empty for all. `period`: a key of PERIODS."""

    state: str = ""
    period: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "LedgerFilter":
        state, period = query.get("state", ""), query.get("period", "")
        if query.get("only") == DIFFERS:  # an address of an earlier version
            state = DIFFERS
        return cls(state if state in {DIFFERS, *State.values} else "", period if period in PERIODS else "")

    def select_period(self, rows: QuerySet[Occurrence]) -> QuerySet[Occurrence]:
        days, _ = PERIODS[self.period]
        return rows.filter(nominal_at__gte=database_now() - timedelta(days=days)) if days else rows

    def select_state(self, rows: QuerySet[Occurrence]) -> QuerySet[Occurrence]:
        if self.state == DIFFERS:
            return rows.exclude(state=State.RAN)
        return rows.filter(state=self.state) if self.state else rows

    def make_query(self, **changed: str) -> str:
        """The part of an address after "?", with a trailing "&"; empty without a filter."""
        values = {"state": self.state, "period": self.period} | changed
        kept = {name: value for name, value in values.items() if value}
        return f"{urlencode(kept)}&" if kept else ""


@dataclass(frozen=True)
class Counter:
    """`state` is empty for all times."""

    state: str
    count: int
    query: str
    is_chosen: bool


@dataclass
class Day:
    """The rows of one day in the schedule's zone. `planned` and `ran` count times; None: too many to count."""

    label: str
    items: list[Occurrence] = field(default_factory=list)
    planned: int | None = None
    ran: int = 0


def count_states(schedule: Schedule, chosen: LedgerFilter) -> tuple[list[Counter], bool]:
    """In the order of State, those with times. True: more than MAX_COUNTED rows, of which the newest count."""
    rows = chosen.select_period(schedule.occurrences.all()).order_by("-nominal_at", "-pk")[:MAX_COUNTED]
    sums: dict[str, Any] = {f"n_{state}": Sum("count", filter=Q(state=state)) for state in State.values}
    found = rows.aggregate(rows=Count("pk"), **sums)
    counts = {state: found[f"n_{state}"] or 0 for state in State.values}
    shown = ["", *(state for state, count in counts.items() if count or state == chosen.state)]
    counters = [
        Counter(state, counts.get(state, sum(counts.values())), chosen.make_query(state=state), state == chosen.state)
        for state in shown
    ]
    return counters, found["rows"] == MAX_COUNTED


def split_by_day(schedule: Schedule, rows: list[Occurrence]) -> list[Day]:
    """Newest first, with the sums of whole days, whatever the filter of the rows is."""
    info = get_zone_info(schedule.timezone)
    today = database_now().astimezone(info).date()
    days: dict[date, Day] = {}
    for row in rows:
        local = row.nominal_at.astimezone(info).date()
        days.setdefault(local, Day(format_day(local, today))).items.append(row)
    if days:
        _add_sums(schedule, days)
    return list(days.values())


def format_day(day: date, today: date) -> str:
    """As "Today, Sunday 29 November", with the year if it is another one."""
    near = {today: "Today, ", today - timedelta(days=1): "Yesterday, "}.get(day, "")
    return f"{near}{day:%A} {day.day} {day:%B}" + (f" {day.year}" if day.year != today.year else "")


def _add_sums(schedule: Schedule, days: dict[date, Day]) -> None:
    info = get_zone_info(schedule.timezone)
    starts = {day: datetime(day.year, day.month, day.day, tzinfo=info).astimezone(UTC) for day in days}
    following = max(days) + timedelta(days=1)
    end = datetime(following.year, following.month, following.day, tzinfo=info).astimezone(UTC)
    found = schedule.occurrences.filter(nominal_at__gte=min(starts.values()), nominal_at__lt=end)
    newest = found.order_by("-nominal_at", "-pk").values("pk")[:MAX_COUNTED]
    cases = [When(nominal_at__gte=start, then=Value(start)) for start in sorted(starts.values(), reverse=True)]
    counted = Occurrence.objects.filter(pk__in=newest).annotate(day=Case(*cases, output_field=DateTimeField()))
    sums = counted.order_by().values("day", "state").annotate(total=Sum("count"), rows=Count("pk"))
    read = 0
    for row in sums:
        read += row["rows"]
        day = days[row["day"].astimezone(info).date()]
        day.planned = (day.planned or 0) + row["total"]
        day.ran += row["total"] if row["state"] == State.RAN else 0
    if read == MAX_COUNTED:
        days[min(days)].planned = None


@dataclass(frozen=True)
class SingleTimes:
    """`times` are labels or instants, newest first. `before`: continues there; None: these are all.

    `problem`: why they can't be listed.
    """

    times: list[datetime] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    before: int | None = None
    problem: str = ""


def list_single_times(schedule: Schedule, row: Occurrence, before: int | None = None) -> SingleTimes:
    """The times of a row that stands for several, from the rule."""
    if row.rule_number != schedule.rule_number:
        return SingleTimes(problem="The rule has changed since, so the single times are not known.")
    first, last = to_instant(row.nominal_at), to_instant(row.last_nominal_at)
    try:
        rule = build_rule(RuleFields.from_schedule(schedule))
    except RuleError as error:
        return SingleTimes(problem=f"The rule can't be used: {error}")
    if row.state == State.GAP:
        skipped = [found for found in list_noted(rule, first, last + 1) if not found.runs]
        return SingleTimes(labels=[describe_label(found) for found in reversed(skipped)][:MAX_SINGLE])
    end = last + 1 if before is None else min(before, last + 1)
    found = list(islice(_iterate_from(iterate_before(rule, end), first), MAX_SINGLE + 1))
    shown = found[:MAX_SINGLE]
    return SingleTimes([to_datetime(at) for at in shown], before=shown[-1] if len(found) > MAX_SINGLE else None)


def _iterate_from(descending: Iterator[int], first: int) -> Iterator[int]:
    for at in descending:
        if at < first:
            return
        yield at
