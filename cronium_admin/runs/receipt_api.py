"""The API route of the receipt of a run."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Router

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.runs.lookup import find_receipt_run
from cronium_admin.runs.receipt import build_receipt

router = Router(tags=["runs"], auth=require_project_permission(Permission.VIEW))


@router.get(
    "/runs/{uuid:run_id}/receipt",
    response={200: dict[str, Any], ANY_ERROR: ErrorBody},
    summary="The receipt of a run",
)
def get_receipt(request: HttpRequest, run_id: UUID) -> dict[str, Any]:
    """What was asked, what ran and what came of it. `sha256` is the digest of the other fields, as JSON in UTF-8 with
    sorted keys and without blanks. `final` says whether the run has ended and its log is sealed."""
    return build_receipt(find_receipt_run(get_caller(request), run_id))
