"""The image of each language with the rule that decides it, and its override; for the Images page and the API."""

from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from cronium_admin.accounts.models import User
from cronium_admin.core.edit_versions import check_deletion, check_version, write_edit
from cronium_admin.core.errors import ApiError
from cronium_admin.images.models import ImageOverride, Language, OwnImage
from cronium_admin.images.reference import validate_reference
from cronium_admin.images.resolution import RULES, find_default_reference, resolve_image


@dataclass(frozen=True)
class ImageFacts:
    """The current image of a language's runs (`reference`, decided by `rule`), and its three possible sources."""

    language: str
    reference: str
    rule: str
    why: str
    override: str  # empty if not set
    environment: str  # empty if not set
    default: str
    version: int  # of the override; 0 if there never was one


def parse_language(name: str) -> Language:
    if name not in Language.values:
        raise ApiError(
            404, "not_found", f"There is no language {name[:40]!r}. There are: {', '.join(Language.values)}."
        )
    return Language(name)


def describe_image(language: Language) -> ImageFacts:
    choice = resolve_image(language)
    override = (
        choice.reference
        if choice.rule == "override"
        else ""  # resolve_image() prefers only the overrides of a run or job to it
    )
    return ImageFacts(
        language=language.value,
        reference=choice.reference,
        rule=choice.rule,
        why=RULES[choice.rule],
        override=override,
        environment=str(getattr(settings.CONFIG, f"container_images_{language.value}")),
        default=find_default_reference(language),
        version=fetch_override_version(language),
    )


def fetch_override_version(language: Language) -> int:
    rows = ImageOverride.objects.filter(language=language.value)
    return rows.values_list("version", flat=True).first() or 0


def set_override(language: Language, reference: str, by: User, version: int | None = None) -> None:
    """New runs of `language` get `reference`, unless the run or job has an image of its own.

    Raises EditConflict if `version` is not the override's current version (0: there never was an override).
    """
    reference = reference.strip()
    try:
        validate_reference(reference)
    except ValidationError as error:
        raise ValidationError({"reference": error.messages}) from error
    _write_override(language, reference, by, version)


def clear_override(language: Language, by: User, version: int | None = None) -> bool:
    """Returns to the environment's image or the default; False if there was no override. `version` as in
    `set_override`."""
    return _write_override(language, "", by, version)


def _write_override(language: Language, reference: str, by: User, version: int | None) -> bool:
    with transaction.atomic():
        rows = ImageOverride.objects.select_for_update(of=("self",)).select_related("updated_by")
        stored = rows.filter(language=language.value).first()
        if stored is None and not reference:
            return False
        if stored is None:
            defaults = {"reference": reference, "updated_by": by}
            stored, is_new = rows.get_or_create(language=language.value, defaults=defaults)
            if is_new:
                return True
        check = check_version if reference else check_deletion
        check(stored, version)
        if stored.reference == reference:
            return False
        write_edit(stored, {"reference": reference}, by)
        return True


def find_own_images() -> dict[str, OwnImage]:
    """The images that Cronium builds, by reference, without their SBOMs."""
    return {image.reference: image for image in OwnImage.objects.defer("sbom")}


def find_overriders() -> dict[str, str]:
    """By language, the name of the user who set the override; overrides of deleted users are missing."""
    rows = ImageOverride.objects.exclude(reference="").exclude(updated_by=None)
    return dict(rows.values_list("language", "updated_by__username"))
