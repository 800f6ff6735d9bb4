"""The next times of an imported entry beside those of cron, and why they differ."""

from collections import Counter
from dataclasses import dataclass
from itertools import islice

from cron_rules.crontab.cron_times import list_cron_times
from cron_rules.crontab.entries import Entry
from cron_rules.evaluate import iterate_after, list_times
from cron_rules.rules import Rule
from cron_rules.zones import DAY, Zone

COUNT = 30
HORIZON_DAYS = 5 * 366
YEAR_DAYS = 366


@dataclass(frozen=True)
class PairedTime:
    """`original`: how many runs cron starts at this instant. `reason` is empty if Cronium does the same."""

    at: int
    original: int
    is_imported: bool
    reason: str = ""


def compare_times(entry: Entry, rule: Rule, zone: Zone, after: int, *, is_foreign: bool = False) -> list[PairedTime]:
    """The first COUNT instants of both, at most HORIZON_DAYS ahead; without cron's if the entry has none. Then those
    that differ around the next clock changes of a year.

    `is_foreign`: the zone is that of CRON_TZ and not that of the host.
    """
    end = after + HORIZON_DAYS * DAY
    imported = [at for at in islice(iterate_after(rule, after), COUNT) if at < end]
    if entry.original is None:
        return [PairedTime(at, 0, is_imported=True) for at in imported]
    original = list_cron_times(entry.original, zone, after, end, COUNT, is_foreign=is_foreign)
    last = min([times[-1] for times in (original, imported) if len(times) == COUNT], default=end)
    found = [time for time in _compare_all(zone, original, imported) if time.at <= last][:COUNT]
    done = found[-1].at if found else after
    for change in zone.list_between(done, min(after + YEAR_DAYS * DAY, end)):
        start, stop = max(done, change.at - DAY // 4), change.at + DAY // 4
        original = list_cron_times(entry.original, zone, start, stop, DAY, is_foreign=is_foreign)
        found += [time for time in _compare_all(zone, original, list_times(rule, start + 1, stop)) if time.reason]
    return found


def _compare_all(zone: Zone, original: list[int], imported: list[int]) -> list[PairedTime]:
    counts, own = Counter(original), set(imported)
    return [_compare_one(zone, at, counts[at], is_imported=at in own) for at in sorted(counts.keys() | own)]


def _compare_one(zone: Zone, at: int, original: int, *, is_imported: bool) -> PairedTime:
    if original == int(is_imported):
        return PairedTime(at, original, is_imported)
    return PairedTime(at, original, is_imported, _explain(zone, at, original, is_imported=is_imported))


def _explain(zone: Zone, at: int, original: int, *, is_imported: bool) -> str:
    near = [found for found in zone.list_between(at - DAY, at + DAY) if found.at <= at + DAY]
    if not near:
        return "cron and Cronium read the fields differently; see the remarks on the line."
    if near[0].after > near[0].before:
        if original > 1:
            return f"The clock goes forward: cron starts {original} runs for the skipped times, Cronium one."
        if original:
            return "The clock goes forward: cron runs a skipped time when the clock has gone forward, Cronium does not."
        return "The clock goes forward: cron does not run this time, Cronium does."
    if is_imported:
        return "The clock goes back: cron runs the repeated hour once, Cronium as often as the clock shows it."
    return "The clock goes back: cron runs the repeated time again, Cronium runs it the first time."
