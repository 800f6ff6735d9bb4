"""The Images page: the image of each language's runs, and the override that an administrator can set."""

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
from cronium_admin.image_pages.usage import count_default_jobs
from cronium_admin.images.inventory import find_presence
from cronium_admin.images.models import Language
from cronium_admin.images.reference import validate_reference
from cronium_admin.images.service import (
    ImageFacts,
    clear_override,
    describe_image,
    find_warnings,
    format_pull_command,
    parse_language,
    set_override,
)


@require_safe
@require_permission(Permission.VIEW)
def show_images(request: HttpRequest) -> HttpResponse:
    return _render_page(request)


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
    warnings = find_warnings(choice, presence)
    jobs = count_default_jobs(get_current_user(request)).get(choice.value, 0)
    confirmed = request.POST.get("confirmed", "")
    if confirmed != "all" and (warnings or (jobs and confirmed != "number")):
        context = {"language": choice, "typed": typed, "presence": presence, "warnings": warnings, "jobs": jobs}
        context["version"] = "" if sent is None else sent
        return render(request, "images/confirm.html", {**context, "pull": format_pull_command(typed), "nav": "images"})
    try:
        set_override(choice, typed, get_current_user(request), sent)
    except EditConflict as error:
        return _render_conflict(request, form_state, error)
    message = f"{choice.label} runs now get {typed}, unless their job sets another image."
    if presence.missing:
        messages.warning(request, f"{message} {presence.warning}")
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


def _find_language(name: str) -> Language:
    try:
        return parse_language(name)
    except ApiError as error:
        raise Http404(error.message) from error


def _render_conflict(request: HttpRequest, form_state: dict[str, Any], error: EditConflict) -> HttpResponse:
    error.theirs = [("Image", error.stored.reference or "no override")]
    return _render_page(request, form_state | {"version": error.stored.version, "conflict": error}, 409)


def _render_page(request: HttpRequest, form_state: dict[str, Any] | None = None, status: int = 0) -> HttpResponse:
    facts = [describe_image(language) for language in Language]
    presence = find_presence([fact.reference for fact in facts])
    jobs = count_default_jobs(get_current_user(request))
    rows = [
        {
            "facts": fact,
            "presence": presence[fact.reference],
            "pull": format_pull_command(fact.reference),
            "rules": _list_rules(fact),
            "jobs": jobs.get(fact.language, 0),
        }
        for fact in facts
    ]
    context = {"rows": rows, "wrong": form_state or {}, "nav": "images", "tab": "images"}
    return render(request, "images/list.html", context, status=status or (422 if form_state else 200))


def _list_rules(fact: ImageFacts) -> list[dict[str, Any]]:
    sources = [
        ("override", "Override here", fact.override),
        ("environment", f"CRONIUM_CONTAINER_IMAGES_{fact.language.upper()}", fact.environment),
        ("default", "Default", fact.default),
    ]
    return [{"name": name, "value": value, "won": rule == fact.rule} for rule, name, value in sources]
