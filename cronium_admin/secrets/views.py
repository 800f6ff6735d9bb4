"""The Secrets page: names and who uses them for all; an administrator stores, replaces and deletes in place."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.access.guard import needs, user_of
from cronium_admin.access.roles import May
from cronium_admin.errors import Refused
from cronium_admin.secrets.forms import SecretForm
from cronium_admin.secrets.service import all_secrets, delete_secret, save_secret, secrets_by_name, users_of

_NAMED_JOBS = 5  # jobs a row names; the rest is counted


@require_safe
@needs(May.SEE)
def secrets(request: HttpRequest) -> HttpResponse:
    return _page(request)


@sensitive_post_parameters("value")
@require_POST
@needs(May.ADMIN)
def create(request: HttpRequest) -> HttpResponse:
    form = SecretForm(request.POST)
    name = str(form["name"].value() or "").strip()
    if any(secret.name == name for secret in all_secrets()):
        form.add_error("name", f"There is a secret {name} already. Replace its value in the list.")
    return _save(request, form, "new")


@sensitive_post_parameters("value")
@require_POST
@needs(May.ADMIN)
def replace(request: HttpRequest, name: str) -> HttpResponse:
    if not any(secret.name == name for secret in all_secrets()):
        messages.error(request, f"The secret {name} was deleted in the meantime.")
        return redirect("secrets:list")
    return _save(request, SecretForm({**request.POST.dict(), "name": name}), name)


@require_POST
@needs(May.ADMIN)
def delete(request: HttpRequest, name: str) -> HttpResponse:
    try:
        delete_secret(name)
        messages.success(request, f"The secret {name} is deleted.")
    except Refused as error:
        messages.error(request, error.message)
    return redirect("secrets:list")


@sensitive_variables("form")
def _save(request: HttpRequest, form: SecretForm, key: str) -> HttpResponse:
    if form.is_valid():
        try:
            saved = save_secret(**form.cleaned_data, by=user_of(request))
        except ValidationError as error:
            form.add_error(None, error)
        except Refused as error:
            form.add_error("name", error.message)
        else:
            messages.success(request, f"The secret {saved.secret.name} is saved. Its value can't be shown again.")
            if saved.notes:
                messages.warning(request, f"About {saved.secret.name}: {'; '.join(saved.notes)}.")
            return redirect("secrets:list")
    return _page(request, key, form)


def _page(request: HttpRequest, wrong: str = "", form: SecretForm | None = None) -> HttpResponse:
    """All rows; `wrong` is the one whose form came back with errors, "new" the one for another secret."""
    users = users_of()
    rows: list[dict[str, Any]] = []
    for secret in secrets_by_name():
        jobs = users.get(secret.name, [])
        is_wrong = wrong == secret.name and wrong != "new"
        known = SecretForm(initial={"name": secret.name, "description": secret.description})
        more = max(0, len(jobs) - _NAMED_JOBS)
        row = {"secret": secret, "jobs": jobs[:_NAMED_JOBS], "more_jobs": more}
        rows.append({**row, "form": form if is_wrong else known, "open": is_wrong})
    new = form if wrong == "new" else SecretForm()
    context = {"rows": rows, "new": new, "new_open": wrong == "new", "nav": "secrets"}
    return render(request, "secrets/list.html", context, status=422 if wrong else 200)
