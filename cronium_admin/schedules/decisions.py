"""Decides what becomes of the nominal times that are due. Pure: no database, no clock."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from cron_rules.evaluate import find_next, find_previous
from cron_rules.rules import Rule
from cronium_admin.schedules.models import Missed, Schedule, State
from cronium_admin.schedules.rules import compute_jitter, iterate_times, to_datetime, to_instant

LATE_SECONDS = 10  # a run that starts later than this is called late
DOWNTIME_SECONDS = 120  # without a tick: the times in it are missed
DEFAULT_WINDOW = 3600
MAX_KEPT = 10_000  # nominal times of one schedule with a row of their own, per tick


@dataclass(frozen=True)
class Downtime:
    """No process looked for due schedules between the two instants."""

    start: int
    end: int


@dataclass(frozen=True)
class Decision:
    """One nominal time, or `count` of them from `nominal` to `last`, with one state. `launches`: a run is created."""

    nominal: int
    state: State
    reason: str = ""
    late_by: int | None = None
    last: int = 0
    count: int = 1
    launches: bool = False

    @property
    def end(self) -> int:
        return self.last or self.nominal


def decide_due(schedule: Schedule, rule: Rule, now: int, downtime: Downtime | None) -> list[Decision]:
    """The decisions for all times after the schedule's cursor that are due at `now`, ascending, equal ones joined."""
    due, passed = _collect_due(schedule, rule, now)
    count = _count_missed(schedule, rule, due, now, downtime)
    missed, timely = due[:count], due[count:]
    decisions: list[Decision] = []
    if missed:
        away = _explain_missed(schedule, missed[-1], downtime)
        decisions += _decide_missed(schedule, rule, missed, now, away, timely[0] if timely else None)
    decisions += [_decide_timely(schedule, rule, nominal, now) for nominal in timely]
    if passed is not None:
        decisions.insert(0, passed)
    return list(_join_equal(decisions))


def _collect_due(schedule: Schedule, rule: Rule, now: int) -> tuple[list[int], Decision | None]:
    """The newest times that are due, and one decision for those before them."""
    kept: deque[int] = deque(maxlen=MAX_KEPT)
    first, counted = 0, 0
    for nominal in iterate_times(schedule, rule, to_instant(schedule.cursor_at)):
        if nominal > now or nominal + _find_jitter(schedule, rule, nominal) > now:
            break
        first = first or nominal
        counted += 1
        kept.append(nominal)
    older = counted - len(kept)
    if not older:
        return list(kept), None
    reason = f"More than {MAX_KEPT:,} times were missed"
    return list(kept), Decision(first, State.MISSED, reason, last=kept[0] - 1, count=older)


def find_pending(schedule: Schedule, rule: Rule, now: int) -> int | None:
    """The nominal time that has passed, but is not due yet because of its jitter. Only the last one can be."""
    last = find_previous(rule, now + 1) if schedule.jitter_seconds else None
    if last is None or last <= to_instant(schedule.cursor_at):
        return None
    is_within = next(iterate_times(schedule, rule, last - 1), None) == last
    return last if is_within and last + _find_jitter(schedule, rule, last) > now else None


def _count_missed(schedule: Schedule, rule: Rule, due: list[int], now: int, downtime: Downtime | None) -> int:
    """How many of the oldest are missed: those of a downtime, and those that were delayed for longer than two minutes.

    The newest that was only delayed runs late, as it does after a process was frozen. So does the newest of the last
    two minutes.
    """
    bound = now - DOWNTIME_SECONDS
    down_until = downtime.end if downtime else 0
    count = len(due)
    while count and due[count - 1] + _find_jitter(schedule, rule, due[count - 1]) >= max(bound, down_until):
        count -= 1
    if due and count == len(due) and due[-1] + _find_jitter(schedule, rule, due[-1]) >= min(bound, down_until):
        count -= 1
    return count


def _explain_missed(schedule: Schedule, last: int, downtime: Downtime | None) -> str:
    if downtime and last < downtime.end:
        return f"Cronium did not run from {_format_minute(downtime.start)} to {_format_minute(downtime.end)}"
    return f"It was delayed: {schedule.problem}"[:150] if schedule.problem else "It was delayed"


def _find_jitter(schedule: Schedule, rule: Rule, nominal: int) -> int:
    return compute_jitter(schedule, nominal, find_next(rule, nominal)) if schedule.jitter_seconds else 0


def _decide_timely(schedule: Schedule, rule: Rule, nominal: int, now: int) -> Decision:
    late_by = now - nominal - _find_jitter(schedule, rule, nominal)
    state = State.LATE if late_by > LATE_SECONDS else State.RAN
    return Decision(nominal, state, late_by=late_by, launches=True)


def _decide_missed(
    schedule: Schedule, rule: Rule, missed: list[int], now: int, away: str, later: int | None
) -> Iterator[Decision]:
    """`away` is the cause. `later`: the first time after them, which runs anyway."""
    if schedule.missed == Missed.NONE:
        yield from (Decision(nominal, State.MISSED, f"{away}; missed times are not run") for nominal in missed)
        return
    limit = 1 if schedule.missed == Missed.LATEST else schedule.missed_max
    in_time = {nominal for nominal in missed if now - nominal <= _find_window(schedule, rule, nominal)}
    chosen = sorted(in_time)[-limit:] if limit else []
    if schedule.missed == Missed.LATEST and later is not None:
        chosen = []
    launched = set(chosen)
    for nominal in missed:
        late_by = now - nominal
        if nominal in launched:
            yield Decision(nominal, State.CAUGHT_UP, away, late_by, launches=True)
        elif nominal not in in_time:
            excess = late_by - _find_window(schedule, rule, nominal)
            yield Decision(nominal, State.MISSED, f"{away}; too late by {format_span(excess)}")
        elif schedule.missed == Missed.LATEST:
            latest = chosen[-1] if chosen else later or nominal
            yield Decision(nominal, State.MERGED, f"{away}; the run of {_format_minute(latest)} stands for it")
        else:
            yield Decision(nominal, State.MISSED, f"{away}; over the limit of {limit} runs")


def _find_window(schedule: Schedule, rule: Rule, nominal: int) -> int:
    if schedule.missed_within_seconds is not None:
        return schedule.missed_within_seconds
    following = find_next(rule, nominal)
    return DEFAULT_WINDOW if following is None else min(DEFAULT_WINDOW, following - nominal)


def _join_equal(decisions: Iterable[Decision]) -> Iterator[Decision]:
    """Neighbours that launch nothing and have one state and reason become one decision."""
    pending: Decision | None = None
    for decision in decisions:
        if pending is None:
            pending = decision
        elif not (pending.launches or decision.launches) and _has_same_end(pending, decision):
            pending = replace(pending, last=decision.end, count=pending.count + decision.count)
        else:
            yield pending
            pending = decision
    if pending is not None:
        yield pending


def _has_same_end(first: Decision, second: Decision) -> bool:
    # "too late by" differs from time to time: the first of a row counts.
    return (first.state, first.reason.partition("; too late")[0]) == (
        second.state,
        second.reason.partition("; too late")[0],
    )


def _format_minute(instant: int) -> str:
    return to_datetime(instant).strftime("%Y-%m-%d %H:%M UTC")


def format_span(seconds: int) -> str:
    """As "90 s", "5 min", "3 h 20 min" or "2 d 4 h"."""
    if seconds < 60:
        return f"{seconds} s"
    for (size, name), (smaller, lesser) in pairwise([(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")]):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size} {name}" + (f" {rest} {lesser}" if rest and name != "min" else "")
    raise AssertionError
