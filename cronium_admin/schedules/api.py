"""The API routes of schedules."""

from typing import Annotated, Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Body, Query, Router
from ninja.responses import Status

from cron_rules.errors import RuleError
from cron_rules.plan import list_plan_warnings
from cron_rules.zones import TZDATA_VERSION
from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.core.paging import filter_after, make_cursor, parse_cursor
from cronium_admin.jobs.lookup import find_job
from cronium_admin.schedules import catch_up, service
from cronium_admin.schedules.calendars.choice import find_chosen_calendar
from cronium_admin.schedules.clock_changes import list_clock_changes
from cronium_admin.schedules.last_downtime import find_last_downtime, list_affected
from cronium_admin.schedules.listing import parse_position
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.preview import preview_plan
from cronium_admin.schedules.rules import (
    RuleFields,
    build_fields_plan,
    describe_rule,
    list_rule_warnings,
    to_instant,
)
from cronium_admin.schedules.schemas import (
    AffectedOut,
    ClockChangeOut,
    DowntimeOut,
    OccurrenceOut,
    OccurrencePage,
    PreviewDayOut,
    PreviewIn,
    PreviewOut,
    PreviewTimeOut,
    RunMissedIn,
    RunMissedOut,
    ScheduleChange,
    ScheduleIn,
    ScheduleOut,
    SchedulePage,
    resolve_plain_times,
)
from cronium_admin.schedules.validation import check_choices, name_rule_field, strip_lines
from cronium_admin.schedules.year import list_days

router = Router(tags=["schedules"], auth=require_project_permission(Permission.VIEW))
PAGE_SIZE = 100


@router.post(
    "/schedules/preview",
    response={200: PreviewOut, ANY_ERROR: ErrorBody},
    summary="The times of a rule",
    exclude_unset=True,
)
def preview_schedule(request: HttpRequest, body: PreviewIn) -> PreviewOut:
    """Stores nothing. The times are those at which a schedule with this rule runs.

    `days` adds the number of runs of each day, from the local day of `after` on. `clock_changes` adds what the changes
    of the clock in the 13 months after `after` do.
    """
    given = body.model_dump()
    check_choices(given)
    given |= resolve_plain_times(given, body.timezone)
    fields = RuleFields(
        **{
            name: given[name]
            for name in given.keys() - {"after", "count", "days", "clock_changes", "blackouts", "calendar"}
        },
        blackouts=strip_lines(body.blackouts),
        calendar=find_chosen_calendar(body.calendar),
    )
    after = to_instant(given["after"] or database_now())
    try:
        plan = build_fields_plan(fields)
        times = preview_plan(plan, fields.timezone, after, body.count)
        words = describe_rule(fields)
        warnings = list_rule_warnings(fields) + list_plan_warnings(plan, after)
        days = [PreviewDayOut.from_day(day) for day in list_days(plan, fields.timezone, after, body.days)]
    except RuleError as error:
        raise ValidationError({name_rule_field(error.field): [str(error)]}) from None
    shown = [PreviewTimeOut.from_time(time) for time in times]
    optional: dict[str, Any] = {"days": days} if body.days else {}
    if body.clock_changes:
        changes = list_clock_changes(plan, fields.timezone, after)
        optional["clock_changes"] = [ClockChangeOut.from_change(change) for change in changes]
    return PreviewOut(times=shown, words=words, warnings=warnings, tzdata=TZDATA_VERSION, **optional)


@router.get("/schedules", response={200: SchedulePage, ANY_ERROR: ErrorBody}, summary="All schedules, by name")
def list_schedules(
    request: HttpRequest, after: Annotated[str, Query(max_length=1000)] = "", job: Annotated[str, Query()] = ""
) -> SchedulePage:
    rows = service.list_schedules(get_caller(request))
    if job:
        rows = rows.filter(job=find_job(get_caller(request), job, only=("pk",)))
    return _make_page(rows, after)


@router.get(
    "/schedules/downtime",
    response={200: DowntimeOut, ANY_ERROR: ErrorBody},
    summary="The last downtime, and what became of the times in it",
)
def get_downtime(request: HttpRequest) -> DowntimeOut:
    """A downtime: no process of Cronium looked at the schedules for two minutes or more."""
    downtime = find_last_downtime()
    if downtime is None:
        return DowntimeOut(began_at=None, ended_at=None, schedules=[], truncated=False)
    rows, is_more = list_affected(get_caller(request), downtime)
    shown = [
        AffectedOut(
            schedule=row.schedule.pk,
            name=row.schedule.name,
            job=row.schedule.job.slug,
            states=dict(row.shown),
            left=row.left,
            reason=row.reason,
        )
        for row in rows
    ]
    return DowntimeOut(began_at=downtime.began_at, ended_at=downtime.ended_at, schedules=shown, truncated=is_more)


