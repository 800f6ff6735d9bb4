"""Request and response bodies of the routes of calendars."""

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, StrictStr

from cron_rules.calendar_text import MAX_LINES
from cron_rules.errors import RuleError
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP, OMITTED
from cronium_admin.schedules.calendars.closed_days import build_closed_days, iterate_closed
from cronium_admin.schedules.models import Calendar

WEEKDAYS = "Closed weekdays: mon, tue, wed, thu, fri, sat, sun."
DATES = "Closed days, each with a text: 2026-12-24 Christmas Eve, or 2026-12-27 - 2026-12-31 Company holidays."
COUNTRY = "The two letters of a country, whose national holidays are closed; empty: none."
SUBDIVISION = "A state or region of the country, such as BY of DE; empty: the holidays of the whole country."


class CalendarPatch(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[StrictStr, Field(description="Lower-case letters, digits and hyphens.")] = OMITTED
    weekdays: Annotated[list[StrictStr], Field(max_length=7, description=WEEKDAYS)] = OMITTED
    dates: Annotated[list[StrictStr], Field(max_length=MAX_LINES, description=DATES)] = OMITTED
    country: Annotated[StrictStr, Field(max_length=8, description=COUNTRY)] = OMITTED
    subdivision: Annotated[StrictStr, Field(max_length=40, description=SUBDIVISION)] = OMITTED

    def list_changes(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True, exclude={"version"})


class CalendarIn(CalendarPatch):
    name: StrictStr


class CalendarChange(CalendarPatch):
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


class ClosedDayOut(BaseModel):
    date: str
    text: str


class CalendarOut(BaseModel):
    name: str
    weekdays: list[str]
    dates: list[str]
    country: str
    subdivision: str
    problem: str = Field(description="Why its schedules can't run; empty if there is no problem.")
    schedules: int = Field(description="The number of schedules that use it, of all projects.")
    version: int
    updated_by: str | None
    updated_at: AwareDatetime

    @classmethod
    def from_calendar(cls, calendar: Calendar, schedules: int) -> "CalendarOut":
        return cls(**_list_values(calendar, schedules))


class CalendarDetail(CalendarOut):
    closed_days: list[ClosedDayOut] = Field(
        description="The dates and holidays of the next 12 months, without the closed weekdays."
    )

    @classmethod
    def from_calendar(cls, calendar: Calendar, schedules: int) -> "CalendarDetail":
        try:
            days = list(iterate_closed(build_closed_days(calendar), database_now().date()))
        except RuleError:
            days = []
        closed = [ClosedDayOut(date=found.day.isoformat(), text=found.text) for found in days]
        return cls(**_list_values(calendar, schedules), closed_days=closed)


class CalendarList(BaseModel):
    items: list[CalendarOut]
    next: None = None


def _list_values(calendar: Calendar, schedules: int) -> dict[str, Any]:
    names = ("name", "country", "subdivision", "version", "updated_at")
    return {
        **{name: getattr(calendar, name) for name in names},
        "weekdays": calendar.list_weekdays(),
        "dates": calendar.dates.splitlines(),
        "problem": find_problem(calendar),
        "schedules": schedules,
        "updated_by": calendar.updated_by.get_username() if calendar.updated_by else None,
    }


def find_problem(calendar: Calendar) -> str:
    """Such as a country whose holidays are not installed."""
    try:
        build_closed_days(calendar)
    except RuleError as error:
        return str(error)
    return ""
