"""The API route of the list of runs, and the filters that it shares with the search across logs."""

from collections.abc import Iterable
from typing import Annotated, Literal

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Query, Schema
from pydantic import Field, WithJsonSchema

from cronium_admin.accounts.api_auth import get_caller
from cronium_admin.accounts.models import User
from cronium_admin.core.errors import ANY_ERROR, ApiError, ErrorBody
from cronium_admin.core.paging import fetch_newest_page
from cronium_admin.core.query_parameters import accept_prefix
from cronium_admin.core.timestamps import UtcDatetime
from cronium_admin.images.models import Language
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.validation import validate_tags
from cronium_admin.runs.api import router
from cronium_admin.runs.filters import MAX_VALUES, STATES, RunFilter, clean_values, find_jobs
from cronium_admin.runs.input_values import PREFIX, read_input_filters
from cronium_admin.runs.models import Run
from cronium_admin.runs.schemas import RunItem, RunPage
from cronium_admin.runs.triggers import Trigger

__all__ = ["router"]
_LONG = ("differs", "output", "job__script", "job__env", "job__input", "job__input_schema", "sandbox")
State = Annotated[str, WithJsonSchema({"type": "string", "enum": list(STATES)})]
TriggerName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(Trigger.values)})]
LanguageName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(Language.values)})]
Slug = Annotated[str, Field(max_length=80)]


class RunFilters(Schema):
    """Each may be repeated, except the times; a run matches if it has one of the values of each filter."""

    job: list[Slug] = Field([], description="The slug of a job", max_length=MAX_VALUES)
    project: list[Slug] = Field([], description="The slug of a project", max_length=MAX_VALUES)
    tag: list[Slug] = Field([], description="Only runs of jobs that currently have this tag", max_length=MAX_VALUES)
    status: list[State] = Field([], description="live: queued, starting or running", max_length=MAX_VALUES)
    reason: list[Annotated[str, Field(max_length=40)]] = Field(
        [], description="A code, such as oom: why the run did not succeed", max_length=MAX_VALUES
    )
    trigger: list[TriggerName] = Field([], description="What launched the run", max_length=MAX_VALUES)
    by: list[Annotated[str, Field(max_length=150)]] = Field(
        [], description="The name of the user who launched the run", max_length=MAX_VALUES
    )
    host: list[Annotated[str, Field(max_length=100)]] = Field([], max_length=MAX_VALUES)
    language: list[LanguageName] = Field([], max_length=MAX_VALUES)
    input: list[Annotated[str, Field(max_length=200)]] = Field(
        [],
        description="NAME=VALUE: only runs whose declared field NAME has this value. `input.NAME=VALUE` is the same",
        max_length=MAX_VALUES,
    )
    period: Literal["", "1h", "24h", "7d", "30d"] = Field("", description="Only runs created in this time until now")
    since: UtcDatetime | None = Field(None, description="Only runs created at this time or later")
    until: UtcDatetime | None = Field(None, description="Only runs created before this time")

    def select(self, runs: QuerySet[Run], request: HttpRequest) -> QuerySet[Run]:
        """Those of `runs` that match. Raises ApiError 422 for values that no run can have."""
        _check_values("status", "a state", self.status, STATES)
        _check_values("trigger", "a trigger", self.trigger, Trigger.values)
        _check_values("language", "a language", self.language, Language.values)
        for tag in self.tag:
            _check_tag(tag)
        caller = get_caller(request)
        jobs = _find_jobs(caller, self.job)
        lists = {name: clean_values(value) for name, value in self if isinstance(value, list) and name != "input"}
        inputs = read_input_filters(request.GET)
        chosen = RunFilter(**lists, input=inputs, period=self.period, since=self.since, until=self.until)
        return chosen.select(runs, caller, jobs)


def make_field_error(field: str, message: str) -> ApiError:
    return ApiError(422, "invalid", f"{field}: {message}", {field: [message]})


def _check_values(field: str, kind: str, values: Iterable[str], allowed: Iterable[str]) -> None:
    for value in values:
        if value not in allowed:
            text = f"{value[:40]!r} is not {kind}. The {kind.partition(' ')[2]}s are: {', '.join(allowed)}."
            raise make_field_error(field, text)


def _check_tag(tag: str) -> None:
    try:
        validate_tags([tag] if tag else [])
    except ValidationError as error:
        raise make_field_error("tag", error.messages[0]) from error


def _find_jobs(caller: User, slugs: Iterable[str]) -> list[Job]:
    found, unknown = find_jobs(caller, slugs)
    if unknown:
        raise make_field_error("job", f"There is no job {unknown[0]!r}.")
    return found


@router.get("/runs", response={200: RunPage, ANY_ERROR: ErrorBody}, summary="Runs, newest first")
@accept_prefix(PREFIX)
def list_runs(
    request: HttpRequest,
    filters: Query[RunFilters],
    after: Annotated[str, Query(max_length=1000, description="`next` of the previous page")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> RunPage:
    caller = get_caller(request)
    runs = Run.objects.visible_to(caller).select_related("job", "created_by").defer(*_LONG)
    page = fetch_newest_page(filters.select(runs, request), after, limit)
    return RunPage(items=[RunItem.from_run(run) for run in page.items], next=page.next or None)
