"""Creates, changes and deletes resource profiles, for the API and the pages alike."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Count, ProtectedError, QuerySet

from cronium_admin.errors import Refused
from cronium_admin.profiles.models import DEFAULT_PROFILE, Profile

LIMITS = ("cpu", "memory_mb", "pids")
RESERVED_NAMES = frozenset({"new"})  # the page that makes a profile has this address


def profiles_with_use() -> QuerySet[Profile, Any]:
    """All profiles, smallest first, each with `job_count`: how many jobs use it."""
    # Grouping drops the model's own order.
    return Profile.objects.annotate(job_count=Count("jobs")).order_by("memory_mb", "cpu", "name")


def find_profile(name: str) -> Profile:
    profile = Profile.objects.filter(name=name).first()
    if profile is None:
        raise Refused(404, "not_found", f"There is no profile {name[:40]!r}.")
    return profile


def save_profile(profile: Profile, data: Mapping[str, Any]) -> Profile:
    """Set `data` (values by field) and store; ValidationError by field. New or known."""
    for field, value in data.items():
        setattr(profile, field, value)
    if profile.pk and Profile.objects.filter(pk=profile.pk, name=DEFAULT_PROFILE).exclude(name=profile.name).exists():
        raise Refused(409, "profile_is_default", f"The profile {DEFAULT_PROFILE} is the default and keeps its name.")
    if profile.name in RESERVED_NAMES:
        raise ValidationError({"name": f"The name {profile.name!r} is taken by the dashboard itself."})
    profile.full_clean(validate_constraints=False)  # its validators say the same, and ask no database
    try:
        with transaction.atomic():
            profile.save()
    except IntegrityError:
        taken = f"There is already a profile {profile.name!r}."
        raise Refused(409, "name_taken", taken, {"name": [taken]}) from None
    return profile


def delete_profile(profile: Profile) -> None:
    """Delete a profile that no job uses; the default one stays."""
    if profile.name == DEFAULT_PROFILE:
        raise Refused(409, "profile_is_default", f"The profile {DEFAULT_PROFILE} is the default and can't be deleted.")
    try:
        profile.delete()
    except ProtectedError:
        slugs = list(profile.jobs.order_by("slug").values_list("slug", flat=True)[:4])
        named = ", ".join(slugs[:3]) + (" and others" if len(slugs) > 3 else "")
        raise Refused(
            409, "profile_in_use", f"The profile {profile.name} is used by {named}. Give them another profile first."
        ) from None