@router.get(
    "/jobs/{slug:slug}/schedules", response={200: SchedulePage, ANY_ERROR: ErrorBody}, summary="Schedules of a job"
)
def list_job_schedules(
    request: HttpRequest, slug: str, after: Annotated[str, Query(max_length=1000)] = ""
) -> SchedulePage:
    job = find_job(get_caller(request), slug, only=("pk",))
    return _make_page(service.list_schedules(get_caller(request)).filter(job=job), after)


def _make_page(rows: "QuerySet[Schedule]", after: str) -> SchedulePage:
    if after:
        rows = rows.filter(filter_after("name", *parse_cursor(after, str, int)))
    items = list(rows.order_by("name", "pk")[: PAGE_SIZE + 1])
    shown = items[:PAGE_SIZE]
    following = make_cursor(shown[-1].name, shown[-1].pk) if len(items) > PAGE_SIZE else None
    return SchedulePage(items=[ScheduleOut.from_schedule(schedule) for schedule in shown], next=following)


@router.post(
    "/jobs/{slug:slug}/schedules",
    response={201: ScheduleOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Create a schedule",
)
def create_schedule(request: HttpRequest, slug: str, body: ScheduleIn) -> Status[ScheduleOut]:
    """Its first time is after now. The caller becomes its owner."""
    caller = get_caller(request)
    job = find_job(caller, slug, Permission.EDIT)
    return Status(201, ScheduleOut.from_schedule(service.create_schedule(job, body.list_changes("UTC"), caller)))


@router.get("/schedules/{int:pk}", response={200: ScheduleOut, ANY_ERROR: ErrorBody}, summary="One schedule")
def get_schedule(request: HttpRequest, pk: int) -> ScheduleOut:
    return ScheduleOut.from_schedule(service.find_schedule(get_caller(request), pk))


@router.patch(
    "/schedules/{int:pk}",
    response={200: ScheduleOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Change a schedule",
)
def change_schedule(request: HttpRequest, pk: int, body: ScheduleChange) -> ScheduleOut:
    """Changes only the given fields. Another rule counts from now: nothing of the past runs."""
    caller = get_caller(request)
    schedule = service.find_schedule(caller, pk, Permission.EDIT)
    changes = body.list_changes(schedule.timezone)
    return ScheduleOut.from_schedule(service.edit_schedule(schedule, changes, caller, body.version))


@router.delete(
    "/schedules/{int:pk}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Delete a schedule",
)
def remove_schedule(
    request: HttpRequest, pk: int, version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None
) -> HttpResponse:
    """Its ledger is deleted with it. Its runs stay."""
    service.delete_schedule(service.find_schedule(get_caller(request), pk, Permission.EDIT), version)
    return HttpResponse(status=204)


@router.get(
    "/schedules/{int:pk}/occurrences",
    response={200: OccurrencePage, ANY_ERROR: ErrorBody},
    summary="What became of the times of a schedule, newest first",
)
def list_occurrences(
    request: HttpRequest, pk: int, after: Annotated[str, Query(max_length=1000)] = ""
) -> OccurrencePage:
    rows = service.find_schedule(get_caller(request), pk).occurrences.all()
    if after:
        rows = rows.filter(filter_after("nominal_at", *parse_position(after), down=True))
    items = list(rows.order_by("-nominal_at", "-pk")[: PAGE_SIZE + 1])
    shown = items[:PAGE_SIZE]
    following = make_cursor(shown[-1].nominal_at.isoformat(), shown[-1].pk) if len(items) > PAGE_SIZE else None
    return OccurrencePage(items=[OccurrenceOut.from_occurrence(row) for row in shown], next=following)


@router.post(
    "/schedules/{int:pk}/run-missed",
    response={202: RunMissedOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.RUN),
    summary="Run the missed times of a schedule",
)
def run_missed_times(
    request: HttpRequest, pk: int, body: Annotated[RunMissedIn | None, Body()] = None
) -> Status[RunMissedOut]:
    """409 if there is none."""
    caller = get_caller(request)
    schedule = service.find_schedule(caller, pk, Permission.RUN)
    runs = catch_up.run_missed(schedule, (body or RunMissedIn()).limit, caller)
    return Status(202, RunMissedOut(runs=[str(run.pk) for run in runs]))
