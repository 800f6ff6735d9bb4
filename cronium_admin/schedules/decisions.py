"""Decides what becomes of the nominal times that are due. Pure: no database, no clock."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from cron_rules.plan import MAX_MOVED_PER_DAY, Plan, PlannedTime
from cron_rules.rules import StartRule
from cron_rules.zones import load_zone
from cronium_admin.schedules.models import Missed, Schedule, State
from cronium_admin.schedules.rules import compute_due, to_datetime, to_instant

LATE_SECONDS = 10  # a run that starts later than this is called late
DOWNTIME_SECONDS = 120  # without a tick: the times in it are missed
DEFAULT_WINDOW = 3600
MAX_KEPT = 10_000  # nominal times of one schedule with a row of their own, per tick


# Of each due time the next one, so that thousands of times need no search each.
Following = dict[int, PlannedTime | None]


@dataclass(frozen=True)
class Downtime:
    """No process looked for due schedules between the two instants."""

    start: int
    end: int


@dataclass(frozen=True)
class Decision:
    """One nominal time, or `count` of them from `nominal` to `last`, with one state. `launches`: a run is created.

    `joins`: neighbours with the same state and reason may share its row.
    """

    nominal: int
    state: State
    reason: str = ""
    late_by: int | None = None
    last: int = 0
    count: int = 1
    launches: bool = False
    joins: bool = True

    @property
    def end(self) -> int:
        return self.last or self.nominal


@dataclass(frozen=True)
class Outcome:
    """All times of the plan up to `end` are decided."""

    decisions: list[Decision]
    end: int


@dataclass(frozen=True)
class _Due:
    """`passed` is one decision for the times before the newest MAX_KEPT. `end`: see Outcome."""

    times: list[PlannedTime]
    passed: Decision | None
    end: int


def decide_due(schedule: Schedule, plan: Plan, now: int, downtime: Downtime | None) -> Outcome:
    """The decisions for all times after the schedule's cursor that are due at `now`, in order, equal ones joined."""
    due = _collect_due(schedule, plan, now)
    following = _find_following(plan, due.times)
    running = [time for time in due.times if time.runs]
    is_at_start = isinstance(plan.rule, StartRule)
    count = len(running[:-1]) if is_at_start else _count_missed(schedule, following, running, now, downtime)
    missed, timely = running[:count], running[count:]
    found = {time.at: Decision(time.nominal, State.BLACKOUT, time.closed) for time in due.times if not time.runs}
    if is_at_start:
        found |= {time.at: _merge_start(schedule, time, running[-1]) for time in missed}
    elif missed:
        away = _explain_missed(schedule, missed[-1].at, downtime)
        later = timely[0].at if timely else None
        decided = _decide_missed(schedule, following, missed, now, away, later)
        found |= {time.at: decision for time, decision in zip(missed, decided, strict=True)}
    found |= {time.at: _decide_timely(schedule, following, time, now) for time in timely}
    decisions = [] if due.passed is None else [due.passed]
    for time in due.times:
        decisions += _expand_moved(schedule, plan, time, found[time.at])
    return Outcome(list(_join_equal(decisions)), due.end)


def _merge_start(schedule: Schedule, time: PlannedTime, newest: PlannedTime) -> Decision:
    text = f"The installation started again; the run of {format_minute(newest.at, schedule.timezone)} stands for it"
    return Decision(time.nominal, State.MERGED, text)


def _collect_due(schedule: Schedule, plan: Plan, now: int) -> _Due:
    """Ends at a time that has passed, but waits for its jitter."""
    kept: deque[PlannedTime] = deque()
    first, older, end = 0, 0, now
    times = plan.iterate(to_instant(schedule.cursor_at))
    time = next(times, None)
    while time is not None and time.at <= now:
        following = next(times, None)
        if compute_due(schedule, time, following) > now:
            end = time.at - 1
            break
        first = first or time.nominal
        kept.append(time)
        if len(kept) > MAX_KEPT:
            older += 1 + len(kept.popleft().merged)
        time = following
    if not older:
        return _Due(list(kept), None, end)
    reason = f"More than {MAX_KEPT:,} times were missed"
    passed = Decision(first, State.MISSED, reason, last=kept[0].nominal - 1, count=older)
    return _Due(list(kept), passed, end)


def list_waiting(schedule: Schedule, plan: Plan, now: int) -> list[int]:
    """Nominal times that have passed and are not decided: they wait for their jitter, or for an open day."""
    moves = plan.closures is not None and plan.closures.moves
    times = islice(plan.iterate(to_instant(schedule.cursor_at)), 3 * MAX_MOVED_PER_DAY if moves else 1)
    found = [nominal for time in times for nominal in (*(part.nominal for part in time.merged), time.nominal)]
    return sorted(nominal for nominal in found if nominal <= now)


