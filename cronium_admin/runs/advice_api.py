"""The API route of the advice on a job."""

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.jobs.lookup import find_job
from cronium_admin.runs.advice_facts import read_advice

router = Router(tags=["jobs"], auth=require_project_permission(Permission.VIEW))


class AdviceOut(Schema):
    kind: str = Field(description="A code, such as memory_kill.")
    is_problem: bool = Field(description="Whether runs fail or soon will because of it.")
    finding: str = Field(description="What was measured, in words.")
    action: str = Field(description="What to change, in words.")


@router.get(
    "/jobs/{slug:slug}/advice",
    response={200: list[AdviceOut], ANY_ERROR: ErrorBody},
    summary="What the last runs of a job say about its settings",
)
def list_advice(request: HttpRequest, slug: str) -> list[AdviceOut]:
    """From the last 50 ended runs. Problems come first. Empty: nothing to say."""
    user = get_caller(request)
    found = read_advice(find_job(user, slug), user)
    return [
        AdviceOut(kind=one.kind, is_problem=one.is_problem, finding=one.finding, action=one.action) for one in found
    ]
