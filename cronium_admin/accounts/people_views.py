"""The pages People and of one user, for administrators."""

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
from cronium_admin.accounts.page_permissions import get_current_user, require_permission
from cronium_admin.accounts.permissions import ROLE_DESCRIPTIONS, Permission, Role
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError


@require_safe
@never_cache
@require_permission(Permission.ADMIN)
def list_people(request: HttpRequest) -> HttpResponse:
    rows = [{"person": person, "seen_at": people.get_last_seen(person)} for person in people.list_people_by_name()]
    stored = one_time_value.pop_value(request, "password")
    return render(
        request, "accounts/people.html", {"rows": rows, "made": stored.split("\n", 1) if stored else None, **_NAV}
    )


@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
@require_permission(Permission.ADMIN)
def add_person(request: HttpRequest) -> HttpResponse:
    form = PersonForm(request.POST or None, initial={"role": Role.VIEWER})
    if request.method == "POST" and form.is_valid():
        try:
            person, password = people.add_person(get_current_user(request), **form.cleaned_data)
        except (ValidationError, ApiError) as error:
            _add_errors(form, error)
        else:
            _store_password_once(request, person, password)
            messages.success(request, f"{person.get_username()} is added as {_get_role_label(person.role)}.")
            return redirect("access:people")
    status = 422 if form.errors else 200
    return render(request, "accounts/person_new.html", {"form": form, "roles": _list_roles(), **_NAV}, status=status)


@require_http_methods(["GET", "POST"])
@never_cache
@require_permission(Permission.ADMIN)
def show_person(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(people.list_people(), pk=pk)
    if request.method != "POST":
        return _render_person(request, row)
    role = request.POST.get("role", "")
    try:
        people.change_person(
            get_current_user(request), row, role=role, version=parse_version(request.POST.get("version", ""))
        )
    except ValidationError as error:
        messages.error(request, error.messages[0])
        return _render_person(request, row, 422)
    except ApiError as error:
        return _render_refusal(request, row, error, role)
    messages.success(request, f"{row.get_username()} has the role {_get_role_label(row.role)} now.")
    return redirect("access:person", pk)


def _render_refusal(request: HttpRequest, row: User, error: ApiError, role: str = "") -> HttpResponse:
    messages.error(request, error.message)
    now = people.list_people().filter(pk=row.pk).first()
    return _render_person(request, now, error.status, role) if now else redirect("access:people")


def _render_person(request: HttpRequest, row: User, status: int = 200, role: str = "") -> HttpResponse:
    # `role` is the role that was submitted and not saved
    stored = one_time_value.pop_value(request, "password")
    context = {
        "person": row,
        "seen_at": people.get_last_seen(row),
        "roles": _list_roles(),
        "role": role or row.role,
        "is_self": row.pk == get_current_user(request).pk,
        "made": stored.split("\n", 1) if stored else None,
    }
    return render(request, "accounts/person.html", {**context, **_NAV}, status=status)


@require_POST
@require_permission(Permission.ADMIN)
def set_active(request: HttpRequest, pk: int) -> HttpResponse:
    row, is_active = get_object_or_404(people.select_people(), pk=pk), request.POST.get("active") == "on"
    result = "can sign in again" if is_active else "is switched off: signed out everywhere, tokens refused"
    return _change_person(request, row, f"{row.get_username()} {result}.", is_active=is_active)


@require_POST
@require_permission(Permission.ADMIN)
def reset_password(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(people.select_people(), pk=pk)
    try:
        sent = parse_version(request.POST.get("version", ""))
        _store_password_once(request, row, people.reset_password(get_current_user(request), row, version=sent))
    except ApiError as error:
        return _render_refusal(request, row, error)
    return redirect("access:person", pk)


@require_POST
@require_permission(Permission.ADMIN)
def end_sessions(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(people.select_people(), pk=pk)
    try:
        people.end_sessions(get_current_user(request), row)
        messages.success(request, f"{row.get_username()} is signed out everywhere.")
    except ApiError as error:
        messages.error(request, error.message)
    return redirect("access:person", pk)


@require_POST
@require_permission(Permission.ADMIN)
def delete_person(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(people.select_people(), pk=pk)
    try:
        people.delete_person(get_current_user(request), row, parse_version(request.POST.get("version", "")))
    except EditConflict as error:
        return _render_refusal(request, row, error)
    except ApiError as error:
        messages.error(request, error.message)
        return redirect("access:person", pk)
    messages.success(request, f"{row.get_username()} is deleted.")
    return redirect("access:people")


_NAV = {"nav": "access", "tab": "people"}


def _change_person(request: HttpRequest, row: User, success: str, **changes: Any) -> HttpResponse:
    try:
        sent = parse_version(request.POST.get("version", ""))
        people.change_person(get_current_user(request), row, **changes, version=sent)
        messages.success(request, success)
    except ApiError as error:
        return _render_refusal(request, row, error)
    return redirect("access:person", row.pk)


@sensitive_variables("password")
def _store_password_once(request: HttpRequest, row: User, password: str) -> None:
    if password:
        one_time_value.store_value(request, "password", f"{row.get_username()}\n{password}")


def _add_errors(form: PersonForm, error: ValidationError | ApiError) -> None:
    errors = error.fields if isinstance(error, ApiError) else error.message_dict
    for name, texts in (errors or {"username": [str(error)]}).items():
        for text in texts:
            form.add_error(name if name in form.fields else None, text)


def _list_roles() -> list[dict[str, str]]:
    return [{"value": role.value, "label": str(role.label), "duty": ROLE_DESCRIPTIONS[role]} for role in Role]


def _get_role_label(role: str) -> str:
    return str(Role(role).label)
