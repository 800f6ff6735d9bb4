"""The Profiles page: cards against the ceilings; an administrator edits, adds and deletes them in place."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.page_permissions import needs, user_of
from cronium_admin.accounts.permissions import May
from cronium_admin.core.edit_versions import ChangedMeanwhile, sent_version
from cronium_admin.core.errors import Refused
from cronium_admin.profiles.forms import ProfileForm
from cronium_admin.profiles.limits import CPU, LOG_LIMIT_MB, MEMORY_MB, PIDS, default_log_limit_mb
from cronium_admin.profiles.models import DEFAULT_PROFILE, Profile
from cronium_admin.profiles.service import add_profile, delete_profile, profiles_with_use, save_profile

_NAMED_JOBS = 5  # jobs a card names; the rest is counted


@require_safe
@needs(May.SEE)
def profiles(request: HttpRequest) -> HttpResponse:
    return _page(request)


@require_POST
@needs(May.ADMIN)
def create(request: HttpRequest) -> HttpResponse:
    return _save(request, None)


@require_POST
@needs(May.ADMIN)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Of a profile that is gone the form comes back as one for a new profile."""
    profile = Profile.objects.filter(name=name).first()
    if profile is None:
        form = ProfileForm(request.POST)
        form.add_error("name", f"The profile {name} was deleted in the meantime. Save to make it again.")
        return _page(request, "new", form)
    return _save(request, profile)


@require_POST
@needs(May.ADMIN)
def delete(request: HttpRequest, name: str) -> HttpResponse:
    profile = get_object_or_404(Profile, name=name)
    try:
        delete_profile(profile, sent_version(request.POST.get("version", "")))
        messages.success(request, f"The profile {name} is deleted.")
    except ChangedMeanwhile as error:
        messages.error(request, error.message)
        return _page(request, status=409)
    except Refused as error:
        messages.error(request, error.message)
    return redirect("profiles:list")


def _save(request: HttpRequest, profile: Profile | None) -> HttpResponse:
    """`profile` is None for a new one."""
    form, key, by = ProfileForm(request.POST), profile.name if profile else "new", user_of(request)
    if form.is_valid():
        values, version = form.cleaned_data, sent_version(request.POST.get("version", ""))
        try:
            saved = save_profile(profile, values, by, version) if profile else add_profile(values, by)
        except ChangedMeanwhile as error:
            labels = [(name, str(field.label)) for name, field in form.fields.items()]
            theirs = [(label, getattr(error.stored, name)) for name, label in labels if _differs(error, name, form)]
            error.theirs = [(label, "not set" if value in (None, "") else str(value)) for label, value in theirs]
            return _page(request, key, form, error)
        except ValidationError as error:
            form.add_error(None, error)
        except Refused as error:
            form.add_error("name", error.message)
        else:
            messages.success(request, f"The profile {saved.name} is saved; it applies from the next run on.")
            return redirect("profiles:list")
    return _page(request, key, form)


def _differs(error: ChangedMeanwhile, name: str, form: ProfileForm) -> bool:
    return bool(getattr(error.stored, name) != form.cleaned_data[name])


def _page(
    request: HttpRequest,
    wrong: str = "",
    form: ProfileForm | None = None,
    conflict: ChangedMeanwhile | None = None,
    status: int = 200,
) -> HttpResponse:
    """All cards; `wrong` is the one whose form came back: with errors, or with what another person saved."""
    sent = sent_version(request.POST.get("version", ""))
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
                "conflict": conflict if is_wrong else None,
                # A form that came back with errors is of the version that it was opened with.
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
        "new": form if wrong == "new" else ProfileForm.of(None),
        "new_open": wrong == "new",
        "ceilings": ceilings,
        "log_default": default_log_limit_mb(),
        "log_cap": settings.CONFIG.log_limit_mb,
        "nav": "profiles",
    }
    return render(request, "profiles/list.html", context, status=409 if conflict else 422 if wrong else status)
