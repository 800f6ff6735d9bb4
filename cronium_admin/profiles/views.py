"""The Profiles page: a card per profile; administrators edit, add and delete profiles in place."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.profiles.forms import ProfileForm
from cronium_admin.profiles.limits import CPU, LOG_LIMIT_MB, MEMORY_MB, PIDS, default_log_limit_mb
from cronium_admin.profiles.models import DEFAULT_PROFILE, Profile
from cronium_admin.profiles.service import (
    add_profile,
    delete_profile,
    list_profiles,
    list_profiles_with_use,
    save_profile,
)

_NAMED_JOBS = 5  # jobs that a card names; further ones are only counted


@require_safe
@require_permission(Permission.VIEW)
def show_profiles(request: HttpRequest) -> HttpResponse:
    return _render_page(request)


@require_POST
@require_permission(Permission.ADMIN)
def create_profile(request: HttpRequest) -> HttpResponse:
    return _save_form(request, None)


@require_POST
@require_permission(Permission.ADMIN)
def edit_profile(request: HttpRequest, name: str) -> HttpResponse:
    # If the profile was deleted, the values are shown in the form of a new profile
    profile = list_profiles().filter(name=name).first()
    if profile is None:
        form = ProfileForm(request.POST)
        form.add_error("name", f"The profile {name} was deleted in the meantime. Save to create it again.")
        return _render_page(request, "new", form)
    return _save_form(request, profile)


@require_POST
@require_permission(Permission.ADMIN)
def remove_profile(request: HttpRequest, name: str) -> HttpResponse:
    profile = get_object_or_404(list_profiles(), name=name)
    try:
        delete_profile(profile, parse_version(request.POST.get("version", "")))
        messages.success(request, f"The profile {name} is deleted.")
    except EditConflict as error:
        messages.error(request, error.message)
        return _render_page(request, status=409)
    except ApiError as error:
        messages.error(request, error.message)
    return redirect("profiles:list")


def _save_form(request: HttpRequest, profile: Profile | None) -> HttpResponse:
    form, key, by = ProfileForm(request.POST), profile.name if profile else "new", get_current_user(request)
    if form.is_valid():
        values, version = form.cleaned_data, parse_version(request.POST.get("version", ""))
        try:
            saved = save_profile(profile, values, by, version) if profile else add_profile(values, by)
        except EditConflict as error:
            labels = [(name, str(field.label)) for name, field in form.fields.items()]
            stored = [
                (label, getattr(error.stored, name)) for name, label in labels if _is_different(error, name, form)
            ]
            error.theirs = [(label, "not set" if value in (None, "") else str(value)) for label, value in stored]
            return _render_page(request, key, form, error)
        except ValidationError as error:
            form.add_error(None, error)
        except ApiError as error:
            form.add_error("name", error.message)
        else:
            messages.success(request, f"The profile {saved.name} is saved. It applies to new runs.")
            return redirect("profiles:list")
    return _render_page(request, key, form)


def _is_different(error: EditConflict, name: str, form: ProfileForm) -> bool:
    return bool(getattr(error.stored, name) != form.cleaned_data[name])


def _render_page(
    request: HttpRequest,
    wrong: str = "",
    form: ProfileForm | None = None,
    conflict: EditConflict | None = None,
    status: int = 200,
) -> HttpResponse:
    # All cards. `wrong` names the card whose form is shown again: with errors, or with a conflicting stored version.
    sent = parse_version(request.POST.get("version", ""))
    # `jobs` is a higher layer, so its model is reached through the relation.
    model: Any = Profile._meta.get_field("jobs").related_model
    jobs = model.objects.visible_to(get_current_user(request)).only("pk", "name", "slug", "profile_id")
    cards: list[dict[str, Any]] = []
    for profile in list_profiles_with_use().prefetch_related(Prefetch("jobs", queryset=jobs)):
        used_by = list(profile.jobs.all())
        is_wrong = wrong == profile.name
        cards.append(
            {
                "profile": profile,
                "form": form if is_wrong else ProfileForm.from_profile(profile),
                "open": is_wrong,
                "conflict": conflict if is_wrong else None,
                # A form with errors keeps the version that it was opened with.
                "version": sent if is_wrong and not conflict and sent is not None else profile.version,
                "jobs": used_by[:_NAMED_JOBS],
                "job_count": len(used_by),
                "more_jobs": max(0, len(used_by) - _NAMED_JOBS),
                "is_default": profile.name == DEFAULT_PROFILE,
                "above": [b for b in (CPU, MEMORY_MB, PIDS) if getattr(profile, b.field) > b.high],
            }
        )
    ceilings = {bound.field: bound for bound in (CPU, MEMORY_MB, PIDS, LOG_LIMIT_MB)}
    context = {
        "cards": cards,
        "new": form if wrong == "new" else ProfileForm.from_profile(None),
        "new_open": wrong == "new",
        "ceilings": ceilings,
        "log_default": default_log_limit_mb(),
        "log_cap": settings.CONFIG.log_limit_mb,
        "nav": "profiles",
    }
    return render(request, "profiles/list.html", context, status=409 if conflict else 422 if wrong else status)
