"""The API routes of acts on many runs and on many jobs."""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from ninja import Router
from pydantic import BaseModel, ConfigDict, Field, StrictStr

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ANY_ERROR, ApiError, ErrorBody
from cronium_admin.jobs.job_filter import JobFilter, find_unread
from cronium_admin.jobs.job_listing import list_matching_ids
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.validation import is_tag
from cronium_admin.runs.api import IdempotencyKey, check_key
from cronium_admin.runs.bulk_jobs import MAX_JOBS, TAG_ACTS, Act, apply_to_jobs, read_jobs
from cronium_admin.runs.bulk_runs import MAX_RUNS, RunAct, apply_to_runs, list_applicable, read_runs
from cronium_admin.runs.filters import LISTED, RunFilter, find_jobs
from cronium_admin.runs.input_values import PREFIX
from cronium_admin.runs.models import Run
from cronium_admin.runs.triggers import Trigger

router = Router(tags=["runs"], auth=require_project_permission(Permission.RUN))
_FILTER = "Instead of a list: all that match these parameters of the list, such as `{}`. At least one is needed."
_JOB_FILTERS = ("q", "state", "language", "tag", "project", "network", "mine", "pinned")
_ONCE = ("period", "since", "until")
_RUN_FILTERS = (*LISTED, *_ONCE, "input.NAME")
_NOTHING = "It names no filter, so that everything would match."


class RunActIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    act: RunAct
    runs: Annotated[list[UUID], Field(max_length=MAX_RUNS)] = []
    filter: Annotated[StrictStr, Field(max_length=2000, description=_FILTER.format("job=report&status=live"))] = ""


class JobActIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    act: Act
    tag: Annotated[StrictStr, Field(description="For `add_tag` and `remove_tag`")] = ""
    jobs: Annotated[list[StrictStr], Field(max_length=MAX_JOBS, description="Slugs")] = []
    filter: Annotated[StrictStr, Field(max_length=2000, description=_FILTER.format("tag=nightly&state=failing"))] = ""


class ActResult(BaseModel):
    result: Literal["changed", "unchanged", "refused", "not_found"]
    detail: str = Field(description="Why it was refused")
    new_run: UUID | None = Field(description="The run that was launched")


class RunActResult(ActResult):
    run: UUID


class JobActResult(ActResult):
    job: str


class RunActOut(BaseModel):
    results: list[RunActResult]


class JobActOut(BaseModel):
    results: list[JobActResult]


@router.post("/run-acts", response={200: RunActOut, ANY_ERROR: ErrorBody}, summary="Cancel or repeat many runs")
def apply_run_act(request: HttpRequest, body: RunActIn, idempotency_key: IdempotencyKey = None) -> RunActOut:
    """Each run by itself: the answer says what became of each. `filter` chooses only runs whose status allows the act.

    `cancel` is for live runs, `rerun` for ended ones; `rerun_failed` is for failed ones that no later attempt followed.
    """
    caller, key = get_caller(request), check_key(idempotency_key)
    ids = list(dict.fromkeys(body.runs))
    _check_choice("runs", ids, body.filter)
    if body.filter:
        ids = list_applicable(_select_runs(caller, body.filter), body.act, MAX_RUNS + 1)
    runs = read_runs(caller, ids)
    done = {found.run.pk: found for found in apply_to_runs(caller, runs, body.act, _shorten_key(key))}
    results = []
    for pk in ids:
        if found := done.get(pk):
            made = found.made.pk if found.made else None
            word = _name_result(found.is_changed, found.refused)
            results.append(RunActResult(run=pk, result=word, detail=found.refused, new_run=made))
        else:
            results.append(RunActResult(run=pk, result="not_found", detail=f"There is no run {pk}.", new_run=None))
    return RunActOut(results=results)


