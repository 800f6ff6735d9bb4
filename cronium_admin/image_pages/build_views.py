"""The tab Builds: the list of the custom images, and the form of one."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission, ProjectId, can_somewhere
from cronium_admin.accounts.projects import choose_project_id
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.image_builds import service
from cronium_admin.image_builds.dockerfile_rules import can_build_dockerfile
from cronium_admin.image_builds.launch import start_build
from cronium_admin.image_builds.recipe import MAX_STEPS
from cronium_admin.image_pages.build_forms import ImageForm, add_packages, list_differences, read_initial, read_prefill
from cronium_admin.image_pages.build_rows import build_image_rows, digest_rows
from cronium_admin.image_pages.tabs import count_tabs
from cronium_admin.images.models import CustomImage, Language

_FIELD_OF_CODE = {"name_taken": "name", "dockerfile_forbidden": "dockerfile"}


@require_safe
@require_project_permission(Permission.VIEW)
def show_builds(request: HttpRequest) -> HttpResponse:
    context = _build_list_context(request) | {"tabs": count_tabs(get_current_user(request))}
    return render(request, "builds/list.html", context | {"nav": "images", "tab": "builds"})


@require_safe
@require_project_permission(Permission.VIEW)
def render_builds(request: HttpRequest) -> HttpResponse:
    # The cells about builds; 204 if nothing has changed since version `v`
    context = _build_list_context(request)
    if context["version"] == request.GET.get("v"):
        return HttpResponse(status=204)
    return render(request, "builds/_live_rows.html", context)


@require_http_methods(["GET", "POST"])
@require_project_permission(Permission.EDIT)
def create_image(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _save_form(request, None)
    return _render_form(request, ImageForm(initial=read_prefill(request.GET)), None)


@require_http_methods(["GET", "POST"])
@require_project_permission(Permission.EDIT)
def edit_image(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_current_user(request)
    try:
        image = service.find_image_row(user, pk, Permission.EDIT)
    except ApiError as error:
        if error.status == 404 and request.method == "POST" and can_somewhere(user, Permission.EDIT):
            return _render_gone(request)
        raise
    if request.method == "POST":
        return _save_form(request, image)
    values = add_packages(read_initial(image, _find_address(image)), request.GET)
    return _render_form(request, ImageForm(initial=values), image)


def build_now(request: HttpRequest, image: CustomImage, said: str = "") -> HttpResponse:
    """Starts a build, and answers with the image's page. `said` precedes the message."""
    try:
        version, _ = start_build(image, get_current_user(request))
    except ApiError as error:
        if error.status == 404:
            raise
        messages.error(request, f"{said}Not built: {error.message}")
    except ValidationError as error:
        messages.error(request, f"{said}Not built: {' '.join(error.messages)}")
    else:
        messages.success(request, f"{said}The build of version {version.number} was started.")
    return redirect("images:image", pk=image.pk)


def _save_form(request: HttpRequest, image: CustomImage | None) -> HttpResponse:
    form = ImageForm(request.POST)
    if request.POST.get("then") == "step":
        return _render_form(request, form, image)
    if not form.is_valid():
        return _render_form(request, form, image, status=422)
    fields, by = form.collect_fields(is_new=image is None), get_current_user(request)
    version = parse_version(request.POST.get("version", ""))
    try:
        saved = service.edit_image(image, fields, by, version) if image else service.create_image(fields, by)
    except EditConflict as error:
        error.theirs = list_differences(error.stored, _find_address(error.stored), fields)
        return _render_form(request, form, error.stored, error, 409)
    except ValidationError as error:
        form.add_service_errors(error)
    except ApiError as error:
        if error.status == 404:
            return _render_gone(request)
        form.add_error(_FIELD_OF_CODE.get(error.code), error.message)
    else:
        said = f"The image {saved.name} is saved. "
        if request.POST.get("then") == "build":
            return build_now(request, saved, said)
        messages.success(request, f"{said}Build it, so that jobs get it.")
        return redirect("images:image", pk=saved.pk)
    return _render_form(request, form, image, status=422)


def _render_gone(request: HttpRequest) -> HttpResponse:
    form = ImageForm(request.POST)
    form.add_error("name", "This image was deleted in the meantime. Save to create it again.")
    return _render_form(request, form, None, status=422)


def _find_address(image: CustomImage) -> str:
    return service.find_registry_addresses([image]).get(image.registry_id, "")


def _render_form(
    request: HttpRequest,
    form: ImageForm,
    image: CustomImage | None,
    conflict: EditConflict | None = None,
    status: int = 200,
) -> HttpResponse:
    user = get_current_user(request)
    version: int | None = image.version if image else None
    if form.is_bound and not conflict:  # a form with errors keeps the version that it was opened with
        version = parse_version(request.POST.get("version", "")) or version
    project_id = image.project_id if image else choose_project_id(user, Permission.EDIT)
    is_checked = form.is_bound and request.POST.get("then") != "step"
    context: dict[str, Any] = {
        "form": form,
        "errors": form.errors if is_checked else {},
        "image": image,
        "languages": Language.choices,
        "conflict": conflict,
        "version": version,
        "addresses": _list_addresses(form, project_id),
        "max_steps": MAX_STEPS,
        "has_dockerfile": bool(form["dockerfile"].value()) or can_build_dockerfile(user, project_id),
        "can": Permissions(user, image),
        "nav": "images",
    }
    return render(request, "builds/form.html", context, status=status)


def _list_addresses(form: ImageForm, project_id: ProjectId) -> list[str]:
    chosen, usable = str(form["registry"].value() or ""), service.list_push_addresses(project_id)
    return usable if chosen in ("", *usable) else [*usable, chosen]


def _build_list_context(request: HttpRequest) -> dict[str, Any]:
    user = get_current_user(request)
    rows = build_image_rows(user)
    return {
        "rows": rows,
        "can": Permissions(user),
        "has_projects": any(row.project for row in rows),
        "is_building": any(row.is_building for row in rows),
        "version": digest_rows(rows),
    }
