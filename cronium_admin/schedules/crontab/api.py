"""The API routes of the import of a crontab."""

from django.http import HttpRequest
from ninja import Router

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.schedules.crontab.apply import import_entries
from cronium_admin.schedules.crontab.plan import build_plan
from cronium_admin.schedules.crontab.schemas import CrontabImportIn, CrontabImportOut, CrontabIn, CrontabOut

router = Router(tags=["schedules"], auth=require_project_permission(Permission.EDIT))


@router.post(
    "/crontab/preview", response={200: CrontabOut, ANY_ERROR: ErrorBody}, summary="What a crontab would become"
)
def preview_crontab(request: HttpRequest, body: CrontabIn) -> CrontabOut:
    """Stores nothing. Each entry has its next thirty times beside those at which cron runs it."""
    return CrontabOut.from_plan(build_plan(get_caller(request), body.make_source(), body.secrets))


@router.post("/crontab/import", response={200: CrontabImportOut, ANY_ERROR: ErrorBody}, summary="Import a crontab")
def import_crontab(request: HttpRequest, body: CrontabImportIn) -> CrontabImportOut:
    """Creates a job and a disabled schedule for each entry. Entries that exist already are skipped, so the same file
    can be imported again."""
    caller = get_caller(request)
    plan = build_plan(caller, body.make_source(), body.secrets)
    return CrontabImportOut.from_result(plan, import_entries(caller, plan, body.collect_choices()))
