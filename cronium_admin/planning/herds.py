"""Minutes at which many runs start at once, and quieter minutes for their rules. Pure: no database, no clock."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cron_rules.cron import parse_fields
from cron_rules.errors import RuleError

MIN_SCHEDULES = 5
CAPACITY_FACTOR = 2


@dataclass(frozen=True)
class Start:
    """A planned start: its local day and minute of the day, and the index of its schedule."""

    day: int
    minute: int
    schedule: int


@dataclass(frozen=True)
class Herd:
    """The schedules start together at this minute of the day, on these days. `runs`: the most on one day."""

    minute: int
    days: tuple[int, ...]
    schedules: tuple[int, ...]
    runs: int


def find_herds(starts: Iterable[Start], capacity: int | None) -> list[Herd]:
    """The largest first. `capacity` None: unknown; then only the number of schedules counts."""
    together = defaultdict[tuple[int, int], list[int]](list)
    for start in starts:
        together[start.minute, start.day].append(start.schedule)
    groups = defaultdict[tuple[int, frozenset[int]], list[tuple[int, int]]](list)
    for (minute, day), schedules in together.items():
        if is_herd(len(set(schedules)), len(schedules), capacity):
            groups[minute, frozenset(schedules)].append((day, len(schedules)))
    herds = [
        Herd(minute, tuple(sorted(day for day, _ in found)), tuple(sorted(schedules)), max(runs for _, runs in found))
        for (minute, schedules), found in groups.items()
    ]
    return sorted(herds, key=lambda herd: (-herd.runs, -len(herd.days), herd.minute))


def is_herd(schedules: int, runs: int, capacity: int | None) -> bool:
    over_capacity = bool(capacity) and runs > CAPACITY_FACTOR * (capacity or 0)
    return schedules >= MIN_SCHEDULES or (over_capacity and schedules > 1)


def list_quiet_minutes(starts: Iterable[Start], hour: int) -> list[int]:
    """The minutes 1 to 59 of an hour of the day, that with the fewest starts first; of equal ones, spread."""
    counts = Counter(start.minute % 60 for start in starts if start.minute // 60 == hour)
    return sorted(range(1, 60), key=lambda minute: (counts[minute], minute * 37 % 60))


def change_minute(rule: str, minute: str) -> str | None:
    """The cron rule with this minute instead of its single one; None for a rule of another form."""
    parts = rule.split()
    if len(parts) not in {5, 6}:
        return None
    position = len(parts) - 5
    if not parts[position].isdigit() or any(part != "0" for part in parts[:position]):
        return None
    return " ".join([*parts[:position], minute, *parts[position + 1 :]])


def find_hashed_minute(rule: str, seed: str) -> int | None:
    """The minute that H stands for; None for a rule that can't be parsed or has several minutes."""
    try:
        values = parse_fields(rule, seed).minute.values
    except RuleError:
        return None
    return next(iter(values)) if len(values) == 1 else None


def list_offers(rule: str, seed: str, ranked: Sequence[int], position: int) -> list[tuple[str, int]]:
    """The changed rules with the minute of each: with H, and with the quiet minute at the position."""
    hashed = change_minute(rule, "H")
    if hashed is None or not ranked:
        return []
    minute = find_hashed_minute(hashed, seed)
    quiet = ranked[position % len(ranked)]
    offers = [(hashed, minute)] if minute is not None else []
    return [*offers, (change_minute(rule, str(quiet)) or "", quiet)]
