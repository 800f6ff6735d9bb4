"""The times of a rule. Preview, words, history and firing all use these functions."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from cron_rules.rules import MAX_GAP_SECONDS, ClockRule, IntervalRule, OnceRule, Rule, StartRule
from cron_rules.zones import DAY, LAST_YEAR, Segment, Transition

Note = Literal["", "moved", "merged", "doubled", "skipped"]
MAX_UNSPLIT = 300  # times of a day
_LAST_INSTANT = int((LAST_YEAR - 1970) * 365.2425) * DAY  # rules have no later times


@dataclass(frozen=True, slots=True)
class Occurrence:
    """`at` is the instant; for a skipped label, the instant that it would have without the change of the clock.

    `labels` are the local times that it stands for. Notes: `moved` to the end of a gap; `merged`: several labels are
    this one run; `doubled`: the label comes twice on this day; `skipped`: doesn't run.
    """

    at: int
    labels: tuple[int, ...]
    note: Note = ""
    is_second_pass: bool = False

    @property
    def runs(self) -> bool:
        return self.note != "skipped"


def find_next(rule: Rule, after: int) -> int | None:
    """The first instant later than `after`. None: there is none."""
    return next(iterate_after(rule, after), None)


def find_previous(rule: Rule, before: int) -> int | None:
    """The last instant earlier than `before`. None: there is none since 1970."""
    return next(iterate_before(rule, before), None)


def list_times(rule: Rule, start: int, end: int, limit: int | None = None) -> list[int]:
    """The instants from `start` to before `end`, ascending; the first `limit` of them."""
    if not isinstance(rule, ClockRule):
        times = _list_instants(rule, start - 1)
        return list(times[: bisect_left(times, end)][:limit])
    found: list[int] = []
    for day in _iterate_days(rule, start - 1):
        found.extend(day)
        if found and (found[-1] >= end or (limit is not None and len(found) >= limit)):
            break
    last = bisect_left(found, end)
    del found[last if limit is None else min(last, limit) :]
    return found


def iterate_after(rule: Rule, after: int) -> Iterator[int]:
    """Strictly increasing. Ends for a rule without further times within 400 years."""
    if isinstance(rule, ClockRule):
        return chain.from_iterable(_iterate_days(rule, after))
    return iter(_list_instants(rule, after))


def iterate_before(rule: Rule, before: int) -> Iterator[int]:
    """Strictly decreasing, down to 1970."""
    before = max(min(before, _LAST_INSTANT), -DAY)
    if isinstance(rule, ClockRule):
        return _iterate_clock_back(rule, before)
    return iter(_list_instants(rule, before, is_before=True))


def _list_instants(rule: Rule, bound: int, *, is_before: bool = False) -> Sequence[int]:
    """The instants of a rule without days: later than `bound`, ascending, or earlier, descending."""
    if isinstance(rule, StartRule):
        starts = rule.starts
        return starts[: bisect_left(starts, bound)][::-1] if is_before else starts[bisect_right(starts, bound) :]
    if isinstance(rule, OnceRule):
        is_there = rule.at < bound if is_before else rule.at > bound
        return range(rule.at, rule.at + is_there)
    if not isinstance(rule, IntervalRule):
        return range(0)
    passed = bound - rule.anchor
    if is_before:
        return range(rule.anchor + (passed - 1) // rule.seconds * rule.seconds, rule.anchor - 1, -rule.seconds)
    first = rule.anchor + max(0, passed // rule.seconds + 1) * rule.seconds
    return range(first, _LAST_INSTANT + 1, rule.seconds)


def _iterate_days(rule: ClockRule, after: int) -> Iterator[Iterable[int]]:
    """The instants later than `after`, by day."""
    zone, times = rule.zone, rule.times
    if after >= _LAST_INSTANT:
        return
    start = zone.get_day(max(after, 0))
    while zone.is_changed(start - 1) and zone.is_changed(start):
        start -= 1
    offset, steady_until = 0, start - 1  # until this day the offset stays
    done = start - 1  # days up to here are yielded
    for day in rule.days.iterate(start):
        if day > steady_until:
            if day <= done:
                continue
            if zone.is_changed(day):
                first, done = _find_changed_range(rule, day)
                for part in _split_changed(rule, first, done):
                    if part.stop > after + 1:
                        yield [
                            found.at
                            for found in list_changed(rule, first, done, part)
                            if found.runs and found.at > after
                        ]
                continue
            offset, steady_until = _find_constant_offset(rule, day)
        base = day * DAY - offset
        left = times if base + times[0] > after else times[bisect_right(times, after - base) :]
        # A list is faster; many times are made one by one, because most callers want a few.
        yield [base + time for time in left] if len(left) <= 288 else map(base.__add__, left)


def _find_constant_offset(rule: ClockRule, day: int) -> tuple[int, int]:
    """The offset of an unchanged day, and the last day until which it certainly stays."""
    noon = day * DAY + DAY // 2
    offset = rule.zone.get_offset(noon - rule.zone.get_offset(noon))
    start = day * DAY - offset
    following = rule.zone.list_between(start, start + 366 * DAY)
    if not following:
        return offset, day + 364
    labels = (following[0].at + following[0].before, following[0].at + following[0].after)
    return offset, min(labels) // DAY - 1


def _iterate_clock_back(rule: ClockRule, before: int) -> Iterator[int]:
    zone, times = rule.zone, rule.times
    start = zone.get_day(before)
    while zone.is_changed(start + 1) and zone.is_changed(start):
        start += 1
    done = start + 1
    for day in rule.days.iterate_back(start):
        if day >= done:
            continue
        if zone.is_changed(day):
            done, last = _find_changed_range(rule, day)
            for part in reversed(_split_changed(rule, done, last)):
                if part.start < before:
                    found = reversed(list_changed(rule, done, last, part))
                    yield from (one.at for one in found if one.runs and one.at < before)
            continue
        base = day * DAY - _find_constant_offset(rule, day)[0]
        for time in reversed(times[: bisect_left(times, before - base)]):
            yield base + time


def _find_changed_range(rule: ClockRule, day: int) -> tuple[int, int]:
    """The first and last of the days around `day` without an unchanged day between them."""
    first = last = day
    while rule.zone.is_changed(first - 1):
        first -= 1
    while rule.zone.is_changed(last + 1):
        last += 1
    return first, last


def _split_changed(rule: ClockRule, first: int, last: int) -> list[range]:
    """The instants of the days in parts, so that a search of one time need not compute all of them."""
    offsets = [segment.offset for segment in rule.zone.list_segments(first, last)]
    start, stop = first * DAY - max(offsets), (last + 1) * DAY - min(offsets)
    step = 3600 if len(rule.times) > MAX_UNSPLIT else stop - start
    return [range(at, min(at + step, stop)) for at in range(start, stop, step)]


def list_changed(rule: ClockRule, first: int, last: int, part: range | None = None) -> list[Occurrence]:
    """The occurrences of the days, with those that don't run, by instant. For days near a change of the clock.

    `part`: only those with an instant in it.
    """
    days = []
    for day in rule.days.iterate(first):
        if day > last:
            break
        days.append(day)
    segments = rule.zone.list_segments(first, last)
    labels = _compute_label_bounds(segments, part)
    list_labels: Callable[[ClockRule, list[int], list[Segment], range], Iterator[Occurrence]]
    list_labels = _list_fixed if rule.is_fixed else _list_frequent
    listed = sorted(
        list_labels(rule, days, segments, labels), key=lambda found: (found.at, not found.runs, found.labels)
    )
    return _merge(found for found in listed if part is None or part.start <= found.at < part.stop)


def _compute_label_bounds(segments: list[Segment], part: range | None) -> range:
    """All labels whose instant can be in the part. The offset of each instant is one of those of the segments."""
    if part is None:
        return range(segments[0].start - DAY, segments[-1].end + DAY)
    offsets = [segment.offset for segment in segments]
    return range(part.start + min(offsets), part.stop + max(offsets))


def _list_labels_between(rule: ClockRule, day: int, low: int, high: int) -> Iterable[int]:
    """The labels of the day from `low` to before `high`."""
    times, base = rule.times, day * DAY
    return map(base.__add__, times[bisect_left(times, low - base) : bisect_left(times, high - base)])


def _list_frequent(rule: ClockRule, days: list[int], segments: list[Segment], labels: range) -> Iterator[Occurrence]:
    for before, segment in zip([None, *segments], segments, strict=False):
        repeated_until = before.end + before.offset if before else 0  # labels of this segment below it come twice
        low, high = segment.start + segment.offset, segment.end + segment.offset
        for day in days:
            for label in _list_labels_between(rule, day, max(low, labels.start), min(high, labels.stop)):
                is_second = label < repeated_until
                yield Occurrence(label - segment.offset, (label,), "doubled" if is_second else "", is_second)
        if before and segment.offset > before.offset:
            yield from _list_skipped(rule, days, Transition(segment.start, before.offset, segment.offset), labels)


def _list_skipped(rule: ClockRule, days: list[int], gap: Transition, labels: range) -> Iterator[Occurrence]:
    low, high = max(gap.at + gap.before, labels.start), min(gap.at + gap.after, labels.stop)
    for day in days:
        for label in _list_labels_between(rule, day, low, high):
            yield Occurrence(label - gap.before, (label,), "skipped")


def _list_fixed(rule: ClockRule, days: list[int], segments: list[Segment], labels: range) -> Iterator[Occurrence]:
    for day in days:
        for label in _list_labels_between(rule, day, labels.start, labels.stop):
            yield from _place_label(rule, label, segments)


def _place_label(rule: ClockRule, label: int, segments: list[Segment]) -> Iterator[Occurrence]:
    passes = [label - segment.offset for segment in segments if segment.start <= label - segment.offset < segment.end]
    if len(passes) == 1:
        yield Occurrence(passes[0], (label,))
    elif passes:
        yield Occurrence(passes[0], (label,), "doubled")
        if rule.runs_in_both_passes:
            yield from (Occurrence(later, (label,), "doubled", True) for later in passes[1:])
    elif gap := rule.zone.find_gap(label):
        if rule.runs_after_gap and gap.after - gap.before <= MAX_GAP_SECONDS:
            yield Occurrence(gap.at, (label,), "moved")
        else:
            yield Occurrence(label - gap.before, (label,), "skipped")


def _merge(occurrences: Iterable[Occurrence]) -> list[Occurrence]:
    """Those of one instant become one run."""
    merged: list[Occurrence] = []
    for occurrence in occurrences:
        previous = merged[-1] if merged else None
        if previous and previous.at == occurrence.at and previous.runs and occurrence.runs:
            labels = tuple(sorted({*previous.labels, *occurrence.labels}))
            note: Note = "merged" if len(labels) > 1 else previous.note
            merged[-1] = Occurrence(previous.at, labels, note, previous.is_second_pass)
        else:
            merged.append(occurrence)
    return merged


def list_noted(rule: Rule, start: int, end: int) -> list[Occurrence]:
    """The occurrences with a note from `start` to before `end`, by instant; skipped labels too."""
    if not isinstance(rule, ClockRule):
        return []
    found: list[Occurrence] = []
    done = -1
    for transition in rule.zone.list_between(start - 2 * DAY, end + 2 * DAY):
        day = (transition.at + min(transition.before, transition.after)) // DAY
        if day <= done:
            continue
        first, done = _find_changed_range(rule, day)
        for part in _split_changed(rule, first, done):
            if part.start < end and start < part.stop and _is_near_change(rule, part):
                found += list_changed(rule, first, done, range(max(start, part.start), min(end, part.stop)))
    return [occurrence for occurrence in found if occurrence.note]


def _is_near_change(rule: ClockRule, part: range) -> bool:
    """Whether an instant of the part can have a note: it is as near to a change as the clock is moved."""
    near = rule.zone.list_between(part.start - DAY, part.stop + DAY)
    spans = [(found.at, abs(found.after - found.before)) for found in near]
    return any(part.start <= at + size and at - size < part.stop for at, size in spans)
