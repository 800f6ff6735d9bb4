"""The API routes of runs: launch, list, read, cancel, rerun."""

import re
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Body, Header, Router
from ninja.responses import Status as Answer

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ANY_ERROR, ApiError, ErrorBody
from cronium_admin.core.json_text import cast_to_text
from cronium_admin.jobs.lookup import find_job
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.lookup import find_run, make_missing_error
from cronium_admin.runs.models import Run
from cronium_admin.runs.schemas import LaunchIn, RunDetail, RunOut, SandboxOut

router = Router(tags=["runs"], auth=require_project_permission(Permission.VIEW))
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="A repeated request with the same key returns the same run."),
]
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def _make_field_error(field: str, message: str) -> ApiError:
    return ApiError(422, "invalid", f"{field}: {message}", {field: [message]})


@router.post(
    "/jobs/{slug:slug}/runs",
    response={202: RunOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.RUN),
    summary="Run a job",
)
def launch_run(
    request: HttpRequest,
    response: HttpResponse,
    slug: str,
    body: Annotated[LaunchIn | None, Body()] = None,
    idempotency_key: IdempotencyKey = None,
) -> Answer[RunOut]:
    """The run is queued when the response is sent."""
    key = check_key(idempotency_key)
    overrides = (body or LaunchIn()).to_overrides()
    caller = get_caller(request)
    job = find_job(caller, slug, Permission.RUN)
    return _accept_run(response, launch(job, caller, overrides, idempotency_key=key))


def check_key(key: str | None) -> str:
    if key is not None and not _KEY.fullmatch(key):
        raise _make_field_error("Idempotency-Key", "Must be 1 to 200 visible ASCII characters.")
    return key or ""


@router.get(
    "/runs/{uuid:run_id}",
    response={200: RunDetail, ANY_ERROR: ErrorBody},
    summary="One run, with script and events",
)
def get_run(request: HttpRequest, run_id: UUID) -> RunDetail:
    run = find_run(get_caller(request), run_id, Permission.VIEW, "revision__script")
    return RunDetail.from_full_run(run)


@router.get(
    "/runs/{uuid:run_id}/sandbox", response={200: SandboxOut, ANY_ERROR: ErrorBody}, summary="The sandbox of a run"
)
def get_sandbox(request: HttpRequest, run_id: UUID) -> SandboxOut:
    """The settings of the run's containers and network: as requested, and as the engine reported them."""
    runs = Run.objects.visible_to(get_caller(request)).select_related("sandbox_table")
    run = runs.only("sandbox", "sandbox_table").filter(pk=run_id).first()
    if run is None:
        raise make_missing_error(run_id)
    report = run.sandbox_report
    if report is None or run.sandbox_table is None:
        return SandboxOut(reported=False)
    return SandboxOut(reported=True, version=run.sandbox_table.digest[:12], **report)


@router.get("/runs/{uuid:run_id}/output", response={200: Any, ANY_ERROR: ErrorBody}, summary="The output of a run")
def run_output(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The JSON value itself, without an envelope; 404 if the script has set no output."""
    runs = Run.objects.visible_to(get_caller(request)).filter(pk=run_id)
    run = runs.values_list(cast_to_text("output"), "output_at").first()
    if run is None:
        raise make_missing_error(run_id)
    text, output_at = run
    if output_at is None:
        raise ApiError(404, "no_output", "The run's script has set no output.")
    headers = {"Cache-Control": "no-store"}  # the script may set it again
    return HttpResponse("null" if text is None else text, content_type="application/json", headers=headers)


@router.post(
    "/runs/{uuid:run_id}/cancel",
    response={202: RunOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.RUN),
    summary="Cancel a run",
)
def cancel_run(request: HttpRequest, response: HttpResponse, run_id: UUID) -> Answer[RunOut]:
    """A queued run ends at once; a running one becomes `cancelled` when its container has stopped."""
    caller = get_caller(request)
    cancel(find_run(caller, run_id, Permission.RUN), caller)
    return _accept_run(response, find_run(caller, run_id, Permission.VIEW, "revision"))


@router.post(
    "/runs/{uuid:run_id}/rerun",
    response={202: RunOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.RUN),
    summary="Rerun a run",
)
def rerun_run(
    request: HttpRequest, response: HttpResponse, run_id: UUID, idempotency_key: IdempotencyKey = None
) -> Answer[RunOut]:
    """A new run with the same script and settings, with this run as its parent."""
    key = check_key(idempotency_key)
    caller = get_caller(request)
    run = find_run(caller, run_id, Permission.RUN, "revision")
    return _accept_run(response, rerun(run, caller, idempotency_key=key))


def _accept_run(response: HttpResponse, run: Run) -> Answer[RunOut]:
    response["Location"] = reverse("api:get_run", args=[run.pk])
    return Answer(202, RunOut.from_run(run))
