"""The rows of the tab Images: the image of each language, custom images, and further images that jobs name."""

from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256

from cronium_admin.accounts.models import User
from cronium_admin.image_builds.service import find_current_versions, list_images
from cronium_admin.image_pages.image_row import ImageRow
from cronium_admin.image_pages.keeping import (
    Keeping,
    Verdicts,
    collect_verdicts,
    summarize_keeping,
)
from cronium_admin.image_pages.usage import JobCounts, count_jobs_by_image
from cronium_admin.images.custom import PREFIX, format_engine_tag, is_custom, parse_custom
from cronium_admin.images.disk import list_disks
from cronium_admin.images.inventory import find_presence
from cronium_admin.images.models import (
    CustomImage,
    ImageVersion,
    Language,
    PulledImage,
    VersionStatus,
)
from cronium_admin.images.pulls import list_pulls
from cronium_admin.images.reference import canonicalize_reference
from cronium_admin.images.service import ImageFacts, describe_image, find_overriders, find_own_images
from cronium_admin.registries.addresses import is_local_name
from cronium_admin.registries.policies import find_policies
from cronium_admin.registries.rules import resolve_policies


def build_rows(user: User) -> list[ImageRow]:
    counts = count_jobs_by_image(user)
    rows = _build_language_rows(counts) + _build_custom_rows(user, counts)
    known = {canonicalize_reference(row.shown) for row in rows}
    rows += _build_job_rows(counts, known)
    _add_presence(rows)
    return rows


def _build_language_rows(counts: JobCounts) -> list[ImageRow]:
    own_images, overriders, rows = find_own_images(), find_overriders(), []
    for language in Language:
        facts = describe_image(language)
        by = overriders.get(language.value, "")
        why = {"override": f"set here{f' by {by}' if by else ''}", "default": "the default"}.get(facts.rule, facts.why)
        number = sum(count for (_, of, image), count in counts.items() if of == language and _is_of(image, facts))
        row = ImageRow(language.value, language.label, language.value, facts.reference, facts.reference, why, number)
        row.facts, row.job_query = facts, f"image:default language:{language.value}"
        row.own_image = own_images.get(facts.reference)
        row.built_at = row.own_image.built_at if row.own_image else None
        rows.append(row)
    return rows


def _is_of(image: str, facts: ImageFacts) -> bool:
    return not image or canonicalize_reference(image) == canonicalize_reference(facts.reference)


def _build_custom_rows(user: User, counts: JobCounts) -> list[ImageRow]:
    rows, images = [], list(list_images(user))
    versions = find_current_versions(images)
    for image in images:
        names = {key for key in counts if key[0] == image.project_id and _is_named_by(key[2], image)}
        current = versions.get(image.pk, [])
        ready = next((version for version in current if version.status == VersionStatus.READY), None)
        reference = format_engine_tag(image.project_id, image.name, ready.number) if ready else ""
        why = f"version {ready.number} · {_describe_recipe(ready)}" if ready else ""
        row = ImageRow(f"custom-{image.pk}", image.name, image.language, f"{PREFIX}{image.name}", reference, why)
        row.job_count = sum(counts[key] for key in names)
        row.job_query = f"image:{PREFIX}{image.name}"
        row.custom_id = image.pk
        row.is_building = any(version.status == VersionStatus.BUILDING for version in current)
        row.pushed = next(iter(ready.pushed_digests.values()), "") if ready else ""
        row.built_at = ready.ended_at if ready else None
        rows.append(row)
    return rows


def _is_named_by(reference: str, image: CustomImage) -> bool:
    name = parse_custom(reference) if reference and is_custom(reference) else None
    return name is not None and name.name == image.name


def _describe_recipe(version: ImageVersion) -> str:
    recipe = version.recipe
    if recipe.get("dockerfile"):
        return f"{recipe['base']} + Dockerfile"
    packages = [name for kind in ("python", "node", "system") for name in recipe.get(kind, ())]
    return f"{recipe.get('base', '')} + {', '.join(packages)}" if packages else str(recipe.get("base", ""))


def _build_job_rows(counts: JobCounts, known: set[str]) -> list[ImageRow]:
    numbers: dict[str, int] = defaultdict(int)
    languages: dict[str, str] = {}
    for (_, language, image), number in sorted(counts.items(), key=lambda item: item[0][2]):
        if image and not is_custom(image) and canonicalize_reference(image) not in known:
            numbers[image] += number
            languages.setdefault(image, language)
    rows = []
    for image, number in numbers.items():
        key, label = sha256(image.encode()).hexdigest()[:12], _shorten_name(image)
        row = ImageRow(f"image-{key}", label, languages[image], image, image, "set in jobs", number)
        row.job_query = f"image:{image}"
        rows.append(row)
    return rows


def _shorten_name(reference: str) -> str:
    """ghcr.io/acme/tools:9 -> tools."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _add_presence(rows: Iterable[ImageRow]) -> None:
    rows = [row for row in rows if row.reference]
    references = [row.reference for row in rows]
    pushed = [row.pushed for row in rows if row.pushed]
    rules = resolve_policies([*references, *pushed])
    presence, policies = find_presence(references), find_policies(references)
    verdicts = collect_verdicts(list_disks())
    pulls: dict[str, list[PulledImage]] = defaultdict(list)
    for pull in list_pulls(reference for reference in references if not is_local_name(reference)):
        pulls[pull.reference].append(pull)
    for row in rows:
        row.presence, row.rule = presence[row.reference], rules[row.reference]
        row.pulls = pulls[canonicalize_reference(row.reference)]
        row.own_policy = policies.get(row.reference)
        row.pushed_rule = rules[row.pushed] if row.pushed else None
        row.keeping = _explain_keeping(row, verdicts)


def _explain_keeping(row: ImageRow, verdicts: Verdicts) -> Keeping:
    if not row.presence.present:
        return Keeping()
    if row.is_local and not is_custom(row.reference):
        return Keeping(
            f"never removed: the image of {row.label} jobs" if row.facts else "never removed: an image of Cronium"
        )
    name = row.reference if row.is_local else canonicalize_reference(row.reference)
    keeping = summarize_keeping(name, row.presence.present, verdicts)
    if keeping.words or row.is_local or row.pulls:
        return keeping
    return Keeping("stays: Cronium did not pull it")
