"""The page of a custom image: its recipe, its versions, and the build in progress."""

from dataclasses import asdict
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.image_builds import service
from cronium_admin.image_builds.versions import find_jobs_by_image
from cronium_admin.image_pages.build_rows import describe_recipe, list_contents
from cronium_admin.image_pages.build_steps import list_build_steps
from cronium_admin.image_pages.build_views import build_now
from cronium_admin.image_pages.version_rows import build_package_lists, build_version_rows, describe_checks, list_jobs
from cronium_admin.images.custom import CustomName
from cronium_admin.images.models import CustomImage, ImageVersion, VersionStatus
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.lookup import find_run
from cronium_admin.runs.models import BUILD_TRIGGER, Run
from cronium_admin.runs.presentation.log_panel import build_log_context
from cronium_admin.runs.presentation.reasons import describe_reason

PAGE_SIZE = 20


@require_safe
@require_project_permission(Permission.VIEW)
def show_image(request: HttpRequest, pk: int) -> HttpResponse:
    image = service.find_image_row(get_current_user(request), pk)
    latest = service.find_latest_versions([image]).get(image.pk)
    building = latest if latest and latest.status == VersionStatus.BUILDING else None
    context = _build_context(request, image, building.number if building else 0)
    if context["run"]:
        context |= build_log_context(context["run"])
    return render(request, "builds/image.html", context)


