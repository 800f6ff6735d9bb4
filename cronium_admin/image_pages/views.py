"""The tab Images: what runs use, where it is, and the override and pull policy that an administrator can set."""

from hashlib import sha256
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.image_pages.image_row import ImageRow
from cronium_admin.image_pages.rows import build_rows
from cronium_admin.image_pages.tabs import count_tabs
from cronium_admin.image_pages.usage import count_default_jobs
from cronium_admin.images.image_tests import describe_test, find_test, request_test
from cronium_admin.images.inventory import find_presence
from cronium_admin.images.models import ImageTest, Language
from cronium_admin.images.pulls import request_pull
from cronium_admin.images.reference import validate_reference
from cronium_admin.images.service import (
    ImageFacts,
    clear_override,
    describe_image,
    parse_language,
    set_override,
)
from cronium_admin.registries.image_warnings import find_warnings
from cronium_admin.registries.models import PullPolicy
from cronium_admin.registries.policies import delete_image_policy, parse_image_name, set_image_policy

AS_REGISTRY = "registry"  # the choice without an own policy


@require_safe
@require_permission(Permission.VIEW)
def show_images(request: HttpRequest) -> HttpResponse:
    return _render_page(request)


@require_safe
@require_permission(Permission.VIEW)
def render_presence(request: HttpRequest) -> HttpResponse:
    # The cells about hosts; 204 if nothing has changed since version `v`
    context = _build_rows_context(request)
    if context["version"] == request.GET.get("v"):
        return HttpResponse(status=204)
    return render(request, "images/_live.html", context)


@require_POST
@require_permission(Permission.ADMIN)
def pull_image(request: HttpRequest) -> HttpResponse:
    reference = request.POST.get("reference", "").strip()
    try:
        validate_reference(reference)
    except ValidationError as error:
        messages.error(request, error.messages[0])
        return redirect("images:list")
    hosts = request_pull(reference)
    if hosts:
        messages.success(request, f"{', '.join(hosts[:5])} {'pull' if len(hosts) > 1 else 'pulls'} {reference}.")
    else:
        messages.error(request, f"{reference} is not pulled: no host has reported in the last minute.")
    return redirect("images:list")


@require_POST
@require_permission(Permission.ADMIN)
def set_pull_policy(request: HttpRequest) -> HttpResponse:
    reference, policy = request.POST.get("image", "").strip(), request.POST.get("policy", "")
    version, by = parse_version(request.POST.get("version", "")), get_current_user(request)
    try:
        name = parse_image_name(reference)
        if policy == AS_REGISTRY:
            delete_image_policy(reference, version)
        else:
            set_image_policy(reference, policy, by, version)
    except EditConflict as error:
        error.theirs = [("Pull policy", error.stored.get_policy_display().lower())]
        form = {"image": reference, "policy": policy, "version": error.stored.version, "conflict": error}
        return _render_page(request, {"policy_form": form}, 409)
    except ValidationError as error:
        messages.error(request, error.messages[0])
        return _render_page(request, status=422)
    messages.success(request, f"The pull policy of {name} is saved. It applies from the next run on.")
    return redirect("images:list")


@require_POST
@require_permission(Permission.ADMIN)
def set_image_override(request: HttpRequest, language: str) -> HttpResponse:
    choice = _find_language(language)
    typed = request.POST.get("reference", "").strip()
    sent = parse_version(request.POST.get("version", ""))
    form_state: dict[str, Any] = {"language": choice.value, "typed": typed, "version": sent}
    try:
        validate_reference(typed)
    except ValidationError as error:
        return _render_page(request, form_state | {"errors": error.messages})
    presence = find_presence([typed])[typed]
    warnings = find_warnings({choice: presence})[choice]
    jobs = count_default_jobs(get_current_user(request), choice)
    confirmed = request.POST.get("confirmed", "")
    if confirmed == "test" or (confirmed != "all" and (warnings or jobs)):
        test = request_test(choice.value, typed)
        context = {"language": choice, "typed": typed, "warnings": warnings, "jobs": jobs}
        context |= {"version": "" if sent is None else sent, "nav": "images", **_build_test_context(test)}
        return render(request, "images/confirm.html", context)
    try:
        set_override(choice, typed, get_current_user(request), sent)
    except EditConflict as error:
        return _render_conflict(request, form_state, error)
    message = f"{choice.label} runs now get {typed}, unless their job sets another image."
    if warnings:
        messages.warning(request, " ".join([message, *warnings]))
    else:
        messages.success(request, message)
    return redirect("images:list")


