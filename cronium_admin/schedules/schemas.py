"""Request and response bodies of the routes of schedules."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from django.core.exceptions import ValidationError
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StrictBool, StrictInt, StrictStr

from cron_rules.errors import RuleError
from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP, OMITTED
from cronium_admin.core.timestamps import PlainOrUtcDatetime
from cronium_admin.runs.zone_times import convert_local_time
from cronium_admin.schedules.clock_changes import ClockChange
from cronium_admin.schedules.models import Occurrence, Schedule
from cronium_admin.schedules.preview import MAX_COUNT, PreviewTime
from cronium_admin.schedules.rules import RuleFields, describe_rule
from cronium_admin.schedules.year import MAX_DAYS, YearDay

KIND = "cron, interval, calendar or once."
RULE = "A cron rule with 5 fields, 6 with seconds first, or a nickname such as @daily or @reboot; or a calendar rule."
EVERY = "Of an interval: the seconds from one time to the next."
ANCHOR = (
    "The time or date from which an interval or a calendar rule is counted; the time of creation without one. "
    "Without an offset: in the time zone of the schedule."
)
AT = "Of a schedule that runs once. Without an offset: in the time zone of the schedule."
GAP = "run_after or skip: a time of day that doesn't exist, because the clock goes forward."
REPEAT = "first or both: a time of day that comes twice, because the clock goes back."
DAY_MATCH = "any or all: a cron rule with a day of the month and a day of the week."
BLACKOUTS = (
    "Windows in which no run starts, such as 01:00-04:00, sat 22:00-sun 06:00, 2026-12-24 18:00 - 2026-12-27 06:00."
)
CALENDAR = "The name of a calendar, whose closed days count; null: none."
ON_CLOSED = (
    "skip or next_working_day: a time on a closed day of the calendar does not run, or runs on the next open day."
)
MISSED = "none, latest or all: times that passed while Cronium did not run."
OVERLAP = "skip, queue_one, queue_all, cancel_running or allow: a time while a run of the schedule is live."
WITHIN = "Older times are not run; null: an hour, or the time to the next if that is shorter."
INPUT = "The runs' input; null: the job's input."
ACTS_AS = "owner or project: who launches the runs."
STATES = "ran, late, caught_up, merged, overlapped, missed, blackout, disabled, gap or not_ready."


class PreviewIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Annotated[StrictStr, Field(description=KIND)] = "cron"
    rule: Annotated[StrictStr, Field(description=RULE)] = ""
    every_seconds: Annotated[StrictInt | None, Field(description=EVERY)] = None
    anchor: Annotated[PlainOrUtcDatetime | None, Field(description=ANCHOR)] = None
    at: Annotated[PlainOrUtcDatetime | None, Field(description=AT)] = None
    timezone: StrictStr = "UTC"
    dst_gap: Annotated[StrictStr, Field(description=GAP)] = "run_after"
    dst_repeat: Annotated[StrictStr, Field(description=REPEAT)] = "first"
    day_match: Annotated[StrictStr, Field(description=DAY_MATCH)] = "any"
    blackouts: Annotated[list[StrictStr], Field(max_length=100, description=BLACKOUTS)] = []
    calendar: Annotated[StrictStr | None, Field(description=CALENDAR)] = None
    on_closed: Annotated[StrictStr, Field(description=ON_CLOSED)] = "skip"
    after: Annotated[PlainOrUtcDatetime | None, Field(description="Times later than this; now without it.")] = None
    count: Annotated[StrictInt, Field(ge=1, le=MAX_COUNT)] = 10
    days: Annotated[StrictInt, Field(ge=0, le=MAX_DAYS, description="How many days to count the runs of.")] = 0
    clock_changes: Annotated[StrictBool, Field(description="Whether to list the changes of the clock.")] = False


class PreviewTimeOut(BaseModel):
    at: str = Field(description="In UTC, with Z.")
    local: str = Field(description="In the time zone of the schedule.")
    note: str = Field(description="Empty, or what a change of the clock does: moved, merged, doubled or skipped.")
    runs: bool = Field(default=True, description="Given as false in a blackout window or on a closed day.")
    count: int = Field(default=1, description="With `runs`: how many times don't run for one reason, from `at` on.")

    @classmethod
    def from_time(cls, time: PreviewTime) -> "PreviewTimeOut":
        at = format_utc_z(time.at)
        if time.runs:
            return cls(at=at, local=time.local, note=time.note)
        return cls(at=at, local=time.local, note=time.note, runs=False, count=time.count)


class ChangedTimeOut(BaseModel):
    at: str | None = Field(description="In UTC, with Z; null for a local time that does not exist and does not run.")
    local: str = Field(description="In the time zone of the schedule.")
    note: str = Field(description="What happens: moved, merged, doubled or skipped.")
    runs: bool


class ClockChangeOut(BaseModel):
    at: str = Field(description="When the clock changes, in UTC, with Z.")
    words: str
    times: list[ChangedTimeOut] = Field(description="The times that the change concerns, the first 12.")
    more: int = Field(description="How many further times it concerns.")
    listed: bool = Field(description="False for a rule with more than 1,440 times a day: its times are not listed.")

    @classmethod
    def from_change(cls, change: ClockChange) -> "ClockChangeOut":
        times = [
            ChangedTimeOut(
                at=format_utc_z(time.at) if time.at else None, local=time.local, note=time.note, runs=time.runs
            )
            for time in change.times
        ]
        at = format_utc_z(change.at)
        return cls(at=at, words=change.words, times=times, more=change.more, listed=change.is_listed)


class PreviewDayOut(BaseModel):
    date: str = Field(description="The local day, in the time zone of the schedule.")
    count: int = Field(description="The runs of the day; of the first day, those later than `after`.")
    closed: int = Field(description="The times that don't run, in a blackout window or on a closed day.")
    note: str = Field(description="Empty, or a change of the clock, a blackout or a closed day.")

    @classmethod
    def from_day(cls, day: YearDay) -> "PreviewDayOut":
        return cls(date=day.date.isoformat(), count=day.count, closed=day.closed, note=day.note)


class PreviewOut(BaseModel):
    times: list[PreviewTimeOut]
    words: str
    warnings: list[str] = Field(description="Rules that people write and mean differently.")
    tzdata: str = Field(description="The version of the time-zone data.")
    days: list[PreviewDayOut] = Field(default=[], description="Given if the request has `days`: from today on.")
    clock_changes: list[ClockChangeOut] = Field(default=[], description="Given if the request has `clock_changes`.")


class SchedulePatch(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: StrictStr = OMITTED
    kind: Annotated[StrictStr, Field(description=KIND)] = OMITTED
    rule: Annotated[StrictStr, Field(description=RULE)] = OMITTED
    every_seconds: Annotated[StrictInt | None, Field(description=EVERY)] = OMITTED
    anchor: Annotated[PlainOrUtcDatetime | None, Field(description=ANCHOR)] = OMITTED
    at: Annotated[PlainOrUtcDatetime | None, Field(description=AT)] = OMITTED
    timezone: Annotated[StrictStr, Field(description="Such as Europe/Berlin.")] = OMITTED
    dst_gap: Annotated[StrictStr, Field(description=GAP)] = OMITTED
    dst_repeat: Annotated[StrictStr, Field(description=REPEAT)] = OMITTED
    day_match: Annotated[StrictStr, Field(description=DAY_MATCH)] = OMITTED
    blackouts: Annotated[list[StrictStr], Field(max_length=100, description=BLACKOUTS)] = OMITTED
    calendar: Annotated[StrictStr | None, Field(description=CALENDAR)] = OMITTED
    on_closed: Annotated[StrictStr, Field(description=ON_CLOSED)] = OMITTED
    enabled: StrictBool = OMITTED
    starts_at: Annotated[PlainOrUtcDatetime | None, Field(description="No time before it.")] = OMITTED
    ends_at: Annotated[PlainOrUtcDatetime | None, Field(description="No time after it.")] = OMITTED
    missed: Annotated[StrictStr, Field(description=MISSED)] = OMITTED
    missed_within_seconds: Annotated[
        StrictInt | None,
        Field(description="Older times are not run; null: an hour, or the time to the next if shorter."),
    ] = OMITTED
    missed_max: Annotated[StrictInt, Field(description="The most times that run for `all`; the newest.")] = OMITTED
    overlap: Annotated[StrictStr, Field(description=OVERLAP)] = OMITTED
    jitter_seconds: Annotated[
        StrictInt, Field(description="Each time is delayed by up to this, always by the same for the same time.")
    ] = OMITTED
    input: Annotated[JsonValue, Field(description=INPUT)] = OMITTED
    acts_as: Annotated[StrictStr, Field(description=ACTS_AS)] = OMITTED

    def list_changes(self, zone: str) -> dict[str, Any]:
        """`zone`: the time zone that the schedule has, or gets without `timezone`. Raises ValidationError by field."""
        given = self.model_dump(exclude_unset=True, exclude={"version"})
        return given | resolve_plain_times(given, given.get("timezone", zone))


class ScheduleIn(SchedulePatch):
    name: StrictStr


class ScheduleChange(SchedulePatch):
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


class ScheduleOut(BaseModel):
    id: int
    job: str = Field(description="The job's slug.")
    name: str
    kind: str
    rule: str
    every_seconds: int | None
    anchor: AwareDatetime | None
    at: AwareDatetime | None
    timezone: str
    dst_gap: str
    dst_repeat: str
    day_match: str
    blackouts: list[str]
    calendar: str | None = Field(description="The name of its calendar.")
    on_closed: str
    enabled: bool
    starts_at: AwareDatetime | None
    ends_at: AwareDatetime | None
    missed: str
    missed_within_seconds: int | None
    missed_max: int
    overlap: str
    jitter_seconds: int
    input: JsonValue
    acts_as: str
    owner: str | None
    problem: str = Field(description="Why its last time launched no run; empty if there is no problem.")
    words: str
    next_at: AwareDatetime | None = Field(
        description="The next time that runs; null if there is none, or it is disabled."
    )
    version: int
    updated_by: str | None
    updated_at: AwareDatetime
    created_at: AwareDatetime

    @classmethod
    def from_schedule(cls, schedule: Schedule) -> "ScheduleOut":
        names = cls.model_fields.keys() - {"job", "owner", "words", "updated_by", "next_at", "blackouts", "calendar"}
        return cls(
            **{name: getattr(schedule, name) for name in names},
            job=schedule.job.slug,
            owner=schedule.owner.get_username() if schedule.owner else None,
            updated_by=schedule.updated_by.get_username() if schedule.updated_by else None,
            blackouts=schedule.blackouts.splitlines(),
            calendar=schedule.calendar.name if schedule.calendar else None,
            words=describe_stored(schedule),
            next_at=schedule.next_at if schedule.enabled else None,
        )


class SchedulePage(BaseModel):
    items: list[ScheduleOut]
    next: str | None = Field(description="The value of `after` for the next page; null on the last page.")


class OccurrenceOut(BaseModel):
    nominal_at: AwareDatetime
    last_nominal_at: AwareDatetime = Field(description="Of a row for several times; otherwise equal to nominal_at.")
    state: str = Field(description=STATES)
    reason: str
    run: str | None = Field(description="The id of the run.")
    count: int = Field(description="The number of times that the row stands for.")
    late_by_seconds: int | None
    decided_at: AwareDatetime

    @classmethod
    def from_occurrence(cls, row: Occurrence) -> "OccurrenceOut":
        return cls(
            nominal_at=row.nominal_at,
            last_nominal_at=row.last_nominal_at,
            state=row.state,
            reason=row.reason,
            run=str(row.run_id) if row.run_id else None,
            count=row.count,
            late_by_seconds=row.late_by_seconds,
            decided_at=row.decided_at,
        )


class OccurrencePage(BaseModel):
    items: list[OccurrenceOut]
    next: str | None = Field(description="The value of `after` for the next page; null on the last page.")


class RunMissedIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: Annotated[StrictInt, Field(ge=1, le=100, description="The newest missed times, up to this number.")] = 10


class RunMissedOut(BaseModel):
    runs: list[str] = Field(description="The ids of the new runs, by nominal time.")


class AffectedOut(BaseModel):
    schedule: int
    name: str
    job: str = Field(description="The job's slug.")
    states: dict[str, int] = Field(description="How many times ended in each state.")
    left: int = Field(description="The times that no run stands for; `POST /schedules/ID/run-missed` runs them.")
    reason: str = Field(description="Of the newest of these times.")


class DowntimeOut(BaseModel):
    began_at: AwareDatetime | None = Field(description="Null: no downtime is recorded.")
    ended_at: AwareDatetime | None
    schedules: list[AffectedOut] = Field(description="Those with times in the downtime, the most times to run first.")
    truncated: bool = Field(description="There are more schedules than the list has.")


def describe_stored(schedule: Schedule) -> str:
    """A rule that was stored by another version may be refused by this one."""
    try:
        return describe_rule(RuleFields.from_schedule(schedule))
    except RuleError as error:
        return str(error)


def resolve_plain_times(values: Mapping[str, Any], zone: str) -> dict[str, datetime]:
    """The times without an offset, as times of the zone. Raises ValidationError by field."""
    resolved, problems = {}, {}
    for name, value in values.items():
        if isinstance(value, datetime) and value.tzinfo is None:
            try:
                resolved[name] = convert_local_time(value, zone)
            except ValueError as error:
                problems[name] = [str(error)]
    if problems:
        raise ValidationError(problems)
    return resolved


def format_utc_z(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
