"""What one user sees of the week ahead: the whole load, and the names of the schedules that the user may see."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice

from cron_rules.month_days import EPOCH
from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.planning.herds import Herd, list_offers, list_quiet_minutes
from cronium_admin.planning.week import DAYS, QueueWeek, Week
from cronium_admin.schedules.models import Kind, Schedule

MAX_HERDS = 20
MAX_NAMED = 50  # schedules of a herd


@dataclass(frozen=True)
class Offer:
    """A changed rule, and the minute of the hour at which it starts."""

    rule: str
    minute: int


@dataclass(frozen=True)
class HerdMember:
    schedule: Schedule
    offers: list[Offer]
    may_edit: bool


@dataclass(frozen=True)
class VisibleHerd:
    """`others`: schedules without a name here."""

    queue: str
    capacity: int
    time: str
    days: list[date]
    runs: int
    members: list[HerdMember]
    others: int

    @property
    def is_daily(self) -> bool:
        return len(self.days) >= DAYS - 1


def list_queues(week: Week, user: User) -> list[QueueWeek]:
    """All queues; for a user with roles in projects only, those of visible schedules."""
    if user.has_permission(Permission.VIEW):
        return week.queues
    named = {schedule.job.queue for schedule in week.schedules if can(user, Permission.VIEW, schedule)}
    return [queue for queue in week.queues if queue.name in named]


def list_herds(week: Week, user: User) -> list[VisibleHerd]:
    found = [(queue, herd) for queue in list_queues(week, user) for herd in queue.herds]
    found.sort(key=lambda pair: (-pair[1].runs, -len(pair[1].days)))
    seen = (
        _build_herd(week, queue, herd, user)
        for queue, herd in found
        if any(can(user, Permission.VIEW, week.schedules[index]) for index in herd.schedules)
    )
    return list(islice(seen, MAX_HERDS))


def _build_herd(week: Week, queue: QueueWeek, herd: Herd, user: User) -> VisibleHerd:
    rows = [week.schedules[index] for index in herd.schedules]
    shown = [row for row in rows if can(user, Permission.VIEW, row)][:MAX_NAMED]
    hour, minute = divmod(herd.minute, 60)
    ranked = list_quiet_minutes(queue.starts, hour)
    members = [_build_member(row, ranked, place, user) for place, row in enumerate(shown)]
    days = [date.fromordinal(day + EPOCH) for day in herd.days]
    return VisibleHerd(
        queue.name, queue.capacity, f"{hour:02}:{minute:02}", days, herd.runs, members, len(rows) - len(shown)
    )


def _build_member(schedule: Schedule, ranked: list[int], place: int, user: User) -> HerdMember:
    offers = list_offers(schedule.rule, str(schedule.pk), ranked, place) if schedule.kind == Kind.CRON else []
    may_edit = can(user, Permission.EDIT, schedule)
    return HerdMember(schedule, [Offer(rule, minute) for rule, minute in offers], may_edit)


def count_assumed(week: Week, user: User) -> int:
    """The visible schedules whose job has no measured duration."""
    return sum(can(user, Permission.VIEW, week.schedules[index]) for index in week.assumed)


def choose_zone(zones: list[str]) -> str:
    """The zone of most schedules."""
    return max(sorted(set(zones)), key=zones.count, default="UTC")


@dataclass(frozen=True)
class Cell:
    """An hour of the local clock; `text` is empty for one that is over or does not exist."""

    hour: int
    minutes: int
    level: str
    is_over: bool
    text: str


@dataclass(frozen=True)
class DayRow:
    date: date
    cells: list[Cell]


def build_rows(week: Week, queue: QueueWeek) -> list[DayRow]:
    """The days with 24 hours each. An hour that comes twice is one cell."""
    cells: dict[int, dict[int, Cell]] = {}
    for index, hour in enumerate(week.hours):
        cells.setdefault(hour.day, {})
        same = [position for position in (index - 1, index) if position >= 0]
        same = [at for at in same if (week.hours[at].day, week.hours[at].hour) == (hour.day, hour.hour)]
        if hour.end > week.now:
            cells[hour.day][hour.hour] = _build_cell(week, queue, same)
    empty = [Cell(hour, 0, "past", False, "") for hour in range(24)]
    return [
        DayRow(date.fromordinal(day + EPOCH), [found.get(hour, empty[hour]) for hour in range(24)])
        for day, found in cells.items()
    ]


def _build_cell(week: Week, queue: QueueWeek, same: list[int]) -> Cell:
    hour, loads = week.hours[same[0]], [queue.loads[at] for at in same]
    minutes, peak = sum(load.minutes for load in loads), max(load.peak for load in loads)
    length = sum(week.hours[at].end - week.hours[at].start for at in same) / 60
    share = minutes / (queue.capacity * length) if queue.capacity else float(minutes > 0)
    level = "none" if not minutes else "low" if share < 0.25 else "mid" if share < 0.75 else "high"
    is_over = peak > queue.capacity
    day = datetime.fromtimestamp(hour.day * 86_400, UTC)
    runs = round(sum(load.runs for load in loads))
    text = f"{day:%a} {day.day} {day:%b} {hour.hour:02}:00{' (comes twice)' if len(same) > 1 else ''}: "
    if not minutes:
        return Cell(hour.hour, 0, level, False, f"{text}no run")
    started = f"{runs:,} run{'' if runs == 1 else 's'} start{'s' if runs == 1 else ''}"
    over = f", more than the {queue.capacity} that may run" if is_over else ""
    return Cell(
        hour.hour,
        max(1, round(minutes)),
        level,
        is_over,
        f"{text}{started}, {minutes:,.1f} run-minutes, up to {peak:,} at once{over}",
    )
