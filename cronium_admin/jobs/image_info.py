"""The image field of the job editor: the choices, and what is known of the image that is chosen in the form."""

import re
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.text import get_text_list

from cronium_admin.accounts.permissions import ProjectId
from cronium_admin.images.custom import format_new_image_query
from cronium_admin.images.custom_choices import describe_chosen, find_image_problem
from cronium_admin.images.installed_packages import Proposal, suggest_for_image
from cronium_admin.images.models import Language
from cronium_admin.images.package_words import TYPE_LABELS, join_some
from cronium_admin.images.resolution import RULES, resolve_image

_NAMED = 4  # packages in the proposal's sentence
_MAX_LINKED = 30  # packages in its link
_IMAGE_NAME = re.compile(r"[a-z0-9](?:-?[a-z0-9]){0,39}")


def list_default_images() -> list[dict[str, str]]:
    """The image that jobs of each language get without an image of their own."""
    choices = [(language.value, resolve_image(language)) for language in Language]
    return [
        {"language": language, "reference": choice.reference, "why": RULES[choice.rule]} for language, choice in choices
    ]


def build_image_info(project_id: ProjectId, language: str, image: str, script: str, slug: str = "") -> dict[str, Any]:
    """The context of `jobs/_image_info.html` for values that may be unsaved or wrong. `slug`: of the job, if any."""
    image = image.strip().replace("\0", "")
    chosen = describe_chosen(project_id, language, image)
    problem = chosen.problem if chosen else find_image_problem(project_id, language, image)
    packages = (
        [(TYPE_LABELS.get(kind, kind), name, version) for kind, name, version in chosen.packages] if chosen else []
    )
    context = {"chosen": chosen, "image_problem": problem, "image_packages": packages}
    if language in (Language.PYTHON, Language.NODE):
        context |= build_proposal(suggest_for_image(project_id, language, script, image, chosen), language, slug)
    return {**context, "image_version": sha256(repr(context).encode()).hexdigest()[:16]}


def build_proposal(proposal: Proposal, language: str, slug: str) -> dict[str, Any]:
    """The context of `jobs/_lacking.html`; empty if nothing is lacking."""
    packages = list(proposal.packages or ())
    if not packages:
        return {}
    if proposal.custom:
        link = reverse("images:image-edit", args=[proposal.custom.image_id])
        if not proposal.custom.has_dockerfile:
            link += f"?{urlencode({language: chr(10).join(packages[:_MAX_LINKED])})}"
    else:
        name = slug if _IMAGE_NAME.fullmatch(slug) else ""
        link = f"{reverse('images:image-new')}?{format_new_image_query(language, packages[:_MAX_LINKED], name=name)}"
    names = join_some(packages) if len(packages) > _NAMED else get_text_list(packages, "and")
    return {"lacking": names, "lacking_count": len(packages), "lacking_link": link, "lacking_image": proposal.custom}
