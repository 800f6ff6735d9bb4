"""Finds runs for requests, among those that the user sees."""

from uuid import UUID

from django.db.models import QuerySet

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import check_can
from cronium_admin.core.errors import ApiError
from cronium_admin.images.models import ImageVersion
from cronium_admin.runs.models import BUILD_TRIGGER, LIVE, Run

_LONG = ("job__script", "job__env", "job__input", "sandbox")


def find_run(user: User, run_id: UUID, permission: Permission = Permission.VIEW, *related: str) -> Run:
    """With its job and author; joins `related` too. Raises ApiError: 404 if the user sees no such run, 403 without
    `permission` on it."""
    runs = Run.objects.visible_to(user).select_related("job", "created_by", *related).defer(*_LONG)
    run = runs.filter(pk=run_id).first()
    if run is None:
        raise make_missing_error(run_id)
    check_can(user, permission, run)
    return run


def find_built_version(run: Run) -> ImageVersion | None:
    """The version of a custom image that the run builds, with its image. None for other runs, without a query."""
    if run.trigger != BUILD_TRIGGER:
        return None
    return (
        ImageVersion.objects.select_related("image")
        .only("number", "status", "image__name")
        .filter(run_id=run.pk)
        .first()
    )


def make_missing_error(run_id: UUID) -> ApiError:
    return ApiError(404, "not_found", f"There is no run {run_id}.")


def select_live_runs(user: User) -> "QuerySet[Run]":
    return Run.objects.visible_to(user).filter(status__in=LIVE)


def find_project_id(run_id: UUID) -> int | None:
    return Run.objects.filter(pk=run_id).values_list("project_id", flat=True).first()
