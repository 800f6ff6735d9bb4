"""The policies of a schedule in words, for its page."""

from cronium_admin.runs.zone_times import format_zoned
from cronium_admin.schedules.decisions import format_span
from cronium_admin.schedules.models import ActsAs, DayMatch, DstGap, DstRepeat, Kind, Missed, Overlap, Schedule

_OVERLAPS = {
    Overlap.SKIP: "this time is skipped",
    Overlap.QUEUE_ONE: "one further run waits",
    Overlap.QUEUE_ALL: "further runs wait, up to 100",
    Overlap.CANCEL_RUNNING: "the live run is cancelled",
    Overlap.ALLOW: "the new run starts beside it",
}


def describe_policies(schedule: Schedule) -> list[tuple[str, str]]:
    """Label and text of each policy that concerns the schedule."""
    found = [
        ("If a run is live", _OVERLAPS.get(Overlap(schedule.overlap), schedule.overlap)),
        ("Missed times", describe_missed(schedule)),
    ]
    if schedule.kind in {Kind.CRON, Kind.CALENDAR}:
        gap = "at the end of the gap" if schedule.dst_gap == DstGap.RUN_AFTER else "not at all"
        repeat = "the first time" if schedule.dst_repeat == DstRepeat.FIRST else "both times"
        found += [("Clock goes forward", f"a time that does not exist runs {gap}")]
        found += [("Clock goes back", f"a time that comes twice runs {repeat}")]
    if schedule.kind == Kind.CRON and schedule.day_match == DayMatch.ALL:
        found.append(("Days", "day of month and day of week must both match"))
    if schedule.jitter_seconds:
        found.append(("Spread", f"each start is delayed by up to {format_span(schedule.jitter_seconds)}"))
    if schedule.starts_at:
        found.append(("Not before", format_zoned(schedule.starts_at, schedule.timezone)))
    if schedule.ends_at:
        found.append(("Not after", format_zoned(schedule.ends_at, schedule.timezone)))
    return found


def describe_actor(schedule: Schedule) -> str:
    if schedule.acts_as == ActsAs.PROJECT:
        return "the project"
    return schedule.owner.get_username() if schedule.owner else "nobody: its owner was deleted"


def describe_missed(schedule: Schedule) -> str:
    if schedule.missed == Missed.NONE:
        return "are not run"
    seconds = schedule.missed_within_seconds
    window = f"{format_span(seconds)} late" if seconds else "an hour late and before the next time"
    if schedule.missed == Missed.LATEST:
        return f"the latest runs, if it is at most {window}"
    return f"the newest {schedule.missed_max} run, each if it is at most {window}"