def _expand_moved(schedule: Schedule, plan: Plan, time: PlannedTime, decision: Decision) -> list[Decision]:
    """With the decisions of the times that it stands for, and the reasons of moved ones."""
    if plan.closures is None or not plan.closures.moves:
        return [decision]
    at = format_minute(time.at, schedule.timezone)
    end = f": {time.closed}" if time.closed else ""
    state = State.MERGED if time.runs else State.BLACKOUT
    found = []
    for part in time.merged:
        text = f"{part.reason}; moved to {at}{end}" if end else f"{part.reason}; one run with {at}"
        found.append(Decision(part.nominal, state, text, joins=False))
    if time.moved:
        rest = f"; {decision.reason}" if decision.reason and not end else ""
        decision = replace(decision, reason=f"{time.moved}; moved to {at}{end}{rest}"[:300])
    return [*found, replace(decision, joins=False)]


def _find_following(plan: Plan, times: list[PlannedTime]) -> Following:
    if not times:
        return {}
    return {time.at: later for time, later in pairwise([*times, plan.find_next(times[-1].at)]) if time}


def _count_missed(
    schedule: Schedule, following: Following, due: list[PlannedTime], now: int, downtime: Downtime | None
) -> int:
    """How many of the oldest are missed: those of a downtime, and those that were delayed for longer than two minutes.

    The newest that was only delayed runs late, as it does after a process was frozen. So does the newest of the last
    two minutes.
    """
    bound = now - DOWNTIME_SECONDS
    down_until = downtime.end if downtime else 0
    count = len(due)
    while count and _find_due(schedule, following, due[count - 1]) >= max(bound, down_until):
        count -= 1
    if due and count == len(due) and _find_due(schedule, following, due[-1]) >= min(bound, down_until):
        count -= 1
    return count


def _explain_missed(schedule: Schedule, last: int, downtime: Downtime | None) -> str:
    if downtime and last < downtime.end:
        zone = schedule.timezone
        return f"Cronium did not run from {format_minute(downtime.start, zone)} to {format_minute(downtime.end, zone)}"
    return f"It was delayed: {schedule.problem}"[:150] if schedule.problem else "It was delayed"


def _find_due(schedule: Schedule, following: Following, time: PlannedTime) -> int:
    return compute_due(schedule, time, following[time.at]) if schedule.jitter_seconds else time.at


def _decide_timely(schedule: Schedule, following: Following, time: PlannedTime, now: int) -> Decision:
    late_by = now - _find_due(schedule, following, time)
    state = State.LATE if late_by > LATE_SECONDS else State.RAN
    return Decision(time.nominal, state, late_by=late_by, launches=True)


def _decide_missed(
    schedule: Schedule, following: Following, missed: list[PlannedTime], now: int, away: str, later: int | None
) -> Iterator[Decision]:
    """`away` is the cause. `later`: the first time after them, which runs anyway."""
    if schedule.missed == Missed.NONE:
        yield from (Decision(time.nominal, State.MISSED, f"{away}; missed times are not run") for time in missed)
        return
    limit = 1 if schedule.missed == Missed.LATEST else schedule.missed_max
    in_time = {time.at for time in missed if now - time.at <= _find_window(schedule, following, time)}
    chosen = sorted(in_time)[-limit:] if limit else []
    if schedule.missed == Missed.LATEST and later is not None:
        chosen = []
    launched = set(chosen)
    for time in missed:
        late_by = now - time.at
        if time.at in launched:
            yield Decision(time.nominal, State.CAUGHT_UP, away, late_by, launches=True)
        elif time.at not in in_time:
            excess = late_by - _find_window(schedule, following, time)
            yield Decision(time.nominal, State.MISSED, f"{away}; too late by {format_span(excess)}")
        elif schedule.missed == Missed.LATEST:
            latest = format_minute(chosen[-1] if chosen else later or time.at, schedule.timezone)
            yield Decision(time.nominal, State.MERGED, f"{away}; the run of {latest} stands for it")
        else:
            yield Decision(time.nominal, State.MISSED, f"{away}; over the limit of {limit} runs")


def _find_window(schedule: Schedule, following: Following, time: PlannedTime) -> int:
    if schedule.missed_within_seconds is not None:
        return schedule.missed_within_seconds
    later = following[time.at]
    return DEFAULT_WINDOW if later is None else min(DEFAULT_WINDOW, later.at - time.at)


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
    if not (first.joins and second.joins):
        return False
    return (first.state, first.reason.partition("; too late")[0]) == (
        second.state,
        second.reason.partition("; too late")[0],
    )


def format_minute(instant: int, zone: str) -> str:
    return to_datetime(instant).astimezone(load_zone(zone).info).strftime("%Y-%m-%d %H:%M %Z")


def format_span(seconds: int) -> str:
    """As "90 s", "5 min", "3 h 20 min" or "2 d 4 h"."""
    if seconds < 60:
        return f"{seconds} s"
    for (size, name), (smaller, lesser) in pairwise([(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")]):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size} {name}" + (f" {rest} {lesser}" if rest and name != "min" else "")
    raise AssertionError
