"""Decides which image a run gets. No other module decides it."""

from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ValidationError

from cronium_admin.accounts.permissions import ProjectId
from cronium_admin.core.database.compiled import CompiledQuery
from cronium_admin.images.custom import CustomName, explain_custom_form, format_engine_tag, is_custom, parse_custom
from cronium_admin.images.models import BuiltImage, CustomImage, ImageOverride, ImageVersion, VersionStatus

RULES = {
    "run": "set for this run",
    "job": "set in the job",
    "override": "set for the language on the Images page",
    "environment": "set by CRONIUM_CONTAINER_IMAGES_*",
    "default": "the language's default",
    "dockerfile": "named in the Dockerfile",
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
    digest: str = ""  # the exact image, as an engine reported it; empty: any of this name
    resolved: str = ""  # the same in a registry, as repository@sha256:...; empty: in none


def resolve_custom(choice: ImageChoice, project_id: ProjectId) -> ImageChoice:
    """The engine's name of a custom image of the project; any other choice is returned as it is, without a query.

    Raises ValidationError for the field `image` if the project has no such version that is ready.
    """
    if not is_custom(choice.reference):
        return choice
    name = parse_custom(choice.reference)
    versions = ImageVersion.objects.filter(image__project=project_id, image__name=name.name if name else "")
    if name and name.number:
        versions = versions.filter(number=name.number)
    ready = (
        versions.filter(status=VersionStatus.READY)
        .order_by("-number")
        .values_list("number", "image_id_on_host", "pushed_digests")
    )
    found = ready.first() if name else None
    if name is None or found is None:
        raise ValidationError({"image": [_explain_missing(choice.reference, name, project_id)]})
    number, image_id, pushed = found
    tag = format_engine_tag(project_id, name.name, number)
    return ImageChoice(tag, choice.rule, image_id, next(iter(pushed.values()), ""))


def _explain_missing(reference: str, name: CustomName | None, project_id: ProjectId) -> str:
    if name is None:
        return explain_custom_form(reference)
    image = CustomImage.objects.filter(project=project_id, name=name.name).first()
    if image is None:
        return f"This project has no custom image {name.name}."
    if name.number is None:
        return f"The custom image {name.name} has no version that is ready. Build it, and look at the last build's run."
    version = image.versions.filter(number=name.number).first()
    state = version.get_status_display().lower() if version else "not there"
    return f"Version {name.number} of the custom image {name.name} is {state}. Choose a version that is ready."


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
