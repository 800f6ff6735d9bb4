"""Whether the rule in a form joins a herd."""

from dataclasses import dataclass
from threading import Lock

from cachetools import TTLCache
from django.db.models import Count, Max

from cron_rules.plan import Plan
from cron_rules.zones import DAY, load_zone
from cronium_admin.planning.herds import is_herd, list_offers, list_quiet_minutes
from cronium_admin.planning.week import QueueWeek, Week, compute_times, compute_week
from cronium_admin.schedules.models import Schedule

# A form asks at each pause in typing; the week of thousands of schedules takes a second of CPU time.
SHARED_SECONDS = 30
_weeks: TTLCache[tuple[object, ...], Week] = TTLCache(8, SHARED_SECONDS)
_weeks_lock = Lock()


@dataclass(frozen=True)
class Hint:
    """The minute of the day with the most other schedules, and quieter rules with their minutes."""

    queue: str
    time: str
    schedules: int
    capacity: int
    offers: list[tuple[str, int]]


def find_hint(plan: Plan, zone: str, queue: str, rule: str, own: int | None) -> Hint | None:
    """`own`: the id of the schedule that the form changes; it is not counted. None: the rule joins no herd."""
    week, place = _get_week(zone), load_zone(zone)
    row = next((found for found in week.queues if found.name == queue), None)
    times = compute_times(plan, week, place)
    if row is None or week.is_frequent(times.total):
        return None
    mine = next((index for index, found in enumerate(week.schedules) if found.pk == own), None)
    labels = {
        time.at + place.get_offset(time.at) for time in times.listed if time.runs and time.at < week.hours[-1].end
    }
    found = _find_largest(row, {(label // DAY, label % DAY // 60) for label in labels}, mine)
    if found is None:
        return None
    minute, schedules = found
    others = [start for start in row.starts if start.schedule != mine]
    offers = list_offers(rule, str(own or ""), list_quiet_minutes(others, minute // 60), 0)
    if own is None:
        # The id, which decides what H stands for, is not known yet.
        offers = offers[1:]
    return Hint(queue, f"{minute // 60:02}:{minute % 60:02}", schedules, row.capacity, offers)


def _get_week(zone: str) -> Week:
    """The shared one is renewed when a schedule is added, changed or deleted, and when it is old."""
    rows = Schedule.objects.aggregate(count=Count("pk"), changed=Max("updated_at"))
    key = (zone, rows["count"], rows["changed"])
    with _weeks_lock:
        week = _weeks.get(key)
    if week is None:
        week = compute_week(zone)
        with _weeks_lock:
            _weeks[key] = week
    return week


def _find_largest(row: QueueWeek, minutes: set[tuple[int, int]], mine: int | None) -> tuple[int, int] | None:
    """The minute of the day, and the number of other schedules that start at it."""
    together: dict[tuple[int, int], list[int]] = {}
    for start in row.starts:
        if start.schedule != mine and (start.day, start.minute) in minutes:
            together.setdefault((start.day, start.minute), []).append(start.schedule)
    herds = [
        (len(set(found)), minute)
        for (_, minute), found in together.items()
        if is_herd(len(set(found)) + 1, len(found) + 1, row.capacity)
    ]
    if not herds:
        return None
    schedules, minute = max(herds, key=lambda pair: (pair[0], -pair[1]))
    return minute, schedules
