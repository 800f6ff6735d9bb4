"""Finds runs for requests, among those that the user sees."""

from uuid import UUID

from django.db.models import QuerySet

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import check_can
from cronium_admin.core.errors import ApiError
from cronium_admin.images.models import ImageVersion
from cronium_admin.runs.job_health import GOOD, UNCOUNTED_TRIGGERS
from cronium_admin.runs.models import BUILD_TRIGGER, LIVE, Run

SEARCHED_RUNS = 500  # before a run, for the last success
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


def find_last_success(run: Run) -> Run | None:
    """The last success before `run` of the same job, with its revision, among the SEARCHED_RUNS runs before it.

    None for a run of a deleted job and for a build.
    """
    if run.job_id is None or run.trigger == BUILD_TRIGGER:
        return None
    before = Run.objects.filter(job=run.job_id, number__lt=run.number, number__gte=run.number - SEARCHED_RUNS)
    counted = before.filter(status__in=GOOD).exclude(trigger__in=UNCOUNTED_TRIGGERS)
    good = counted.select_related("revision").defer("output", "sandbox")
    return good.order_by("-number").first()


def find_numbered_run(run: Run, number: str) -> Run | None:
    """The run of the same job with this number. None for a text that is no number of a run."""
    if run.job_id is None or not number.isascii() or not number.isdecimal() or len(number) > 9:
        return None
    return Run.objects.filter(job=run.job_id, number=int(number)).only("number", "job_slug").first()


def find_compared_runs(user: User, first: UUID, second: UUID) -> tuple[Run, Run]:
    """Both runs with all that `comparison` reads, the older one first. Raises ApiError: 404 if the user does not see
    one of them, 422 if they are the same run."""
    runs = Run.objects.visible_to(user).select_related("job", "created_by", "revision__script").defer(*_LONG)
    found = {run.pk: run for run in runs.filter(pk__in={first, second})}
    for run_id in (first, second):
        if run_id not in found:
            raise make_missing_error(run_id)
    if first == second:
        raise ApiError(422, "same_run", "This is the same run twice. Name another run to compare it with.")
    a, b = sorted((found[first], found[second]), key=lambda run: (run.created_at, run.pk))
    return a, b


def find_receipt_run(user: User, run_id: UUID) -> Run:
    """With all that a receipt reads. Raises ApiError 404 if the user sees no such run."""
    related = ("job", "created_by", "revision__script", "sandbox_table")
    long = ("job__script", "job__env", "job__input")
    run = Run.objects.visible_to(user).select_related(*related).defer(*long).filter(pk=run_id).first()
    if run is None:
        raise make_missing_error(run_id)
    return run


def parse_run_id(text: str) -> UUID:
    """Raises ApiError 404 for a text that is no id."""
    try:
        return UUID(text)
    except ValueError:
        raise ApiError(404, "not_found", "There is no such run.") from None


def make_missing_error(run_id: UUID) -> ApiError:
    return ApiError(404, "not_found", f"There is no run {run_id}.")


def select_live_runs(user: User) -> "QuerySet[Run]":
    return Run.objects.visible_to(user).filter(status__in=LIVE)


def find_project_id(run_id: UUID) -> int | None:
    return Run.objects.filter(pk=run_id).values_list("project_id", flat=True).first()
