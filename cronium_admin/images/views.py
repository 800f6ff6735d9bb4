"""The Images page: what each language's runs get, and the override an administrator may set."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.access.guard import needs, user_of
from cronium_admin.access.roles import May
from cronium_admin.errors import Refused
from cronium_admin.images import presence
from cronium_admin.images.models import Language
from cronium_admin.images.service import ImageFacts, clear_override, image_facts, known_language, set_override


@require_safe
@needs(May.SEE)
def images(request: HttpRequest) -> HttpResponse:
    return _page(request)


@require_POST
@needs(May.ADMIN)
def override(request: HttpRequest, language: str) -> HttpResponse:
    """Set the override of a language; what is wrong with it stands beside its field, with what was typed."""
    known = _language(language)
    typed = request.POST.get("reference", "")
    try:
        set_override(known, typed, user_of(request))
    except ValidationError as error:
        return _page(request, {"language": known.value, "typed": typed, "errors": error.messages})
    messages.success(request, f"{known.label} runs now get {typed.strip()}, unless their job says otherwise.")
    return redirect("images:list")


@require_POST
@needs(May.ADMIN)
def reset(request: HttpRequest, language: str) -> HttpResponse:
    known = _language(language)
    clear_override(known)
    messages.success(request, f"{known.label} is back to {image_facts(known).reference}.")
    return redirect("images:list")


def _language(name: str) -> Language:
    try:
        return known_language(name)
    except Refused as error:
        raise Http404(error.message) from error


def _page(request: HttpRequest, wrong: dict[str, Any] | None = None) -> HttpResponse:
    facts = [image_facts(language) for language in Language]
    present = presence.presence([fact.reference for fact in facts])
    rows = [{"facts": fact, "present": present[fact.reference], "rules": _rules(fact)} for fact in facts]
    context = {"rows": rows, "wrong": wrong or {}, "nav": "images"}
    return render(request, "images/list.html", context, status=422 if wrong else 200)


def _rules(fact: ImageFacts) -> list[dict[str, Any]]:
    """The three places a language's image may come from, the strongest first."""
    places = [
        ("override", "Override here", fact.override),
        ("environment", f"CRONIUM_CONTAINER_IMAGES_{fact.language.upper()}", fact.environment),
        ("default", "Default", fact.default),
    ]
    return [{"name": name, "value": value, "won": rule == fact.rule} for rule, name, value in places]
