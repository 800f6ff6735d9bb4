"""The Secrets page: names and who uses them for all; an administrator stores, replaces and deletes in place."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.page_permissions import needs, user_of
from cronium_admin.accounts.permissions import May
from cronium_admin.core.edit_versions import ChangedMeanwhile, sent_version
from cronium_admin.core.errors import Refused
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
    """Of a secret that is gone the form comes back as one for a new secret."""
    form = SecretForm({**request.POST.dict(), "name": name})
    if not any(secret.name == name for secret in all_secrets()):
        form.add_error("name", f"The secret {name} was deleted in the meantime. Store it again, with its value.")
        return _page(request, "new", form)
    return _save(request, form, name)


@require_POST
@needs(May.ADMIN)
def delete(request: HttpRequest, name: str) -> HttpResponse:
    try:
        delete_secret(name, sent_version(request.POST.get("version", "")))
        messages.success(request, f"The secret {name} is deleted.")
    except ChangedMeanwhile as error:
        messages.error(request, error.message)
        return _page(request, status=409)
    except Refused as error:
        messages.error(request, error.message)
    return redirect("secrets:list")


@sensitive_variables("form")
def _save(request: HttpRequest, form: SecretForm, key: str) -> HttpResponse:
    if form.is_valid():
        try:
            version = 0 if key == "new" else sent_version(request.POST.get("version", ""))
            saved = save_secret(**form.cleaned_data, by=user_of(request), version=version)
        except ChangedMeanwhile as error:
            if key == "new":  # stored by another person since the name was looked up
                form.add_error("name", error.message)
                return _page(request, key, form)
            error.theirs = [("Description", error.stored.description or "none")]
            return _page(request, key, form, error)
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


def _page(
    request: HttpRequest,
    wrong: str = "",
    form: SecretForm | None = None,
    conflict: ChangedMeanwhile | None = None,
    status: int = 200,
) -> HttpResponse:
    """All rows; `wrong` is the one whose form came back with errors, "new" the one for another secret."""
    users, sent = users_of(), sent_version(request.POST.get("version", ""))
    rows: list[dict[str, Any]] = []
    for secret in secrets_by_name():
        jobs = users.get(secret.name, [])
        is_wrong = wrong == secret.name and wrong != "new"
        known = SecretForm(initial={"name": secret.name, "description": secret.description})
        more = max(0, len(jobs) - _NAMED_JOBS)
        row = {"secret": secret, "jobs": jobs[:_NAMED_JOBS], "more_jobs": more}
        row["conflict"] = conflict if is_wrong else None
        # A form that came back with errors is of the version that it was opened with.
        row["version"] = sent if is_wrong and not conflict and sent is not None else secret.version
        rows.append({**row, "form": form if is_wrong else known, "open": is_wrong})
    new = form if wrong == "new" else SecretForm()
    context = {"rows": rows, "new": new, "new_open": wrong == "new", "nav": "secrets"}
    return render(request, "secrets/list.html", context, status=409 if conflict else 422 if wrong else status)
