"""Response bodies of the week ahead."""

from pydantic import BaseModel, Field

from cronium_admin.accounts.models import User
from cronium_admin.planning.visible import VisibleHerd, count_assumed, list_herds, list_queues
from cronium_admin.planning.week import DEFAULT_SECONDS, QueueWeek, Week
from cronium_admin.schedules.rules import format_local, to_datetime
from cronium_admin.schedules.schemas import format_utc_z


class HourOut(BaseModel):
    at: str = Field(description="The beginning of the hour, in UTC, with Z.")
    local: str = Field(description="In the zone of the answer.")
    runs: float = Field(description="Runs that start in the hour.")
    run_minutes: float = Field(description="The sum of the minutes of all runs in the hour.")
    peak: int = Field(description="The most runs at once.")


class QueueWeekOut(BaseModel):
    name: str
    slots: int = Field(description="Runs at once on the hosts that take runs of the queue now.")
    limit: int | None = Field(description="The limit of the queue; null: no limit.")
    capacity: int = Field(description="The smaller of the two.")
    hours: list[HourOut]

    @classmethod
    def from_queue(cls, queue: QueueWeek, week: Week) -> "QueueWeekOut":
        hours = [
            HourOut(
                at=format_utc_z(to_datetime(hour.start)),
                local=format_local(hour.start, week.zone),
                runs=round(load.runs, 3),
                run_minutes=round(load.minutes, 3),
                peak=load.peak,
            )
            for hour, load in zip(week.hours, queue.loads, strict=True)
            if hour.end > week.now
        ]
        names = ("name", "slots", "limit", "capacity")
        return cls(**{name: getattr(queue, name) for name in names}, hours=hours)


class OfferOut(BaseModel):
    rule: str
    minute: int = Field(description="The minute of the hour at which the rule starts.")


class HerdMemberOut(BaseModel):
    id: int
    name: str
    job: str = Field(description="The job's slug.")
    rule: str
    offers: list[OfferOut] = Field(description="Rules with a quieter minute; empty for a rule with several minutes.")


class HerdOut(BaseModel):
    queue: str
    time: str = Field(description="The local time of day.")
    days: list[str]
    runs: int = Field(description="The most runs that start at this minute of a day.")
    schedules: list[HerdMemberOut] = Field(description="Those that you may see.")
    others: int = Field(description="Further schedules.")

    @classmethod
    def from_herd(cls, herd: VisibleHerd) -> "HerdOut":
        members = [
            HerdMemberOut(
                id=member.schedule.pk,
                name=member.schedule.name,
                job=member.schedule.job.slug,
                rule=member.schedule.rule,
                offers=[OfferOut(rule=offer.rule, minute=offer.minute) for offer in member.offers],
            )
            for member in herd.members
        ]
        days = [day.isoformat() for day in herd.days]
        names = ("queue", "time", "runs", "others")
        return cls(**{name: getattr(herd, name) for name in names}, days=days, schedules=members)


class WeekOut(BaseModel):
    timezone: str
    default_seconds: float = Field(description="The duration of a job without successful runs.")
    assumed: int = Field(description="Schedules that you see, whose job has no measured duration.")
    left_out: int = Field(description="Schedules that are not counted, because there are too many.")
    spread: int = Field(description="Schedules that count evenly over each day, because the times are too many.")
    queues: list[QueueWeekOut]
    herds: list[HerdOut] = Field(description="Minutes at which many runs start; the 20 largest.")

    @classmethod
    def from_week(cls, week: Week, user: User) -> "WeekOut":
        return cls(
            timezone=week.zone,
            default_seconds=DEFAULT_SECONDS,
            assumed=count_assumed(week, user),
            left_out=week.left_out,
            spread=week.spread,
            queues=[QueueWeekOut.from_queue(queue, week) for queue in list_queues(week, user)],
            herds=[HerdOut.from_herd(herd) for herd in list_herds(week, user)],
        )
