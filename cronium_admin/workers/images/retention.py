"""Which of the images that a host has pulled stay, and why. `choose_removable` is pure; the rest reads rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cronium_admin.core.database.clock import database_now
from cronium_admin.image_builds.retention import explain_versions
from cronium_admin.images.models import (
    CustomImage,
    HostImage,
    ImageVersion,
    Language,
    PulledImage,
    PullState,
    VersionStatus,
)
from cronium_admin.images.reference import canonicalize_reference, make_kept_reference
from cronium_admin.images.resolution import resolve_image
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import LIVE, Run
from cronium_admin.warm.models import WarmSandbox


@dataclass(frozen=True)
class PresentImage:
    """An image that this host has pulled. `names` are all names that the pull gave it; `used_at` is its last use."""

    reference: str
    digest: str
    image_id: str
    size: int  # bytes; layers that it shares with others count
    used_at: datetime
    names: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """`why` is a clause: why it stays, or why it may go."""

    image: PresentImage
    is_removable: bool
    why: str

    @property
    def as_json(self) -> dict[str, Any]:
        return {
            "reference": self.image.reference,
            "size": self.image.size,
            "why": self.why,
            "removable": self.is_removable,
        }


def choose_removable(
    images: Sequence[PresentImage], uses: Mapping[str, str], now: datetime, keep: timedelta, *, is_urgent: bool
) -> list[Verdict]:
    """In the order in which they would be removed: least recently used first.

    `uses`: why something needs the image, by reference, digest or id. `is_urgent`: the disk is nearly full, so a recent
    use alone keeps no image.
    """
    verdicts = []
    for image in sorted(images, key=lambda image: (image.used_at, image.reference)):
        use = next((uses[name] for name in (image.reference, image.digest, image.image_id) if uses.get(name)), "")
        age = now - image.used_at
        if use:
            verdicts.append(Verdict(image, False, use))
        elif age < keep and not is_urgent:
            verdicts.append(Verdict(image, False, f"used within the last {keep.days} days"))
        else:
            verdicts.append(Verdict(image, True, f"nothing needs it; last used {describe_days(age)}"))
    return verdicts


def describe_days(age: timedelta) -> str:
    days = max(0, age.days)
    return "today" if days == 0 else f"{days} day{'s' if days != 1 else ''} ago"


def list_present(host: str) -> list[PresentImage]:
    rows = list(PulledImage.objects.filter(host=host, state=PullState.PRESENT).exclude(digest=""))
    sizes = dict(HostImage.objects.filter(inventory__host=host).values_list("image_id", "size"))
    return [
        PresentImage(
            row.reference,
            row.digest,
            row.image_id,
            sizes.get(row.image_id, 0),
            row.last_used_at or row.changed_at,
            tuple(dict.fromkeys((row.reference, make_kept_reference(row.digest), row.digest))),
        )
        for row in rows
    ]


def find_uses(queues: tuple[str, ...]) -> dict[str, str]:
    """What needs an image on a host with these queues, by the image's reference, digest or id."""
    uses: dict[str, str] = {}
    for language in Language:
        choice = resolve_image(language.value)
        uses[canonicalize_reference(choice.reference)] = f"the image of {language.label} jobs"
    jobs = Job.objects.filter(enabled=True, queue__in=queues).exclude(image="").order_by("slug")
    for slug, image in jobs.values_list("slug", "image"):
        uses.setdefault(canonicalize_reference(image), f"the job {slug} uses it")
    for image_id in WarmSandbox.objects.exclude(image_id="").values_list("image_id", flat=True).distinct():
        uses[image_id] = "a waiting sandbox uses it"
    runs = Run.objects.filter(status__in=LIVE).order_by("created_at")
    for slug, number, *names in runs.values_list("job_slug", "number", "image", "image_resolved", "image_digest"):
        for name in filter(None, names):
            uses[canonicalize_reference(name)] = f"the run {slug} #{number} uses it"
    return _find_version_uses() | uses


def _find_version_uses() -> dict[str, str]:
    """Of the custom images that hosts may have pulled: by their digest in a registry, and by the id where they were
    built."""
    pushed = ImageVersion.objects.filter(status=VersionStatus.READY).exclude(pushed_digests={})
    images = list(CustomImage.objects.filter(pk__in=pushed.values("image")).order_by("pk"))
    uses: dict[str, str] = {}
    for verdict in explain_versions(images) if images else []:
        version = verdict.version
        if verdict.is_needed:
            names = [*version.pushed_digests.values(), version.image_id_on_host]
            why = f"version {version.number} of the image {version.image.name}: {verdict.why}"
            uses |= {canonicalize_reference(name): why for name in names if name}
    return uses


def is_building() -> bool:
    """Whether a custom image is being built: a clean-up beside it could remove what the build needs."""
    return ImageVersion.objects.filter(status=VersionStatus.BUILDING).exists()


def read_now() -> datetime:
    return database_now()
