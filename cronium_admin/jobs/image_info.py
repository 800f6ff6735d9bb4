"""The image field of the job editor: the choices, and what is known of the image that is chosen in the form."""

from hashlib import sha256
from typing import Any

from cronium_admin.accounts.permissions import ProjectId
from cronium_admin.images.custom_choices import describe_chosen, find_image_problem
from cronium_admin.images.models import Language
from cronium_admin.images.package_words import TYPE_LABELS
from cronium_admin.images.resolution import RULES, resolve_image


def list_default_images() -> list[dict[str, str]]:
    """The image that jobs of each language get without an image of their own."""
    choices = [(language.value, resolve_image(language)) for language in Language]
    return [
        {"language": language, "reference": choice.reference, "why": RULES[choice.rule]} for language, choice in choices
    ]


def build_image_info(project_id: ProjectId, language: str, image: str) -> dict[str, Any]:
    """The context of `jobs/_image_info.html` for values that may be unsaved or wrong."""
    image = image.strip().replace("\0", "")
    chosen = describe_chosen(project_id, language, image)
    problem = chosen.problem if chosen else find_image_problem(project_id, language, image)
    packages = (
        [(TYPE_LABELS.get(kind, kind), name, version) for kind, name, version in chosen.packages] if chosen else []
    )
    context = {"chosen": chosen, "image_problem": problem, "image_packages": packages}
    return {**context, "image_version": sha256(repr(context).encode()).hexdigest()[:16]}
