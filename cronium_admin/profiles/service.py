"""Creates, changes and deletes resource profiles, for the API and the pages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Count, ProtectedError, QuerySet

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import HasProject, Permission, can
from cronium_admin.accounts.retired_versions import first_version, retire_version
from cronium_admin.core.edit_versions import check_deletion, check_version, write_edit
from cronium_admin.core.errors import ApiError
from cronium_admin.core.form_errors import translated_errors
from cronium_admin.profiles.models import DEFAULT_PROFILE, Profile

KIND = "profile"
LIMITS = ("cpu", "memory_mb", "pids")
RESERVED_NAMES = frozenset({"new"})  # "new" is the URL of the page that creates a profile


def list_profiles_with_use() -> QuerySet[Profile, Any]:
    # The GROUP BY drops the model's ordering.
    return Profile.objects.annotate(job_count=Count("jobs")).order_by("memory_mb", "cpu", "name")


def list_profiles() -> QuerySet[Profile, Any]:
    return Profile.objects.all()


def list_launch_profiles(own: Profile, by: User, job: HasProject) -> QuerySet[Profile, Any]:
    """The profiles that `by` may choose for a launch of `job`, which has the profile `own`.

    Without the permission to edit, the runtime must be the same, because it isolates the script.
    """
    return Profile.objects.all() if can(by, Permission.EDIT, job) else Profile.objects.filter(runtime=own.runtime)


def find_profile(name: str) -> Profile:
    profile = Profile.objects.filter(name=name).first()
    if profile is None:
        raise ApiError(404, "not_found", f"There is no profile {name[:40]!r}.")
    return profile


def add_profile(data: Mapping[str, Any], by: User) -> Profile:
    """Raises ValidationError by field, and ApiError 409 if the name is taken."""
    profile = Profile(updated_by=by)
    _apply_fields(profile, data)
    profile.version = first_version(KIND, profile.name)
    with _refuse_taken_name(profile):
        profile.save(force_insert=True)
    return profile


def save_profile(profile: Profile, data: Mapping[str, Any], by: User, version: int | None = None) -> Profile:
    """Writes `data` over the stored profile; other fields keep their values. Returns the stored profile: use it.

    With `version`, only if that is still the profile's version; else raises ChangedMeanwhile. Raises the errors of
    `add_profile`.
    """
    with transaction.atomic():
        rows = Profile.objects.select_for_update(of=("self",)).select_related("updated_by")
        stored = rows.filter(pk=profile.pk).first()
        if stored is None:
            raise ApiError(404, "not_found", f"The profile {profile.name} was deleted in the meantime.")
        check_version(stored, version)
        if stored.name == DEFAULT_PROFILE != data.get("name", DEFAULT_PROFILE):
            text = f"The profile {DEFAULT_PROFILE} is the default and can't be renamed."
            raise ApiError(409, "profile_is_default", text)
        before = {field: getattr(stored, field) for field in data}
        _apply_fields(stored, data)
        changes = {field: getattr(stored, field) for field in data if getattr(stored, field) != before[field]}
        if changes:
            if "name" in changes:
                retire_version(KIND, before["name"], stored.version)
                changes["version"] = first_version(KIND, stored.name)
            with _refuse_taken_name(stored):
                write_edit(stored, changes, by)
        return stored


def _apply_fields(profile: Profile, data: Mapping[str, Any]) -> None:
    for field, value in data.items():
        setattr(profile, field, value)
    if profile.name in RESERVED_NAMES:
        raise ValidationError({"name": f"The name {profile.name!r} is reserved."})
    with translated_errors():
        profile.full_clean(exclude=["updated_by"], validate_constraints=False)  # the validators check the same


@contextmanager
def _refuse_taken_name(profile: Profile) -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        taken = f"There is a profile {profile.name!r} already."
        raise ApiError(409, "name_taken", taken, {"name": [taken]}) from None


def delete_profile(profile: Profile, version: int | None = None) -> None:
    """Deletes a profile that no job uses. The default profile can't be deleted. `version` as in `save_profile`."""
    if profile.name == DEFAULT_PROFILE:
        raise ApiError(409, "profile_is_default", f"The profile {DEFAULT_PROFILE} is the default and can't be deleted.")
    try:
        with transaction.atomic():
            rows = Profile.objects.select_for_update(of=("self",)).select_related("updated_by")
            stored = rows.filter(pk=profile.pk).first()
            if stored is None:
                raise ApiError(404, "not_found", f"The profile {profile.name} was deleted in the meantime.")
            check_deletion(stored, version)
            retire_version(KIND, stored.name, stored.version)
            stored.delete()
    except ProtectedError:
        slugs = list(profile.jobs.order_by("slug").values_list("slug", flat=True)[:4])
        named = ", ".join(slugs[:3]) + (" and others" if len(slugs) > 3 else "")
        raise ApiError(
            409,
            "profile_in_use",
            f"The profile {profile.name} is used by {named}. Choose another profile for them first.",
        ) from None
