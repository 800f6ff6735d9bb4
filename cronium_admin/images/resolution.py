"""Decides which image a run gets. No other module decides it."""

from dataclasses import dataclass

from django.conf import settings

from cronium_admin.core.database.compiled import CompiledQuery
from cronium_admin.images.models import BuiltImage, ImageOverride

RULES = {
    "run": "set for this run",
    "job": "set in the job",
    "override": "set for the language on the Images page",
    "environment": "set by CRONIUM_CONTAINER_IMAGES_*",
    "default": "the language's default",
}

_FIND_BUILT, _FIND_OVERRIDE = (
    CompiledQuery(
        lambda language, model=model: model.objects.filter(language=language).values_list("reference", flat=True)[:1],
        language=model._meta.get_field("language"),
    )
    for model in (BuiltImage, ImageOverride)
)


@dataclass(frozen=True)
class ImageChoice:
    """An image reference and the rule that chose it, a key of RULES."""

    reference: str
    rule: str


def find_default_reference(language: str) -> str:
    # Without a build here: the name that a build with a registry gives.
    return _FIND_BUILT.fetch_first(language=language) or f"cronium/runner:{language}-alpine"


def resolve_image(language: str, *, run: str = "", job: str = "") -> ImageChoice:
    """The first of these that is set: run, job, the dashboard's override, the environment, the default."""
    if run:
        return ImageChoice(run, "run")
    if job:
        return ImageChoice(job, "job")
    if override := _FIND_OVERRIDE.fetch_first(language=language):
        return ImageChoice(override, "override")
    if environment := str(getattr(settings.CONFIG, f"container_images_{language}")):
        return ImageChoice(environment, "environment")
    return ImageChoice(find_default_reference(language), "default")
