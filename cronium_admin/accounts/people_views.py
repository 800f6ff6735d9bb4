"""The page People and the page of one person, for administrators."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cronium_admin.accounts import one_time_value, people
from cronium_admin.accounts.forms import PersonForm
from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import needs, user_of
from cronium_admin.accounts.permissions import DUTIES, May, Role
from cronium_admin.core.edit_versions import ChangedMeanwhile, sent_version
from cronium_admin.core.errors import Refused


@require_safe
@never_cache
@needs(May.ADMIN)
def list_people(request: HttpRequest) -> HttpResponse:
    rows = [{"person": person, "seen_at": people.seen_at(person)} for person in people.people_by_name()]
    made = one_time_value.take(request, "password")
    return render(
        request, "accounts/people.html", {"rows": rows, "made": made.split("\n", 1) if made else None, **_NAV}
    )


@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
@needs(May.ADMIN)
def add(request: HttpRequest) -> HttpResponse:
    form = PersonForm(request.POST or None, initial={"role": Role.VIEWER})
    if request.method == "POST" and form.is_valid():
        try:
            person, password = people.add_person(user_of(request), **form.cleaned_data)
        except (ValidationError, Refused) as error:
            _take(form, error)
        else:
            _keep_password(request, person, password)
            messages.success(request, f"{person.get_username()} is added as {_named(person.role)}.")
            return redirect("access:people")
    status = 422 if form.errors else 200
    return render(request, "accounts/person_new.html", {"form": form, "roles": _roles(), **_NAV}, status=status)


@require_http_methods(["GET", "POST"])
@never_cache
@needs(May.ADMIN)
def person(request: HttpRequest, pk: int) -> HttpResponse:
    """One person; a POST changes the role."""
    row = get_object_or_404(people.list_people(), pk=pk)
    if request.method != "POST":
        return _page(request, row)
    role = request.POST.get("role", "")
    try:
        people.change_person(user_of(request), row, role=role, version=sent_version(request.POST.get("version", "")))
    except ValidationError as error:
        messages.error(request, error.messages[0])
        return _page(request, row, 422)
    except Refused as error:
        return _refused(request, row, error, role)
    messages.success(request, f"{row.get_username()} has the role {_named(row.role)} now.")
    return redirect("access:person", pk)


def _refused(request: HttpRequest, row: User, error: Refused, role: str = "") -> HttpResponse:
    """The page as it is now, with what was chosen; a person who is gone is missed on the list of people."""
    messages.error(request, error.message)
    now = people.list_people().filter(pk=row.pk).first()
    return _page(request, now, error.status, role) if now else redirect("access:people")


def _page(request: HttpRequest, row: User, status: int = 200, role: str = "") -> HttpResponse:
    """`role` is the one that was chosen and not saved."""
    made = one_time_value.take(request, "password")
    context = {
        "person": row,
        "seen_at": people.seen_at(row),
        "roles": _roles(),
        "role": role or row.role,
        "is_self": row.pk == user_of(request).pk,
        "made": made.split("\n", 1) if made else None,
    }
    return render(request, "accounts/person.html", {**context, **_NAV}, status=status)


@require_POST
@needs(May.ADMIN)
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    row, is_active = get_object_or_404(User, pk=pk), request.POST.get("active") == "on"
    words = "can sign in again" if is_active else "is switched off: signed out everywhere, tokens refused"
    return _act(request, row, f"{row.get_username()} {words}.", is_active=is_active)


@require_POST
@needs(May.ADMIN)
def reset_password(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(User, pk=pk)
    try:
        sent = sent_version(request.POST.get("version", ""))
        _keep_password(request, row, people.reset_password(user_of(request), row, version=sent))
    except Refused as error:
        return _refused(request, row, error)
    return redirect("access:person", pk)


@require_POST
@needs(May.ADMIN)
def end_sessions(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(User, pk=pk)
    try:
        people.end_sessions(user_of(request), row)
        messages.success(request, f"{row.get_username()} is signed out everywhere.")
    except Refused as error:
        messages.error(request, error.message)
    return redirect("access:person", pk)


@require_POST
@needs(May.ADMIN)
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(User, pk=pk)
    try:
        people.delete_person(user_of(request), row, sent_version(request.POST.get("version", "")))
    except ChangedMeanwhile as error:
        return _refused(request, row, error)
    except Refused as error:
        messages.error(request, error.message)
        return redirect("access:person", pk)
    messages.success(request, f"{row.get_username()} is deleted.")
    return redirect("access:people")


_NAV = {"nav": "access", "tab": "people"}


def _act(request: HttpRequest, row: User, done: str, **changes: Any) -> HttpResponse:
    try:
        sent = sent_version(request.POST.get("version", ""))
        people.change_person(user_of(request), row, **changes, version=sent)
        messages.success(request, done)
    except Refused as error:
        return _refused(request, row, error)
    return redirect("access:person", row.pk)


@sensitive_variables("password")
def _keep_password(request: HttpRequest, row: User, password: str) -> None:
    """For the page after the redirect, once."""
    if password:
        one_time_value.keep(request, "password", f"{row.get_username()}\n{password}")


def _take(form: PersonForm, error: ValidationError | Refused) -> None:
    found = error.fields if isinstance(error, Refused) else error.message_dict
    for name, texts in (found or {"username": [str(error)]}).items():
        for text in texts:
            form.add_error(name if name in form.fields else None, text)


def _roles() -> list[dict[str, str]]:
    return [{"value": role.value, "label": str(role.label), "duty": DUTIES[role]} for role in Role]


def _named(role: str) -> str:
    return str(Role(role).label)
