"""The custom images that jobs of a project can choose, and what is known of the chosen one. For pages and API."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError

from cronium_admin.accounts.permissions import ProjectId
from cronium_admin.images.custom import CustomName, is_custom, parse_custom
from cronium_admin.images.models import ImageVersion, VersionStatus
from cronium_admin.images.package_words import compare_packages, describe_version, get_language_label
from cronium_admin.images.reference import find_other_family
from cronium_admin.images.resolution import ImageChoice, resolve_custom

_SHOWN_IMAGES, _SHOWN_VERSIONS = 100, 5
_COLUMNS = ("number", "status", "recipe", "packages", "ended_at", "image__name", "image__language")


@dataclass(frozen=True)
class VersionOption:
    """A ready version that a job can stay at."""

    number: int
    reference: str
    built_at: datetime | None


@dataclass(frozen=True)
class ImageOption:
    """A custom image with a ready version. `reference` gives the newest one at each launch."""

    name: str
    reference: str
    language: str
    words: str
    versions: Sequence[VersionOption]  # newest first

    @property
    def newest(self) -> VersionOption:
        return self.versions[0]


@dataclass(frozen=True)
class NewerVersion:
    number: int
    reference: str
    built_at: datetime | None
    changes: Sequence[str] = ()


@dataclass(frozen=True)
class ChosenImage:
    """The custom image that a job names. Without a ready version, `problem` says why launches are refused."""

    reference: str
    image_id: int | None = None
    name: str = ""
    number: int | None = None
    is_pinned: bool = False
    words: str = ""
    built_at: datetime | None = None
    packages: Sequence[Sequence[str]] = ()  # type, name, version
    newer: NewerVersion | None = None
    has_dockerfile: bool = False
    problem: str = ""


def list_options(project_id: ProjectId) -> list[ImageOption]:
    """By name. An image that a host still has, but whose versions are all removed, is missing."""
    rows = ImageVersion.objects.filter(image__project=project_id, status=VersionStatus.READY)
    found: dict[str, list[ImageVersion]] = {}
    for version in rows.select_related("image").only(*_COLUMNS).order_by("image__name", "-number"):
        if len(found) < _SHOWN_IMAGES or version.image.name in found:
            found.setdefault(version.image.name, []).append(version)
    return [_build_option(versions) for versions in found.values()]


def _build_option(versions: Sequence[ImageVersion]) -> ImageOption:
    newest, name = versions[0], versions[0].image.name
    options = [
        VersionOption(version.number, str(CustomName(name, version.number)), version.ended_at)
        for version in versions[:_SHOWN_VERSIONS]
    ]
    words = describe_version(newest.recipe, newest.packages)
    return ImageOption(name, str(CustomName(name)), newest.image.language, words, options)


def describe_chosen(project_id: ProjectId, language: str, reference: str) -> ChosenImage | None:
    """None for an image that is not a custom one, without a query."""
    if not reference or not is_custom(reference):
        return None
    try:
        resolve_custom(ImageChoice(reference, "job"), project_id)
    except ValidationError as error:
        return ChosenImage(reference, problem=f"{error.messages[0]} Until then, launches are refused.")
    name = parse_custom(reference)
    assert name is not None
    ready = ImageVersion.objects.filter(image__project=project_id, image__name=name.name, status=VersionStatus.READY)
    versions = list(ready.select_related("image").only(*_COLUMNS).order_by("-number"))
    version = next((row for row in versions if name.number in (None, row.number)), None)
    if version is None:
        return None  # it was removed after the first query
    problem = ""
    if version.image.language != language:
        has, needs = get_language_label(version.image.language), get_language_label(language)
        problem = f"{name.name} is an image for {has}; this job is written in {needs}."
    newest = versions[0]
    return ChosenImage(
        reference,
        version.image_id,
        name.name,
        version.number,
        is_pinned=name.number is not None,
        words=describe_version(version.recipe, version.packages),
        built_at=version.ended_at,
        packages=version.packages,
        newer=_compare(version, newest) if newest.number > version.number else None,
        has_dockerfile=bool(version.recipe.get("dockerfile")),
        problem=problem,
    )


def _compare(version: ImageVersion, newest: ImageVersion) -> NewerVersion:
    changes = compare_packages(version.packages, newest.packages, newest.recipe)
    return NewerVersion(newest.number, str(CustomName(newest.image.name, newest.number)), newest.ended_at, changes)


def find_newer_reference(project_id: ProjectId, reference: str) -> str:
    """The newest ready version of a custom image if `reference` names an older one; else empty."""
    name = parse_custom(reference) if reference and is_custom(reference) else None
    if name is None or name.number is None:
        return ""
    ready = ImageVersion.objects.filter(image__project=project_id, image__name=name.name, status=VersionStatus.READY)
    newest = ready.filter(number__gt=name.number).order_by("-number").values_list("number", flat=True).first()
    return str(CustomName(name.name, newest)) if newest else ""


def find_image_problem(project_id: ProjectId, language: str, reference: str) -> str:
    """Why the image probably does not suit the job; empty if nothing speaks against it."""
    if not reference:
        return ""
    if is_custom(reference):
        chosen = describe_chosen(project_id, language, reference)
        return chosen.problem if chosen else ""
    family = find_other_family(reference, language)
    if not family:
        return ""
    needs = get_language_label(language)
    return f"{reference} looks like an image for {family.capitalize()}; this job is written in {needs}."
