"""The API routes under /registries. No response contains a secret."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from ninja.responses import Status

from cronium_admin.accounts.api_auth import get_caller, require_permission
from cronium_admin.accounts.permissions import INSTANCE, Permission, can
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.registries import service
from cronium_admin.registries.checks import request_check
from cronium_admin.registries.models import Registry
from cronium_admin.registries.schemas import RegistryChange, RegistryIn, RegistryList, RegistryOut
from cronium_admin.registries.service import (
    add_registry,
    delete_registry,
    find_registry_row,
    list_with_secret,
    save_registry,
)

router = Router(tags=["registries"], auth=require_permission(Permission.VIEW))


@router.get("", response={200: RegistryList, ANY_ERROR: ErrorBody}, summary="All registries")
def list_registries(request: HttpRequest) -> RegistryList:
    """Users, certificates and projects are shown to administrators only."""
    return RegistryList(items=_build_items(request, list(service.list_registries())))


@router.post(
    "",
    response={201: RegistryOut, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Add a registry",
)
def create_registry(request: HttpRequest, body: RegistryIn) -> Status[RegistryOut]:
    return Status(201, _build_out(request, add_registry(body.list_changes(), get_caller(request)).pk))


@router.get("/{int:registry_id}", response={200: RegistryOut, ANY_ERROR: ErrorBody}, summary="One registry")
def get_registry(request: HttpRequest, registry_id: int) -> RegistryOut:
    return _build_out(request, registry_id)


@router.patch(
    "/{int:registry_id}",
    response={200: RegistryOut, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Change a registry",
)
def change_registry(request: HttpRequest, registry_id: int, body: RegistryChange) -> RegistryOut:
    """Another address, user, certificate or `allow_http` needs the secret again."""
    save_registry(find_registry_row(registry_id), body.list_changes(), get_caller(request), body.version)
    return _build_out(request, registry_id)


@router.delete(
    "/{int:registry_id}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Delete a registry",
)
def remove_registry(
    request: HttpRequest,
    registry_id: int,
    version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None,
) -> HttpResponse:
    """Its images stay on the hosts. Hosts no longer pull them."""
    delete_registry(find_registry_row(registry_id), version)
    return HttpResponse(status=204)


@router.post(
    "/{int:registry_id}/check",
    response={202: RegistryOut, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Check sign-in, pull and push",
)
def check_registry(request: HttpRequest, registry_id: int) -> Status[RegistryOut]:
    """A host makes the check. Read the registry again until `check.state` is done or no_host."""
    request_check(find_registry_row(registry_id))
    return Status(202, _build_out(request, registry_id))


def _build_out(request: HttpRequest, registry_id: int) -> RegistryOut:
    return _build_items(request, [find_registry_row(registry_id)])[0]


def _build_items(request: HttpRequest, registries: list[Registry]) -> list[RegistryOut]:
    for_admin = can(get_caller(request), Permission.ADMIN, INSTANCE)
    with_secret = list_with_secret(registries) if for_admin else set()
    return [
        RegistryOut.from_registry(registry, has_secret=registry.pk in with_secret, for_admin=for_admin)
        for registry in registries
    ]
