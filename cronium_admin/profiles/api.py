"""The API routes under /profiles."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from ninja.responses import Status

from cronium_admin.accounts.api_auth import get_caller, require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.profiles.schemas import ProfileChange, ProfileIn, ProfileList, ProfileOut
from cronium_admin.profiles.service import (
    add_profile,
    delete_profile,
    find_profile,
    list_profiles_with_use,
    save_profile,
)

router = Router(tags=["profiles"], auth=require_permission(Permission.VIEW))


@router.get("", response={200: ProfileList, ANY_ERROR: ErrorBody}, summary="All profiles")
def list_profiles(request: HttpRequest) -> ProfileList:
    return ProfileList(
        items=[ProfileOut.from_profile(profile, profile.job_count) for profile in list_profiles_with_use()]
    )


@router.post(
    "",
    response={201: ProfileOut, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Create a profile",
)
def create_profile(request: HttpRequest, body: ProfileIn) -> Status[ProfileOut]:
    return Status(201, ProfileOut.from_profile(add_profile(body.model_dump(), get_caller(request)), 0))


@router.get("/{slug:name}", response={200: ProfileOut, ANY_ERROR: ErrorBody}, summary="One profile")
def get_profile(request: HttpRequest, name: str) -> ProfileOut:
    profile = find_profile(name)
    return ProfileOut.from_profile(profile, profile.jobs.count())


@router.patch(
    "/{slug:name}",
    response={200: ProfileOut, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Change a profile's limits",
)
def change_profile(request: HttpRequest, name: str, body: ProfileChange) -> ProfileOut:
    """Jobs that use the profile get the new limits with their next run."""
    changes = body.model_dump(exclude_unset=True, exclude={"version"})
    profile = save_profile(find_profile(name), changes, get_caller(request), body.version)
    return ProfileOut.from_profile(profile, profile.jobs.count())


@router.delete(
    "/{slug:name}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Delete a profile",
)
def remove_profile(
    request: HttpRequest, name: str, version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None
) -> HttpResponse:
    delete_profile(find_profile(name), version)
    return HttpResponse(status=204)
