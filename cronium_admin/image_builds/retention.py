"""Which versions of custom images stay on hosts, and why; the removal of those that nothing needs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Q

from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.image_builds.versions import find_namings, mark_unneeded
from cronium_admin.images.custom import format_engine_tag
from cronium_admin.images.models import CustomImage, ImageVersion, VersionStatus
from cronium_admin.registries.models import PullPolicy
from cronium_admin.registries.rules import resolve_policies
from cronium_admin.runs.models import LIVE, Run
from cronium_admin.warm.models import WarmSandbox

KEPT_VERSIONS = 3  # the newest ready versions of an image
# From `removed` to the removal on hosts: a launch that read the version before has stored its run by then.
REMOVAL_DELAY = timedelta(minutes=2)
_RESTORE_WITHIN = REMOVAL_DELAY - timedelta(seconds=20)

Place = tuple[int, str, int]  # project, name and number: the parts of an engine tag


@dataclass(frozen=True)
class VersionVerdict:
    """`why` is a clause: why the version stays on its hosts, or why it may go."""

    version: ImageVersion
    is_needed: bool
    why: str
    source: str = ""  # the registry that runs can pull it from; a version without one can't come back


@dataclass(frozen=True)
class TagVerdict:
    """The same of a name on an engine. `is_due`: the host may remove it now."""

    is_needed: bool
    why: str
    is_due: bool = False


def list_unneeded(image: CustomImage) -> list[ImageVersion]:
    """The ready versions that may leave the hosts, oldest first."""
    return [verdict.version for verdict in explain_versions([image]) if not verdict.is_needed]


def explain_versions(images: Sequence[CustomImage]) -> list[VersionVerdict]:
    """The ready versions of the images, oldest first."""
    rows = ImageVersion.objects.filter(image__in=images, status=VersionStatus.READY).select_related("image")
    ready = list(rows.defer("sbom", "packages", "log_tail", "smoke").order_by("-number"))
    if not ready:
        return []
    namings, sources = find_namings(images), _find_sources(ready)
    tags = {version.pk: format_version_tag(version) for version in ready}
    users = _find_waiting(ready, tags) | find_run_users(list(tags.values()))
    counts: dict[int, int] = defaultdict(int)
    verdicts = []
    for version in ready:
        counts[version.image_id] += 1
        why = _find_reason(version, counts[version.image_id], namings, users)
        source = sources.get(version.pk, "")
        verdicts.append(VersionVerdict(version, bool(why), why or _describe_unneeded(source), source))
    return sorted(verdicts, key=lambda verdict: (verdict.version.created_at, verdict.version.pk))


def format_version_tag(version: ImageVersion) -> str:
    return format_engine_tag(version.image.project_id, version.image.name, version.number)


def find_run_users(tags: Sequence[str]) -> dict[str, str]:
    """By tag: which queued or running run uses the image, as a clause."""
    runs = Run.objects.filter(status__in=LIVE, image__in=tags).order_by("-created_at")
    rows = runs.values_list("image", "job_slug", "number")
    return {image: f"the run {slug} #{number} uses it" for image, slug, number in rows}


def _find_waiting(versions: Sequence[ImageVersion], tags: Mapping[int, str]) -> dict[str, str]:
    by_id = {version.image_id_on_host: tags[version.pk] for version in versions if version.image_id_on_host}
    waiting = WarmSandbox.objects.filter(Q(image__in=tags.values()) | Q(image_id__in=by_id))
    found = {by_id.get(image_id, image) for image, image_id in waiting.values_list("image", "image_id")}
    return dict.fromkeys(found, "a waiting sandbox uses it")


def _find_reason(
    version: ImageVersion, place: int, namings: Mapping[tuple[int, int], str], users: Mapping[str, str]
) -> str:
    """`place` counts the image's ready versions from the newest, which is 1. Empty if nothing needs the version."""
    if version.pinned:
        return "it is pinned"
    if place == 1:
        return "the newest version"
    if naming := namings.get((version.image_id, version.number)):
        return naming
    if user := users.get(format_version_tag(version)):
        return user
    return f"one of the newest {KEPT_VERSIONS} versions" if place <= KEPT_VERSIONS else ""


