"""The API routes under /people, and /me."""

from typing import Annotated

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from ninja.responses import Status

from cronium_admin.accounts import people
from cronium_admin.accounts.api_auth import get_api_token, get_caller, require_permission, require_user
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.schemas import (
    MeOut,
    PasswordOut,
    PersonCreated,
    PersonIn,
    PersonList,
    PersonOut,
    PersonPatch,
)
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ErrorBody

router = Router(tags=["people"], auth=require_permission(Permission.ADMIN))
me = Router(tags=["people"], auth=require_user())


@me.get("/me", response={200: MeOut, ANY_ERROR: ErrorBody}, summary="The current user")
def who_am_i(request: HttpRequest) -> MeOut:
    """The user of the token or session, their permissions, and when the token or session expires."""
    token = get_api_token(request)
    expires_at = token.expires_at if token else request.session.get_expiry_date()
    return MeOut.from_user(get_caller(request), token, expires_at)


@router.get("", response={200: PersonList, ANY_ERROR: ErrorBody}, summary="All people")
def list_people(request: HttpRequest) -> PersonList:
    return PersonList(items=[PersonOut.from_person(person) for person in people.list_people_by_name()])


@router.post("", response={201: PersonCreated, ANY_ERROR: ErrorBody}, summary="Add a person")
def add_person(request: HttpRequest, body: PersonIn) -> Status[PersonCreated]:
    """The user must choose another password at the first sign-in."""
    person, password = people.add_person(get_caller(request), body.username, body.role, body.password)
    return Status(201, PersonCreated.from_person_and_password(person, password))


@router.get("/{str:username}", response={200: PersonOut, ANY_ERROR: ErrorBody}, summary="One person")
def get_person(request: HttpRequest, username: str) -> PersonOut:
    return PersonOut.from_person(people.find_person(username))


@router.patch("/{str:username}", response={200: PersonOut, ANY_ERROR: ErrorBody}, summary="Change a person")
def change_person(request: HttpRequest, username: str, body: PersonPatch) -> PersonOut:
    """Changes role, state and password. The last active administrator can't be demoted or switched off (409)."""
    by, person = get_caller(request), people.find_person(username)
    changes = body.model_dump(exclude_unset=True)
    password = changes.pop("password", "")
    if password:
        people.check_new_password(by, person, password)
    with transaction.atomic():
        people.change_person(
            by, person, role=changes.get("role"), is_active=changes.get("active"), version=body.version
        )
        if password:
            people.reset_password(by, person, password, None if body.version is None else person.version)
    return PersonOut.from_person(people.find_person(username))


@router.delete("/{str:username}", response={204: None, ANY_ERROR: ErrorBody}, summary="Delete a person")
def delete_person(
    request: HttpRequest, username: str, version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None
) -> HttpResponse:
    """Also deletes the user's tokens. Jobs, runs and secrets that they created are kept."""
    people.delete_person(get_caller(request), people.find_person(username), version)
    return HttpResponse(status=204)


@router.post(
    "/{str:username}/reset-password",
    response={200: PasswordOut, ANY_ERROR: ErrorBody},
    summary="Generate a password",
)
def reset_password(request: HttpRequest, username: str) -> PasswordOut:
    """Ends the user's sessions. The user must choose another password at the next sign-in."""
    return PasswordOut(password=people.reset_password(get_caller(request), people.find_person(username)))


@router.delete(
    "/{str:username}/sessions", response={204: None, ANY_ERROR: ErrorBody}, summary="End a person's sessions"
)
def end_sessions(request: HttpRequest, username: str) -> HttpResponse:
    """Signs the user out everywhere. Their API tokens stay valid."""
    people.end_sessions(get_caller(request), people.find_person(username))
    return HttpResponse(status=204)