@require_POST
@require_permission(Permission.ADMIN)
def reset_image_override(request: HttpRequest, language: str) -> HttpResponse:
    choice = _find_language(language)
    try:
        clear_override(choice, get_current_user(request), parse_version(request.POST.get("version", "")))
    except EditConflict as error:
        messages.error(request, error.message)
        return _render_page(request, status=409)
    messages.success(request, f"{choice.label} is back to {describe_image(choice).reference}.")
    return redirect("images:list")


@require_safe
@require_permission(Permission.ADMIN)
def render_test(request: HttpRequest, pk: int) -> HttpResponse:
    # The state of an image's test; 204 if it has not changed since version `v`
    test = find_test(pk)
    if test is None:
        raise Http404
    context = _build_test_context(test)
    if context["test_version"] == request.GET.get("v"):
        return HttpResponse(status=204)
    return render(request, "images/_test_live.html", context)


def _build_test_context(test: ImageTest) -> dict[str, Any]:
    report = describe_test(test)
    checks = [
        {**check, "words": _describe_check(check, test), "is_told": str(check.get("found", "")) in report.message}
        for check in report.checks
    ]
    is_open = report.state in ("requested", "running")
    return {"test": test, "report": report, "checks": checks, "is_testing": is_open, "test_version": report.state}


def _describe_check(check: dict[str, Any], test: ImageTest) -> str:
    language = Language(test.language).label
    words = {"start": f"starts {language}", "helper": "loads the helper cronium", "setuid": "has no setuid files"}
    name = str(check.get("name", ""))
    return words.get(name, name)


def _find_language(name: str) -> Language:
    try:
        return parse_language(name)
    except ApiError as error:
        raise Http404(error.message) from error


def _render_conflict(request: HttpRequest, form_state: dict[str, Any], error: EditConflict) -> HttpResponse:
    error.theirs = [("Image", error.stored.reference or "no override")]
    return _render_page(request, form_state | {"version": error.stored.version, "conflict": error}, 409)


def _render_page(request: HttpRequest, form_state: dict[str, Any] | None = None, status: int = 0) -> HttpResponse:
    context = _build_rows_context(request)
    for row in context["rows"]:
        row.rules = _list_rules(row.facts) if row.facts else []
    policies = [(AS_REGISTRY, "As its registry"), *((policy.value, policy.label) for policy in PullPolicy)]
    context |= {"wrong": form_state or {}, "policies": policies, "nav": "images", "tab": "images"}
    context["tabs"] = count_tabs(get_current_user(request), images=len(context["rows"]))
    return render(request, "images/list.html", context, status=status or (422 if form_state else 200))


def _build_rows_context(request: HttpRequest) -> dict[str, Any]:
    rows = build_rows(get_current_user(request))
    states = [
        *((row.key, row.reference, row.hosts, row.problem, row.size, row.digest) for row in rows),
        *((row.can_pull, row.can_pull_newer, row.keeping, row.difference) for row in rows),
    ]
    return {
        "rows": rows,
        "version": sha256(repr(states).encode()).hexdigest()[:16],
        "is_changing": any(row.is_pulling or row.hosts.is_missing for row in rows),
        "has_updates": any(row.updates is not None for row in rows),
        "has_broken": any(_is_to_build(row) for row in rows),
    }


def _is_to_build(row: ImageRow) -> bool:
    return row.is_local and row.facts is not None and row.hosts.state == "broken"


def _list_rules(fact: ImageFacts) -> list[dict[str, Any]]:
    sources = [
        ("override", "Override here", fact.override),
        ("environment", f"CRONIUM_CONTAINER_IMAGES_{fact.language.upper()}", fact.environment),
        ("default", "Default", fact.default),
    ]
    return [{"name": name, "value": value, "won": rule == fact.rule} for rule, name, value in sources]