def _describe_unneeded(source: str) -> str:
    why = f"{KEPT_VERSIONS} newer versions are ready, and nothing names it"
    return f"{why}; runs can still pull it from {source}" if source else why


def _find_sources(versions: Sequence[ImageVersion]) -> dict[int, str]:
    """By version: the registry that hosts may pull it from. A launch uses the first pushed digest."""
    pushed = {version.pk: exact for version in versions if (exact := next(iter(version.pushed_digests.values()), ""))}
    rules = resolve_policies(pushed.values()) if pushed else {}
    return {
        pk: rule.registry.address
        for pk, exact in pushed.items()
        if (rule := rules[exact]).registry is not None and rule.policy != PullPolicy.NEVER
    }


def remove_unneeded() -> list[str]:
    """ready -> removed, of the versions that nothing needs and no registry has, oldest first. Returns their tags.

    Any process may call it. A version that a registry has stays ready: only its image leaves the hosts.
    """
    is_ready = Q(versions__status=VersionStatus.READY)
    counted = CustomImage.objects.annotate(ready=Count("versions", filter=is_ready))
    images = list(counted.filter(ready__gt=KEPT_VERSIONS).order_by("pk"))
    gone = [verdict.version for verdict in explain_versions(images) if not verdict.is_needed and not verdict.source]
    return [format_version_tag(version) for version in gone if mark_unneeded(version)]


def restore_named() -> int:
    """removed -> ready, of the versions that something names which was saved while they were being removed.

    The image of a version is still on its hosts, which wait REMOVAL_DELAY.
    """
    recent = ImageVersion.objects.filter(status=VersionStatus.REMOVED, removed_at__gt=Now() - _RESTORE_WITHIN)
    rows = list(recent.select_related("image").defer("sbom"))
    namings = find_namings([version.image for version in rows]) if rows else {}
    named = [version for version in rows if (version.image_id, version.number) in namings]
    restored = ImageVersion.objects.filter(
        pk__in=[version.pk for version in named],
        status=VersionStatus.REMOVED,
        removed_at__gt=Now() - _RESTORE_WITHIN,
    )
    return restored.update(status=VersionStatus.READY, removed_at=None) if named else 0


def explain_tags(places: Sequence[Place]) -> dict[Place, TagVerdict]:
    """Which of these custom images on an engine stay there."""
    names = {name for _, name, _ in places}
    found = ImageVersion.objects.filter(image__name__in=names).select_related("image")
    rows = {
        (row.image.project_id, row.image.name, row.number): row
        for row in found.defer("sbom", "packages", "log_tail", "smoke")
    }
    images = {rows[place].image_id: rows[place].image for place in places if place in rows}
    verdicts = {verdict.version.pk: verdict for verdict in explain_versions(list(images.values()))}
    users = find_run_users([format_engine_tag(*place) for place in places])
    removed_before = database_now() - REMOVAL_DELAY
    explained = {}
    for place in places:
        row, user = rows.get(place), users.get(format_engine_tag(*place))
        if user and (row is None or row.status != VersionStatus.READY):
            explained[place] = TagVerdict(True, user)
        elif row is None:
            explained[place] = TagVerdict(False, "its image was deleted", True)
        elif row.status == VersionStatus.BUILDING:
            explained[place] = TagVerdict(True, "it is being built")
        elif row.pk in verdicts:
            verdict = verdicts[row.pk]
            is_due = bool(verdict.source) and not verdict.is_needed
            explained[place] = TagVerdict(verdict.is_needed, verdict.why, is_due)
        elif row.status == VersionStatus.FAILED:
            explained[place] = TagVerdict(False, "its build failed", True)
        else:
            is_due = row.removed_at is None or row.removed_at < removed_before
            explained[place] = TagVerdict(False, "the version was removed", is_due)
    return explained