@router.post(
    "/job-acts", response={200: JobActOut, ANY_ERROR: ErrorBody}, summary="Enable, disable, run or tag many jobs"
)
def apply_job_act(request: HttpRequest, body: JobActIn, idempotency_key: IdempotencyKey = None) -> JobActOut:
    """Each job by itself: the answer says what became of each."""
    caller, key = get_caller(request), check_key(idempotency_key)
    slugs = list(dict.fromkeys(body.jobs))
    _check_choice("jobs", slugs, body.filter)
    if body.act in TAG_ACTS and not is_tag(body.tag):
        raise _make_error("tag", "Enter up to 40 lower-case letters, digits, '.', '_' and '-'.")
    found: dict[str, Job] = {}
    missing: dict[str, str] = {}
    if body.filter:
        found = {f"{job.pk}": job for job in read_jobs(caller, _list_jobs(caller, body.filter))}
    for slug in slugs:
        try:
            found[slug] = find_job(caller, slug)
        except ApiError as error:
            missing[slug] = error.message
    done = apply_to_jobs(caller, list(found.values()), body.act, body.tag, _shorten_key(key), Trigger.API)
    results = [
        JobActResult(
            job=result.job.slug,
            result=_name_result(result.is_changed, result.refused),
            detail=result.refused,
            new_run=result.run.pk if result.run else None,
        )
        for result in done
    ]
    lost = [JobActResult(job=slug, result="not_found", detail=why, new_run=None) for slug, why in missing.items()]
    return JobActOut(results=results + lost)


def _check_choice(name: str, items: Iterable[object], text: str) -> None:
    if bool(items) == bool(text):
        raise _make_error(name, f"Give either `{name}` or `filter`.")


def _select_runs(caller: User, text: str) -> "QuerySet[Run]":
    query = QueryDict(text)
    _refuse_repeated(query, _ONCE)
    chosen, unread = RunFilter.from_query(query)
    for name, value in [(name, value) for name, values in query.lists() for value in values]:
        is_input = name == "input" or name.startswith(PREFIX)
        if name not in (*LISTED, *_ONCE) and not is_input:
            raise _make_error("filter", f"{name[:40]!r} is no filter of runs. They are: {', '.join(_RUN_FILTERS)}.")
        if is_input and not (value.partition("=")[0] if name == "input" else name.removeprefix(PREFIX)).strip():
            raise _make_error("filter", "A filter by input is input.NAME=VALUE.")
        read = value if is_input or name in ("since", "until") else getattr(chosen, name)
        if not value or value in unread or value not in read:
            raise _make_error("filter", f"{value[:40]!r} is no value of the filter {name}.")
    if chosen == RunFilter():
        raise _make_error("filter", _NOTHING)
    jobs, unknown = find_jobs(caller, chosen.job)
    if unknown:
        raise _make_error("filter", f"There is no job {unknown[0]!r}.")
    return chosen.select(Run.objects.visible_to(caller), caller, jobs)


def _list_jobs(caller: User, text: str) -> list[int]:
    query = QueryDict(text)
    _refuse_repeated(query, _JOB_FILTERS)
    given = query.dict()
    for name in given:
        if name not in _JOB_FILTERS:
            raise _make_error("filter", f"{name[:40]!r} is no filter of jobs. They are: {', '.join(_JOB_FILTERS)}.")
    chosen = JobFilter.parse(given)
    if unread := find_unread(chosen, {name: str(value) for name, value in given.items()}):
        raise _make_error("filter", f"{str(given[unread])[:40]!r} is no value of the filter {unread}.")
    if not chosen.is_filtering:
        raise _make_error("filter", _NOTHING)
    return list_matching_ids(caller, chosen, MAX_JOBS + 1)


def _refuse_repeated(query: QueryDict, names: Iterable[str]) -> None:
    for name in names:
        if len(query.getlist(name)) > 1:
            raise _make_error("filter", f"{name} is given more than once. Give it once.")


def _name_result(is_changed: bool, refused: str) -> Literal["changed", "unchanged", "refused"]:
    return "refused" if refused else "changed" if is_changed else "unchanged"


def _shorten_key(key: str) -> str:
    # A key may be as long as its column, and the key of each run contains it.
    return hashlib.sha256(key.encode()).hexdigest() if key else ""


def _make_error(field: str, message: str) -> ApiError:
    return ApiError(422, "invalid", f"{field}: {message}", {field: [message]})
