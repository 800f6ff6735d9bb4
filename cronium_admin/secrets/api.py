"""The routes under /secrets. No answer holds a value."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from ninja.responses import Status

from cronium_admin.accounts.api_auth import caller, needs
from cronium_admin.accounts.permissions import May
from cronium_admin.core.edit_versions import DELETED_VERSION
from cronium_admin.core.errors import ERRORS, ErrorBody
from cronium_admin.secrets.schemas import SecretIn, SecretList, SecretOut, SecretSaved
from cronium_admin.secrets.service import delete_secret, find_secret, save_secret, secrets_by_name, users_of

router = Router(tags=["secrets"], auth=needs(May.SEE))


def _slugs() -> dict[str, list[str]]:
    return {name: [job.slug for job in jobs] for name, jobs in users_of().items()}


@router.get("", response={200: SecretList, ERRORS: ErrorBody}, summary="All secrets, without their values")
def list_secrets(request: HttpRequest) -> SecretList:
    slugs = _slugs()
    return SecretList(items=[SecretOut.of(secret, slugs.get(secret.name, [])) for secret in secrets_by_name()])


@router.get("/{slug:name}", response={200: SecretOut, ERRORS: ErrorBody}, summary="One secret, without its value")
def get_secret(request: HttpRequest, name: str) -> SecretOut:
    return SecretOut.of(find_secret(name), _slugs().get(name, []))


@router.put(
    "/{slug:name}",
    response={200: SecretSaved, 201: SecretSaved, ERRORS: ErrorBody},
    auth=needs(May.ADMIN),
    summary="Store a secret, or replace its value",
)
def put_secret(request: HttpRequest, name: str, body: SecretIn) -> Status[SecretSaved]:
    """Runs that wait get the new value; those that have started keep the old one."""
    value = body.value.get_secret_value() if body.value is not None else None
    saved = save_secret(name, value, body.description, caller(request), body.version)
    answer = SecretSaved.saved(saved, _slugs().get(name, []), with_value=value is not None)
    return Status(201 if saved.is_new else 200, answer)


@router.delete("/{slug:name}", response={204: None, ERRORS: ErrorBody}, auth=needs(May.ADMIN), summary="Delete it")
def remove_secret(
    request: HttpRequest, name: str, version: Annotated[int | None, Query(description=DELETED_VERSION)] = None
) -> HttpResponse:
    """409 while a job names it."""
    delete_secret(name, version)
    return HttpResponse(status=204)
