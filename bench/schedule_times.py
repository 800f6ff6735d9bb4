"""The times of 1,000 schedules in the next 400 days, and those of the library cronsim in the same run."""

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from bench.results import Results
from cron_rules.cron import parse_cron
from cron_rules.evaluate import list_times
from cron_rules.zones import DAY, load_zone

SCHEDULES, DAYS, ROUNDS = 1000, 400, 3
COMPARED = 50  # cronsim takes minutes for all of them
GOAL_SECONDS = 2.0
# How often each kind of rule occurs among 100 schedules.
MIX = {
    "{minute} {hour} * * *": 45,
    "{minute} * * * *": 15,
    "{minute} {hour} * * {weekday}": 12,
    "*/15 * * * *": 6,
    "{minute} {hour} 1 * *": 8,
    "*/5 * * * *": 3,
    "{minute} 8-18 * * 1-5": 5,
    "{minute} {hour} * * 1-5": 4,
    "{minute} {hour} {day} {month} *": 2,
}
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Sydney", "America/Sao_Paulo")


def make_schedules(count: int) -> list[tuple[str, str]]:
    """Rules and zones; the same in each run."""
    choose = random.Random(1)
    forms = choose.choices(list(MIX), list(MIX.values()), k=count)
    return [
        (
            form.format(
                minute=choose.randrange(60),
                hour=choose.randrange(24),
                weekday=choose.randrange(7),
                day=choose.randrange(1, 29),
                month=choose.randrange(1, 13),
            ),
            choose.choice(ZONES),
        )
        for form in forms
    ]


def _count_ours(schedules: list[tuple[str, str]], start: int, end: int) -> int:
    return sum(len(list_times(parse_cron(rule, load_zone(zone)), start, end)) for rule, zone in schedules)


def _count_theirs(schedules: list[tuple[str, str]], start: int, end: int) -> int:
    from cronsim import CronSim  # a package of the tests

    def iterate(rule: str, zone: str) -> Iterator[datetime]:
        last = datetime.fromtimestamp(end, ZoneInfo(zone)) - timedelta(seconds=1)
        begin = datetime.fromtimestamp(start, ZoneInfo(zone)) - timedelta(seconds=1)
        return takewhile(lambda found: found <= last, CronSim(rule, begin))

    return sum(1 for rule, zone in schedules for _ in iterate(rule, zone))


def _time(count: Callable[[list[tuple[str, str]], int, int], int], schedules: list[tuple[str, str]]) -> float:
    start = int(datetime.now(UTC).timestamp())
    begin = time.perf_counter()
    count(schedules, start, start + DAYS * DAY)
    return time.perf_counter() - begin


def measure() -> None:
    print(f"schedule_times: {SCHEDULES:,} schedules, {DAYS} days")
    results = Results("schedule_times")
    schedules = make_schedules(SCHEDULES)
    start = int(datetime.now(UTC).timestamp())
    results.add_fact("times", _count_ours(schedules, start, start + DAYS * DAY))
    whole, ours, theirs = [], [], []
    for _ in range(ROUNDS):
        whole.append(_time(_count_ours, schedules))
        ours.append(_time(_count_ours, schedules[:COMPARED]))
        theirs.append(_time(_count_theirs, schedules[:COMPARED]))
    results.add(f"Cronium, all (goal {GOAL_SECONDS:.0f} s)", whole)
    results.add(f"Cronium, the first {COMPARED}", ours)
    results.add(f"cronsim, the first {COMPARED}", theirs)
    results.add_ratios("cronsim / Cronium", theirs, ours)
    results.write()
