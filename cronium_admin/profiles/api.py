"""The routes under /profiles."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from ninja.responses import Status

from cronium_admin.accounts.api_auth import caller, needs
from cronium_admin.accounts.permissions import May
from cronium_admin.core.edit_versions import DELETED_VERSION
from cronium_admin.core.errors import ERRORS, ErrorBody
from cronium_admin.profiles.schemas import ProfileChange, ProfileIn, ProfileList, ProfileOut
from cronium_admin.profiles.service import (
    add_profile,
    delete_profile,
    find_profile,
    profiles_with_use,
    save_profile,
)

router = Router(tags=["profiles"], auth=needs(May.SEE))


@router.get("", response={200: ProfileList, ERRORS: ErrorBody}, summary="All profiles")
def list_profiles(request: HttpRequest) -> ProfileList:
    return ProfileList(items=[ProfileOut.of(profile, profile.job_count) for profile in profiles_with_use()])


@router.post("", response={201: ProfileOut, ERRORS: ErrorBody}, auth=needs(May.ADMIN), summary="Make a profile")
def create_profile(request: HttpRequest, body: ProfileIn) -> Status[ProfileOut]:
    return Status(201, ProfileOut.of(add_profile(body.model_dump(), caller(request)), 0))


@router.get("/{slug:name}", response={200: ProfileOut, ERRORS: ErrorBody}, summary="One profile")
def get_profile(request: HttpRequest, name: str) -> ProfileOut:
    profile = find_profile(name)
    return ProfileOut.of(profile, profile.jobs.count())


@router.patch(
    "/{slug:name}",
    response={200: ProfileOut, ERRORS: ErrorBody},
    auth=needs(May.ADMIN),
    summary="Change a profile's limits",
)
def change_profile(request: HttpRequest, name: str, body: ProfileChange) -> ProfileOut:
    """Jobs that use the profile get the new limits with their next run."""
    given = body.model_dump(exclude_unset=True, exclude={"version"})
    profile = save_profile(find_profile(name), given, caller(request), body.version)
    return ProfileOut.of(profile, profile.jobs.count())


@router.delete(
    "/{slug:name}", response={204: None, ERRORS: ErrorBody}, auth=needs(May.ADMIN), summary="Delete a profile"
)
def remove_profile(
    request: HttpRequest, name: str, version: Annotated[int | None, Query(description=DELETED_VERSION)] = None
) -> HttpResponse:
    delete_profile(find_profile(name), version)
    return HttpResponse(status=204)
