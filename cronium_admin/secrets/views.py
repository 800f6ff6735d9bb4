"""The Secrets page: names and the jobs that use them; administrators store, replace and delete secrets in place."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import (
    Permissions,
    get_current_user,
    require_project_permission,
)
from cronium_admin.accounts.permissions import Permission, can_somewhere
from cronium_admin.accounts.projects import check_can
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.secrets.forms import SecretForm
from cronium_admin.secrets.service import (
    delete_secret,
    find_jobs_by_secret,
    find_secret,
    list_secrets_by_name,
    save_secret,
    select_secrets,
)

_NAMED_JOBS = 5  # jobs that a row names; further ones are only counted


@require_safe
@require_project_permission(Permission.VIEW)
def show_secrets(request: HttpRequest) -> HttpResponse:
    return _render_page(request)


@sensitive_post_parameters("value")
@require_POST
@require_project_permission(Permission.ADMIN)
def create_secret(request: HttpRequest) -> HttpResponse:
    form = SecretForm(request.POST)
    name = str(form["name"].value() or "").strip()
    if any(secret.name == name for secret in select_secrets(get_current_user(request), Permission.ADMIN)):
        form.add_error("name", f"There is a secret {name} already. Replace its value in the list below.")
    return _save_form(request, form, "new")


@sensitive_post_parameters("value")
@require_POST
@require_project_permission(Permission.ADMIN)
def replace_secret(request: HttpRequest, name: str) -> HttpResponse:
    # If the secret was deleted, the values are shown in the form of a new secret
    _refuse_without_right(get_current_user(request), name)
    form = SecretForm({**request.POST.dict(), "name": name})
    if not any(secret.name == name for secret in select_secrets(get_current_user(request), Permission.ADMIN)):
        form.add_error("name", f"The secret {name} was deleted in the meantime. Store it again, with its value.")
        return _render_page(request, "new", form)
    return _save_form(request, form, name)


@require_POST
@require_project_permission(Permission.ADMIN)
def remove_secret(request: HttpRequest, name: str) -> HttpResponse:
    _refuse_without_right(get_current_user(request), name)
    try:
        delete_secret(name, get_current_user(request), parse_version(request.POST.get("version", "")))
        messages.success(request, f"The secret {name} is deleted.")
    except EditConflict as error:
        messages.error(request, error.message)
        return _render_page(request, status=409)
    except ApiError as error:
        messages.error(request, error.message)
    return redirect("secrets:list")


def _refuse_without_right(user: User, name: str) -> None:
    # Raises ApiError for a user who administers no project: 404 for a secret that the user does not see, else 403
    if not can_somewhere(user, Permission.ADMIN):
        check_can(user, Permission.ADMIN, find_secret(user, name))


@sensitive_variables("form")
def _save_form(request: HttpRequest, form: SecretForm, key: str) -> HttpResponse:
    if form.is_valid():
        try:
            version = 0 if key == "new" else parse_version(request.POST.get("version", ""))
            saved = save_secret(**form.cleaned_data, by=get_current_user(request), version=version)
        except EditConflict as error:
            if key == "new":  # another user stored it after the name was checked
                form.add_error("name", error.message)
                return _render_page(request, key, form)
            error.theirs = [("Description", error.stored.description or "none")]
            return _render_page(request, key, form, error)
        except ValidationError as error:
            form.add_error(None, error)
        except ApiError as error:
            form.add_error("name", error.message)
        else:
            messages.success(request, f"The secret {saved.secret.name} is saved. Its value can't be displayed again.")
            if saved.notes:
                messages.warning(request, f"About {saved.secret.name}: {'; '.join(saved.notes)}.")
            return redirect("secrets:list")
    return _render_page(request, key, form)


def _render_page(
    request: HttpRequest,
    wrong: str = "",
    form: SecretForm | None = None,
    conflict: EditConflict | None = None,
    status: int = 200,
) -> HttpResponse:
    # All rows. `wrong` names the row whose form is shown again, "new" the form of a new secret.
    users, sent = find_jobs_by_secret(), parse_version(request.POST.get("version", ""))
    rows: list[dict[str, Any]] = []
    user = get_current_user(request)
    for secret in list_secrets_by_name(user):
        jobs = users.get((secret.project_id, secret.name), [])
        is_wrong = wrong == secret.name and wrong != "new"
        known = SecretForm(initial={"name": secret.name, "description": secret.description})
        more = max(0, len(jobs) - _NAMED_JOBS)
        row = {"secret": secret, "jobs": jobs[:_NAMED_JOBS], "more_jobs": more}
        row["can"] = Permissions(user, secret)
        row["conflict"] = conflict if is_wrong else None
        # A form with errors keeps the version that it was opened with.
        row["version"] = sent if is_wrong and not conflict and sent is not None else secret.version
        rows.append({**row, "form": form if is_wrong else known, "open": is_wrong})
    new = form if wrong == "new" else SecretForm()
    context: dict[str, Any] = {"rows": rows, "new": new, "new_open": wrong == "new", "nav": "secrets"}
    context |= {"can": Permissions(user)}
    return render(request, "secrets/list.html", context, status=409 if conflict else 422 if wrong else status)
