"""The pages of registries: the tab of the Images page, and the form of one registry."""

from hashlib import sha256
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_permission
from cronium_admin.accounts.permissions import INSTANCE, Permission, can
from cronium_admin.accounts.projects import list_projects
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.image_pages.forms import NEW, POLICIES, RegistryForm, read_initial
from cronium_admin.image_pages.tabs import count_tabs
from cronium_admin.image_pages.usage import RegistryUse, find_registry_use, list_jobs_of_registry
from cronium_admin.registries.checks import describe_check, request_all_checks, request_check
from cronium_admin.registries.models import PullPolicy, Registry
from cronium_admin.registries.service import (
    add_registry,
    delete_registry,
    find_registry_row,
    list_registries,
    list_with_secret,
    save_registry,
)


@require_safe
@require_permission(Permission.VIEW)
def show_registries(request: HttpRequest) -> HttpResponse:
    context = _build_list_context(request)
    context["tabs"] = count_tabs(get_current_user(request), registries=len(context["rows"]))
    return render(request, "registries/list.html", context | {"nav": "images", "tab": "registries"})


@require_safe
@require_permission(Permission.VIEW)
def render_checks(request: HttpRequest) -> HttpResponse:
    # The cells of the checks; 204 if nothing has changed since version `v`
    context = _build_list_context(request)
    if context["version"] == request.GET.get("v"):
        return HttpResponse(status=204)
    return render(request, "registries/_checks.html", context)


@sensitive_post_parameters("secret")
@require_http_methods(["GET", "POST"])
@require_permission(Permission.ADMIN)
def create_registry(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _save_form(request, None)
    initial = NEW | {"address": request.GET.get("address", "").replace("\x00", "")[:255]}
    return _render_form(request, RegistryForm(initial=initial, projects=list_projects()), None)


@sensitive_post_parameters("secret")
@require_http_methods(["GET", "POST"])
@require_permission(Permission.ADMIN)
def edit_registry(request: HttpRequest, pk: int) -> HttpResponse:
    registry = list_registries().filter(pk=pk).first()
    if request.method == "POST":
        return _save_form(request, registry, is_gone=registry is None)
    if registry is None:
        raise Http404
    return _render_form(request, RegistryForm(initial=read_initial(registry), projects=list_projects()), registry)


@require_POST
@require_permission(Permission.ADMIN)
def remove_registry(request: HttpRequest, pk: int) -> HttpResponse:
    registry = _find_registry(pk)
    try:
        delete_registry(registry, parse_version(request.POST.get("version", "")))
    except EditConflict as error:
        messages.error(request, error.message)
        form = RegistryForm(initial=read_initial(registry), projects=list_projects())
        return _render_form(request, form, registry, status=409)
    except ApiError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"The registry {registry.address} is deleted. Hosts no longer pull its images.")
    return redirect("images:registries")


@require_POST
@require_permission(Permission.ADMIN)
def check_one(request: HttpRequest, pk: int) -> HttpResponse:
    request_check(_find_registry(pk))
    return redirect("images:registries")


@require_POST
@require_permission(Permission.ADMIN)
def check_all(request: HttpRequest) -> HttpResponse:
    request_all_checks()
    return redirect("images:registries")


def _find_registry(pk: int) -> Registry:
    try:
        return find_registry_row(pk)
    except ApiError as error:
        raise Http404(error.message) from error


@sensitive_variables("form", "values")
def _save_form(request: HttpRequest, registry: Registry | None, *, is_gone: bool = False) -> HttpResponse:
    has_secret = registry is not None and bool(list_with_secret([registry]))
    form = RegistryForm(request.POST, projects=list_projects(), has_secret=has_secret)
    if is_gone:
        form.add_error("address", "This registry was deleted in the meantime. Save to add it again, with its secret.")
        return _render_form(request, form, None, status=422)
    if not form.is_valid():
        return _render_form(request, form, registry, status=422)
    values, by, version = (
        form.collect_values(),
        get_current_user(request),
        parse_version(request.POST.get("version", "")),
    )
    try:
        saved = save_registry(registry, values, by, version) if registry else add_registry(values, by)
    except EditConflict as error:
        error.theirs = _list_differences(error.stored, values)
        return _render_form(request, form, error.stored, error, 409)
    except ValidationError as error:
        form.add_error(None, error)
    except ApiError as error:
        form.add_error("address", error.message)
    else:
        request_check(saved)
        messages.success(request, f"The registry {saved.address} is saved. A host checks it now.")
        return redirect("images:registries")
    return _render_form(request, form, registry, status=422)


def _list_differences(stored: Registry, values: dict[str, Any]) -> list[tuple[str, str]]:
    labels = {name: str(field.label) for name, field in RegistryForm.base_fields.items()}
    names = [name for name in labels if name in values and hasattr(stored, name) and name not in ("secret", "projects")]
    words = {True: "yes", False: "no", "": "none"}
    found = [(labels[name], getattr(stored, name)) for name in names if getattr(stored, name) != values[name]]
    return [(label, words.get(value, str(value)[:200])) for label, value in found]


def _render_form(
    request: HttpRequest,
    form: RegistryForm,
    registry: Registry | None,
    conflict: EditConflict | None = None,
    status: int = 200,
) -> HttpResponse:
    version: int | None = registry.version if registry else None
    if form.is_bound and not conflict:  # a form with errors keeps the version that it was opened with
        version = parse_version(request.POST.get("version", "")) or version
    jobs, more = list_jobs_of_registry(get_current_user(request), registry) if registry else ([], 0)
    context: dict[str, Any] = {
        "form": form,
        "registry": registry,
        "has_secret": registry is not None and bool(list_with_secret([registry])),
        "conflict": conflict,
        "version": version,
        "jobs": jobs,
        "more_jobs": more,
        "policies": [(policy.value, policy.label, POLICIES[policy]) for policy in PullPolicy],
        "nav": "images",
    }
    return render(request, "registries/form.html", context, status=status)


def _build_list_context(request: HttpRequest) -> dict[str, Any]:
    registries = list(list_registries())
    uses = find_registry_use(get_current_user(request))
    for_admin = can(get_current_user(request), Permission.ADMIN, INSTANCE)
    reports = [describe_check(registry, for_admin=for_admin) for registry in registries]
    rows: list[dict[str, Any]] = [
        {"registry": registry, "check": report, "use": uses.get(registry.pk, RegistryUse())}
        for registry, report in zip(registries, reports, strict=True)
    ]
    states = [(row["registry"].pk, row["registry"].version, row["check"]) for row in rows]
    return {
        "rows": rows,
        "failing": [row for row in rows if row["check"].problem],
        "is_checking": any(report.state == "requested" for report in reports),
        "version": sha256(repr(states).encode()).hexdigest()[:16],
    }
