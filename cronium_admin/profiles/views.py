"""The Profiles page: cards against the ceilings; an administrator edits, adds and deletes them in place."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.access.guard import needs
from cronium_admin.access.roles import May
from cronium_admin.errors import Refused
from cronium_admin.profiles.forms import ProfileForm
from cronium_admin.profiles.limits import CPU, LOG_LIMIT_MB, MEMORY_MB, PIDS, default_log_limit_mb
from cronium_admin.profiles.models import DEFAULT_PROFILE, Profile
from cronium_admin.profiles.service import delete_profile, profiles_with_use, save_profile

_NAMED_JOBS = 5  # jobs a card names; the rest is counted


@require_safe
@needs(May.SEE)
def profiles(request: HttpRequest) -> HttpResponse:
    return _page(request)


@require_POST
@needs(May.ADMIN)
def create(request: HttpRequest) -> HttpResponse:
    return _save(request, Profile(), "new")


@require_POST
@needs(May.ADMIN)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    profile = get_object_or_404(Profile, name=name)
    return _save(request, profile, profile.name)


@require_POST
@needs(May.ADMIN)
def delete(request: HttpRequest, name: str) -> HttpResponse:
    profile = get_object_or_404(Profile, name=name)
    try:
        delete_profile(profile)
        messages.success(request, f"The profile {name} is deleted.")
    except Refused as error:
        messages.error(request, error.message)
    return redirect("profiles:list")


def _save(request: HttpRequest, profile: Profile, key: str) -> HttpResponse:
    form = ProfileForm(request.POST)
    if form.is_valid():
        try:
            save_profile(profile, form.cleaned_data)
        except ValidationError as error:
            form.add_error(None, error)
        except Refused as error:
            form.add_error("name", error.message)
        else:
            messages.success(request, f"The profile {profile.name} is saved; it applies from the next run on.")
            return redirect("profiles:list")
    return _page(request, key, form)


def _page(request: HttpRequest, wrong: str = "", form: ProfileForm | None = None) -> HttpResponse:
    """All cards; `wrong` is the one whose form came back with errors."""
    # The room of jobs is above this one: its model is reached through the relation it made.
    model: Any = Profile._meta.get_field("jobs").related_model
    jobs = model.objects.only("pk", "name", "slug", "profile_id")
    cards: list[dict[str, Any]] = []
    for profile in profiles_with_use().prefetch_related(Prefetch("jobs", queryset=jobs)):
        used_by = list(profile.jobs.all())
        is_wrong = wrong == profile.name
        cards.append(
            {
                "profile": profile,
                "form": form if is_wrong else ProfileForm.of(profile),
                "open": is_wrong,
                "jobs": used_by[:_NAMED_JOBS],
                "job_count": len(used_by),
                "more_jobs": max(0, len(used_by) - _NAMED_JOBS),
                "is_default": profile.name == DEFAULT_PROFILE,
            }
        )
    ceilings = {bound.field: bound for bound in (CPU, MEMORY_MB, PIDS, LOG_LIMIT_MB)}
    context = {
        "cards": cards,
        "new": form if wrong == "new" else ProfileForm.of(None),
        "new_open": wrong == "new",
        "ceilings": ceilings,
        "log_default": default_log_limit_mb(),
        "log_cap": settings.CONFIG.log_limit_mb,
        "nav": "profiles",
    }
    return render(request, "profiles/list.html", context, status=422 if wrong else 200)