@require_safe
@require_project_permission(Permission.VIEW)
def render_image(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    # The parts of the page that a build changes; `number` is the version whose build the page shows, 0 for none.
    # 204 if nothing has changed since version `v`
    image = service.find_image_row(get_current_user(request), pk)
    context = _build_context(request, image, number)
    if context["version"] == request.GET.get("v"):
        return HttpResponse(status=204)
    return render(request, "builds/_live_image.html", context)


@require_safe
@require_project_permission(Permission.VIEW)
def render_run_steps(request: HttpRequest, pk: UUID) -> HttpResponse:
    # For the page of the run
    run = find_run(get_current_user(request), pk)
    if run.trigger != BUILD_TRIGGER:
        raise Http404
    return render(request, "builds/_run_steps.html", {"run": run, "steps": list_build_steps(run)})


@require_POST
@require_project_permission(Permission.EDIT)
def build_image(request: HttpRequest, pk: int) -> HttpResponse:
    return build_now(request, service.find_image_row(get_current_user(request), pk, Permission.EDIT))


@require_POST
@require_project_permission(Permission.EDIT)
def delete_image(request: HttpRequest, pk: int) -> HttpResponse:
    image = service.find_image_row(get_current_user(request), pk, Permission.EDIT)
    try:
        service.delete_image(image, parse_version(request.POST.get("version", "")))
    except ApiError as error:
        return _refuse_change(request, image, 0, error)
    messages.success(request, f"The image {image.name} is deleted. Hosts remove its versions.")
    return redirect("images:builds")


@require_POST
@require_project_permission(Permission.RUN)
def cancel_build(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    user = get_current_user(request)
    version = service.find_version(service.find_image_row(user, pk, Permission.RUN), number)
    try:
        cancel(find_run(user, version.run_id, Permission.RUN), user)
    except ApiError as error:
        if error.status == 403:
            raise
        messages.warning(request, error.message)
    return redirect("images:image", pk=pk)


@require_POST
@require_project_permission(Permission.EDIT)
def pin_version(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    user, is_pinned = get_current_user(request), request.POST.get("pinned") == "on"
    image, counter = service.find_image_row(user, pk, Permission.EDIT), parse_version(request.POST.get("version", ""))
    try:
        service.pin_version(image, number, user, is_pinned=is_pinned, counter=counter)
    except ApiError as error:
        return _refuse_change(request, image, number, error)
    text = "is pinned: it stays until it is unpinned" if is_pinned else "is no longer pinned"
    messages.success(request, f"Version {number} {text}.")
    return redirect("images:image", pk=pk)


@require_POST
@require_project_permission(Permission.EDIT)
def remove_version(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    image = service.find_image_row(get_current_user(request), pk, Permission.EDIT)
    try:
        service.remove_version(image, number, parse_version(request.POST.get("version", "")))
    except ApiError as error:
        return _refuse_change(request, image, number, error)
    messages.success(request, f"Version {number} is removed: no further run gets it. Its hosts remove the image.")
    return redirect("images:image", pk=pk)


@require_safe
@require_project_permission(Permission.VIEW)
def download_sbom(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    image = service.find_image_row(get_current_user(request), pk)
    disposition = {"Content-Disposition": f'attachment; filename="{image.name}-{number}.cdx.json"'}
    text = service.read_sbom(image, number)
    return HttpResponse(text, content_type="application/vnd.cyclonedx+json", headers=disposition)


def _refuse_change(request: HttpRequest, image: CustomImage, number: int, error: ApiError) -> HttpResponse:
    if error.status == 404:
        raise error
    messages.error(request, error.message)
    if not isinstance(error, EditConflict):
        return redirect("images:image", pk=image.pk)
    current = service.find_image_row(get_current_user(request), image.pk)
    return render(request, "builds/image.html", _build_context(request, current, 0, shown=number), status=409)


def _build_context(request: HttpRequest, image: CustomImage, number: int, shown: int = 0) -> dict[str, Any]:
    """`number`: the version whose build is shown, 0 for none. `shown`: the version whose details are shown, 0 for the
    one that the query names, or the newest."""
    user = get_current_user(request)
    versions = service.list_versions(image)
    page, older = _list_page(request, versions)
    jobs = find_jobs_by_image([image]).get(image.pk, [])
    rows = build_version_rows(image, page, jobs)
    newest = versions.filter(status=VersionStatus.READY).first()
    latest = versions.first()
    asked = shown or _read_number(request, "version")
    chosen = _choose_version(versions, asked) or newest
    build = versions.filter(number=number).first() if number else None
    run = _find_run(user, build)
    context: dict[str, Any] = {
        "image": image,
        "can": Permissions(user, image),
        "reference": str(CustomName(image.name)),
        "contents": list_contents(image.recipe),
        "recipe": describe_recipe(image.recipe, named=1000),
        "registry": service.find_registry_addresses([image]).get(image.registry_id, ""),
        "jobs": sorted({slug for slug, _ in jobs}),
        "job_words": list_jobs([slug for slug, _ in jobs]),
        "rows": rows,
        "older": older,
        "before": _read_number(request, "before"),
        "asked": asked,
        "refresh_query": f"?version={asked}" if asked else "",
        "newest": newest,
        "latest": latest,
        "latest_reason": describe_reason(latest.reason) if latest else "",
        "is_changed": newest is not None and newest.recipe != image.recipe,
        "chosen": _describe_version(image, chosen),
        "build": build,
        "run": run,
        "steps": list_build_steps(run) if run else [],
        "nav": "images",
    }
    context["version"] = _digest_context(context)
    return context


def _list_page(request: HttpRequest, versions: Any) -> tuple[list[ImageVersion], int]:
    """The versions of the page, and the number before which older ones begin; 0 without older ones."""
    before = _read_number(request, "before")
    rows = versions.defer("sbom", "packages", "log_tail", "smoke", "recipe")
    found = list((rows.filter(number__lt=before) if before else rows)[: PAGE_SIZE + 1])
    return found[:PAGE_SIZE], found[PAGE_SIZE - 1].number if len(found) > PAGE_SIZE else 0


def _choose_version(versions: Any, number: int) -> ImageVersion | None:
    found: ImageVersion | None = versions.filter(number=number).first() if number else None
    return found


def _find_run(user: User, build: ImageVersion | None) -> Run | None:
    try:
        return find_run(user, build.run_id, Permission.VIEW, "log_head") if build else None
    except ApiError:
        return None  # it was deleted


def _describe_version(image: CustomImage, version: ImageVersion | None) -> dict[str, Any]:
    if version is None:
        return {}
    version.image = image
    return {
        "version": version,
        "reference": str(CustomName(image.name, version.number)),
        "reason": describe_reason(version.reason),
        "took": version.ended_at - version.created_at if version.ended_at else None,
        "checks": describe_checks(version),
        "packages": build_package_lists(version),
        "pushed": sorted(version.pushed_digests.values()),
        "is_other_recipe": version.recipe != image.recipe,
        "recipe": version.recipe,
    }


def _digest_context(context: dict[str, Any]) -> str:
    rows = [(row.version.number, row.version.status, row.version.version, row.why) for row in context["rows"]]
    run = context["run"]
    steps = [asdict(step) for step in context["steps"]]
    state = (context["image"].version, rows, steps, run and (run.status, run.cancel_requested_at, run.host))
    return sha256(repr(state).encode()).hexdigest()[:16]


def _read_number(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
