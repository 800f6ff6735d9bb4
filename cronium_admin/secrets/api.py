"""The API routes under /secrets. No response contains a value."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from ninja.responses import Status

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission, ProjectId
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.secrets.models import Secret
from cronium_admin.secrets.schemas import SecretIn, SecretList, SecretOut, SecretSaved
from cronium_admin.secrets.service import (
    delete_secret,
    find_jobs_by_secret,
    find_secret,
    list_secrets_by_name,
    save_secret,
)

router = Router(tags=["secrets"], auth=require_project_permission(Permission.VIEW))


def _list_job_slugs() -> dict[tuple[ProjectId, str], list[str]]:
    return {key: [job.slug for job in jobs] for key, jobs in find_jobs_by_secret().items()}


def _build_secret_out(secret: Secret) -> SecretOut:
    return SecretOut.from_secret(secret, _list_job_slugs().get((secret.project_id, secret.name), []))


@router.get("", response={200: SecretList, ANY_ERROR: ErrorBody}, summary="All secrets, without their values")
def list_secrets(request: HttpRequest) -> SecretList:
    slugs = _list_job_slugs()
    secrets = list_secrets_by_name(get_caller(request))
    return SecretList(
        items=[SecretOut.from_secret(secret, slugs.get((secret.project_id, secret.name), [])) for secret in secrets]
    )


@router.get("/{slug:name}", response={200: SecretOut, ANY_ERROR: ErrorBody}, summary="One secret, without its value")
def get_secret(request: HttpRequest, name: str) -> SecretOut:
    return _build_secret_out(find_secret(get_caller(request), name))


@router.put(
    "/{slug:name}",
    response={200: SecretSaved, 201: SecretSaved, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.ADMIN),
    summary="Store a secret, or replace its value",
)
def put_secret(request: HttpRequest, name: str, body: SecretIn) -> Status[SecretSaved]:
    """Queued runs get the new value; runs that have started keep the old one."""
    value = body.value.get_secret_value() if body.value is not None else None
    saved = save_secret(name, value, body.description, get_caller(request), body.version)
    slugs = _list_job_slugs().get((saved.secret.project_id, name), [])
    answer = SecretSaved.from_saved(saved, slugs, with_value=value is not None)
    return Status(201 if saved.is_new else 200, answer)


@router.delete(
    "/{slug:name}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.ADMIN),
    summary="Delete a secret",
)
def remove_secret(
    request: HttpRequest, name: str, version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None
) -> HttpResponse:
    """409 while a job uses the secret."""
    delete_secret(name, get_caller(request), version)
    return HttpResponse(status=204)
