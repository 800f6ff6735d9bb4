"""The packages of an image, as far as they are known without its engine, and those that a script needs beside them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import zstandard

from cronium_admin.accounts.permissions import ProjectId
from cronium_admin.images.custom import is_custom
from cronium_admin.images.custom_choices import ChosenImage, describe_chosen
from cronium_admin.images.imports import list_installed, suggest_packages
from cronium_admin.images.models import OwnImage
from cronium_admin.images.resolution import resolve_image

_MAX_SBOM = 64 << 20


@dataclass(frozen=True)
class Proposal:
    """`packages`: None if the packages of the image are not known."""

    image: str  # as the job names it, or the language's image
    packages: Sequence[str] | None = None
    custom: ChosenImage | None = None  # the custom image to whose recipe they could be added


def suggest_for_image(
    project_id: ProjectId, language: str, script: str, image: str, chosen: ChosenImage | None = None
) -> Proposal:
    """What `script` imports and its image lacks.

    `image`: of the job; empty for that of the language. `chosen`: what `describe_chosen` returned for it, if known.
    """
    reference = resolve_image(language, job=image).reference
    if not is_custom(reference):
        packages = _find_packages(reference)
        return Proposal(reference, None if packages is None else _suggest(language, script, packages))
    chosen = chosen or describe_chosen(project_id, language, reference)
    if chosen is None or chosen.problem:
        return Proposal(reference)
    return Proposal(reference, _suggest(language, script, chosen.packages), chosen)


def _suggest(language: str, script: str, packages: Sequence[Sequence[str]]) -> list[str]:
    return suggest_packages(language, script, list_installed(language, packages))


def _find_packages(reference: str) -> Sequence[Sequence[str]] | None:
    digest = OwnImage.objects.filter(reference=reference).values_list("sbom_digest", flat=True).first()
    return _read_sbom(digest) if digest else None


@lru_cache(maxsize=8)
def _read_sbom(digest: str) -> Sequence[Sequence[str]] | None:
    stored = OwnImage.objects.filter(sbom_digest=digest).values_list("sbom", flat=True).first()
    if not stored:
        return None
    document = json.loads(zstandard.decompress(bytes(stored), max_output_size=_MAX_SBOM))
    return [
        (str(item["purl"]).removeprefix("pkg:").partition("/")[0], str(item["name"]), str(item.get("version", "")))
        for item in document.get("components", [])
        if item.get("purl")
    ]
