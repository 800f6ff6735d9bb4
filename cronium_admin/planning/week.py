"""The expected load of the next seven days: the planned times of all schedules, and the durations of their jobs.

The times come from the plans that fire the schedules. The cost is bounded: schedules with equal rules share one list of
times, a rule with more than MAX_OF_RULE times is counted by day, and at most MAX_SCHEDULES and MAX_TIMES are placed.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cron_rules.day_counts import count_days
from cron_rules.errors import RuleError
from cron_rules.plan import Plan, PlannedTime
from cron_rules.zones import DAY, Zone, load_zone
from cronium_admin.core.database.clock import database_now
from cronium_admin.jobs.models import QueueLimit
from cronium_admin.planning.herds import Herd, Start, find_herds
from cronium_admin.planning.load import Hour, HourLoad, Span, Steady, list_hours, place_runs, sum_hours
from cronium_admin.runs.durations import measure_durations
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.rules import PLAN_FIELDS, RuleFields, build_plan, compute_due, to_datetime, to_instant
from cronium_admin.workers.hosts.service import fetch_hosts

DAYS = 7
MAX_SCHEDULES = 5_000
MAX_TIMES = 200_000  # of all schedules
MAX_OF_RULE = 2_016  # every five minutes
MIN_DISTANCE = 630  # seconds; a rule that runs every ten minutes starts at every minute of a herd anyway
DEFAULT_SECONDS = 60.0
_COLUMNS = (
    *PLAN_FIELDS,
    *("name", "project", "overlap", "jitter_seconds", "starts_at", "ends_at", "planned_after"),
    *("job__name", "job__slug", "job__queue", "job__project"),
)


@dataclass
class QueueWeek:
    """`slots`: runs at once on the hosts that take runs of the queue now. `limit` of the queue; None: no limit."""

    name: str
    slots: int
    limit: int | None
    loads: list[HourLoad] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    herds: list[Herd] = field(default_factory=list)

    @property
    def capacity(self) -> int:
        return self.slots if self.limit is None else min(self.slots, self.limit)


@dataclass
class Week:
    """`assumed`: the schedules whose job has no duration yet.

    Over the limits of the computing: `left_out` schedules are not counted, `spread` ones count evenly over each day.
    """

    zone: str
    now: int
    hours: list[Hour]
    schedules: list[Schedule] = field(default_factory=list)
    queues: list[QueueWeek] = field(default_factory=list)
    assumed: set[int] = field(default_factory=set)
    left_out: int = 0
    spread: int = 0

    def is_frequent(self, total: int) -> bool:
        """Of the times of one rule. Such a rule is in no herd."""
        return total * MIN_DISTANCE > self.hours[-1].end - self.now


@dataclass(frozen=True)
class Times:
    """Of one rule: `counts` by day; and `listed`, with the first time after the week, if they are not too many."""

    total: int
    counts: dict[int, int]
    listed: tuple[PlannedTime, ...] = ()

    @property
    def is_counted_only(self) -> bool:
        return self.total > MAX_OF_RULE


def compute_week(zone: str, now: datetime | None = None) -> Week:
    """Raises RuleError for an unknown zone. The number of queries does not grow with the rows."""
    place, start = load_zone(zone), to_instant(now or database_now())
    week = Week(zone, start, list_hours(place, place.get_day(start), DAYS))
    rows = Schedule.objects.filter(
        enabled=True, job__enabled=True, next_at__isnull=False, next_at__lt=to_datetime(week.hours[-1].end)
    )
    found = list(rows.select_related("job", "calendar").only(*_COLUMNS).order_by("next_at", "pk")[: MAX_SCHEDULES + 1])
    if len(found) > MAX_SCHEDULES:
        week.left_out = rows.count() - MAX_SCHEDULES
    week.schedules = found[:MAX_SCHEDULES]
    seconds = measure_durations({schedule.job_id for schedule in week.schedules})
    week.assumed = {index for index, row in enumerate(week.schedules) if row.job_id not in seconds}
    _place_schedules(week, place, seconds)
    return week


def _place_schedules(week: Week, place: Zone, seconds: dict[int, float]) -> None:
    queues = _fetch_queues({schedule.job.queue for schedule in week.schedules})
    spans, steady = defaultdict[str, list[Span]](list), defaultdict[str, list[Steady]](list)
    known: dict[Any, Times] = {}
    left = MAX_TIMES
    for index, schedule in enumerate(week.schedules):
        times = _find_times(schedule, week, place, known)
        if times is None:
            continue
        queue, length = schedule.job.queue, seconds.get(schedule.job_id, DEFAULT_SECONDS)
        if times.is_counted_only or len(times.listed) > left:
            week.spread += not times.is_counted_only
            steady[queue].append(Steady(times.counts, length, schedule.overlap == "allow"))
            continue
        left -= len(times.listed)
        starts = list_starts(schedule, times, week.hours[-1].end)
        spans[queue] += place_runs(starts, length, schedule.overlap)
        if not week.is_frequent(times.total):
            queues[queue].starts += place_starts(place, starts, index)
    for name, row in queues.items():
        row.loads = sum_hours(spans[name], steady[name], week.hours, week.now)
        row.herds = find_herds(row.starts, row.capacity)
    week.queues = sorted(queues.values(), key=lambda row: (-sum(load.minutes for load in row.loads), row.name))


def _fetch_queues(names: set[str]) -> dict[str, QueueWeek]:
    slots = defaultdict[str, int](int)
    for host in fetch_hosts():
        if host.takes_runs:
            for name in host.queues:
                slots[name] += host.row.capacity
    limits = dict(QueueLimit.objects.values_list("queue", "max_running"))
    return {name: QueueWeek(name, slots[name], limits.get(name)) for name in sorted(names)}


def _find_times(schedule: Schedule, week: Week, place: Zone, known: dict[Any, Times]) -> Times | None:
    """None for a rule that this version refuses: it fires no run either."""
    fields = RuleFields.from_schedule(schedule)
    if "H" not in fields.rule.upper():
        fields = replace(fields, seed="")  # equal rules share their times
    after = schedule.planned_after
    if after is not None and schedule.calendar_id is None and to_instant(after) <= week.now:
        after = None  # only a time that moves can be later than its nominal time
    key = (fields, after, schedule.starts_at, schedule.ends_at)
    if key not in known:
        try:
            known[key] = compute_times(build_plan(schedule), week, place)
        except RuleError:
            return None
    return known[key]


def compute_times(plan: Plan, week: Week, place: Zone) -> Times:
    counts = count_days(plan, place, week.now, DAYS)
    total = sum(count.count + count.closed for count in counts)
    by_day = {count.day: count.count for count in counts}
    listed = () if total > MAX_OF_RULE else tuple(_list_until(plan, week.now, week.hours[-1].end))
    return Times(total, by_day, listed)


def _list_until(plan: Plan, after: int, end: int) -> Iterator[PlannedTime]:
    for time in plan.iterate(after):
        yield time
        if time.at >= end:
            return


def list_starts(schedule: Schedule, times: Times, end: int) -> list[int]:
    """The instants at which runs start, with their jitter."""
    followed = zip(times.listed, (*times.listed[1:], None), strict=True)
    return [compute_due(schedule, time, following) for time, following in followed if time.runs and time.at < end]


def place_starts(place: Zone, starts: list[int], index: int) -> list[Start]:
    labels = (start + place.get_offset(start) for start in starts)
    return [Start(label // DAY, label % DAY // 60, index) for label in labels]
