"""Decides which image a run gets. Nothing else decides it."""

from dataclasses import dataclass

from django.conf import settings

from cronium_admin.images.models import BuiltImage, ImageOverride

RULES = {
    "run": "asked for with this run",
    "job": "set in the job",
    "override": "set for the language on the Images page",
    "environment": "set by CRONIUM_CONTAINER_IMAGES_*",
    "default": "the language's default",
}


@dataclass(frozen=True)
class Choice:
    """An image reference and the rule that chose it, a key of RULES."""

    reference: str
    rule: str


def default_reference(language: str) -> str:
    """What `images build` made last for the language, or the name it makes where a registry answers."""
    built = BuiltImage.objects.filter(language=language).values_list("reference", flat=True).first()
    return built or f"cronium/runner:{language}-alpine"


def resolve(language: str, *, run: str = "", job: str = "") -> Choice:
    """The first that is set: run, job, the dashboard's override, the environment, the default."""
    if run:
        return Choice(run, "run")
    if job:
        return Choice(job, "job")
    override = ImageOverride.objects.filter(language=language).values_list("reference", flat=True).first()
    if override:
        return Choice(override, "override")
    if environment := str(getattr(settings.CONFIG, f"container_images_{language}")):
        return Choice(environment, "environment")
    return Choice(default_reference(language), "default")
