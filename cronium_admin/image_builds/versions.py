"""The versions of custom images: every change of their status. `retention` decides which of them may go.

A version is `building` as long as its run is live. What the run's host writes is conditional on the run's lease.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef

from cronium_admin.core.database.clock import Now
from cronium_admin.image_builds.dockerfile.parse import DockerfileError, parse_dockerfile
from cronium_admin.images.custom import PREFIX, CustomName, format_engine_tag, is_custom, parse_custom
from cronium_admin.images.models import CustomImage, ImageVersion, VersionStatus
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import LIVE, ON_HOST, Run
from cronium_admin.warm.models import WarmSandbox

_TAIL_LINES = 20


@dataclass(frozen=True)
class BuiltVersion:
    """What a host knows of the image that it has built, tested and named."""

    host: str
    base_digest: str
    config_digest: str
    manifest_digest: str
    image_id: str
    size: int
    packages: Sequence[Sequence[str]]
    sbom: str
    smoke: Sequence[dict[str, Any]] = field(default_factory=tuple)
    pushed: Mapping[str, str] = field(default_factory=dict)  # repository@sha256:... by registry


def find_by_run(run_id: UUID) -> ImageVersion | None:
    return ImageVersion.objects.select_related("image").filter(run_id=run_id).first()


def mark_ready(run_id: UUID, epoch: int, built: BuiltVersion) -> bool:
    """building -> ready, by the holder of the run's lease. False if it lost the lease or the version has ended."""
    changed = _select_building(run_id, epoch).update(
        status=VersionStatus.READY,
        host=built.host,
        base_digest=built.base_digest,
        config_digest=built.config_digest,
        manifest_digest=built.manifest_digest,
        image_id_on_host=built.image_id,
        size=built.size,
        packages=[list(package) for package in built.packages],
        sbom=built.sbom,
        smoke=list(built.smoke),
        pushed_digests=dict(built.pushed),
        ended_at=Now(),
    )
    return bool(changed)


def mark_failed(
    run_id: UUID, epoch: int, reason: str, message: str, output: bytes = b"", smoke: Sequence[dict[str, Any]] = ()
) -> bool:
    """building -> failed, by the holder of the run's lease. `output` is the end of the build's masked output."""
    return bool(_select_building(run_id, epoch).update(**_make_failure(reason, message, output), smoke=list(smoke)))


def _select_building(run_id: UUID, epoch: int) -> Any:
    held = Run.objects.filter(pk=OuterRef("run_id"), status__in=ON_HOST, lease_epoch=epoch)
    return ImageVersion.objects.filter(Exists(held), run_id=run_id, status=VersionStatus.BUILDING)


def _make_failure(reason: str, message: str, output: bytes = b"") -> dict[str, Any]:
    lines = output.decode("utf-8", "replace").replace("\0", "").splitlines()[-_TAIL_LINES:]
    ending = {"status": VersionStatus.FAILED, "reason": reason, "message": message, "ended_at": Now()}
    return {**ending, "log_tail": "\n".join(line[:500] for line in lines)}


def settle_builds() -> int:
    """Ends the versions whose run has ended without its host's word: cancelled in the queue, lost, or deleted.

    Any process may call it. Returns the number of settled versions.
    """
    building = list(ImageVersion.objects.filter(status=VersionStatus.BUILDING).values_list("pk", "run_id"))
    if not building:
        return 0
    rows = Run.objects.filter(pk__in=[run_id for _, run_id in building])
    runs = {pk: (status, reason, message) for pk, status, reason, message in rows.values_list(*_RUN_COLUMNS)}
    settled = 0
    for pk, run_id in building:
        status, reason, message = runs.get(run_id, ("", "run_deleted", "The run of this build was deleted."))
        if status not in LIVE:
            unchanged = ImageVersion.objects.filter(pk=pk, status=VersionStatus.BUILDING)
            settled += unchanged.update(**_make_failure(reason, message))
    return settled


_RUN_COLUMNS = ("pk", "status", "reason", "message")


def find_jobs_by_image(images: Sequence[CustomImage]) -> dict[int, list[tuple[str, int | None]]]:
    """Of each image, by id: the jobs of its project that name it, with the number that they name; by slug."""
    ids = {(image.project_id, image.name): image.pk for image in images}
    rows = Job.objects.filter(project__in={image.project_id for image in images}, image__contains=PREFIX)
    found: dict[int, list[tuple[str, int | None]]] = {}
    for project_id, slug, reference in rows.order_by("slug").values_list("project_id", "slug", "image"):
        name = parse_custom(reference) if is_custom(reference) else None
        if name and (project_id, name.name) in ids:
            found.setdefault(ids[project_id, name.name], []).append((slug, name.number))
    return found


def find_images_built_on(images: Sequence[CustomImage]) -> dict[int, list[tuple[str, int | None]]]:
    """Of each image, by id: the other images of its project whose Dockerfile begins from it, with the number that
    they name; by name."""
    ids = {(image.project_id, image.name): image.pk for image in images}
    rows = CustomImage.objects.filter(project__in={image.project_id for image in images})
    rows = rows.filter(recipe__has_key="dockerfile").order_by("name")
    found: dict[int, list[tuple[str, int | None]]] = {}
    for project_id, builder, text in rows.values_list("project_id", "name", "recipe__dockerfile"):
        name = _find_custom_base(text) if text else None
        if name and (project_id, name.name) in ids and name.name != builder:
            found.setdefault(ids[project_id, name.name], []).append((builder, name.number))
    return found


def _find_custom_base(dockerfile: str) -> CustomName | None:
    try:
        base = parse_dockerfile(dockerfile).base
    except DockerfileError:  # stored by an earlier version with other rules: its next build is refused
        return None
    return parse_custom(base) if is_custom(base) else None


def list_users(image: CustomImage) -> list[str]:
    """What names the image: jobs, and images that are built on it, as "the job backup"."""
    jobs, built = find_jobs_by_image([image]), find_images_built_on([image])
    names = [f"the job {slug}" for slug, _ in jobs.get(image.pk, [])]
    return names + [f"the Dockerfile of {name}" for name, _ in built.get(image.pk, [])]


def find_namings(images: Sequence[CustomImage]) -> dict[tuple[int, int], str]:
    """By image and number: what names exactly this version, as a clause."""
    built, jobs = find_images_built_on(images), find_jobs_by_image(images)
    found: dict[tuple[int, int], str] = {}
    for subject, users in (("the Dockerfile of", built), ("the job", jobs)):  # a job comes first
        for pk, named in users.items():
            for name, number in reversed(named):
                if number is not None:
                    found[pk, number] = f"{subject} {name} names it"
    return found


def find_use(version: ImageVersion) -> str:
    """Why the version's image can't be removed, as a clause; empty if it can."""
    image = version.image
    if naming := find_namings([image]).get((image.pk, version.number)):
        return naming
    tag = format_engine_tag(image.project_id, image.name, version.number)
    run = Run.objects.filter(status__in=LIVE, image=tag).values_list("pk", flat=True).first()
    return f"the run {run} uses it" if run else ""


def mark_removed(version: ImageVersion) -> bool:
    """ready -> removed: no further run gets it, and its hosts remove the image. False if it is in use by now."""
    return bool(_select_unused(version).update(status=VersionStatus.REMOVED, removed_at=Now()))


def mark_unneeded(version: ImageVersion) -> bool:
    """The same for a version that nobody asked to remove: a waiting sandbox keeps it too."""
    tag = format_engine_tag(version.image.project_id, version.image.name, version.number)
    waiting = WarmSandbox.objects.filter(image=tag)
    return bool(_select_unused(version).exclude(Exists(waiting)).update(status=VersionStatus.REMOVED, removed_at=Now()))


def _select_unused(version: ImageVersion) -> Any:
    image = version.image
    runs = Run.objects.filter(status__in=LIVE, image=format_engine_tag(image.project_id, image.name, version.number))
    jobs = Job.objects.filter(project=image.project_id, image__endswith=f"{PREFIX}{image.name}:{version.number}")
    rows = ImageVersion.objects.filter(pk=version.pk, status=VersionStatus.READY, pinned=False)
    return rows.exclude(Exists(runs)).exclude(Exists(jobs))


def is_building_on(host: str) -> bool:
    """Whether a build is in progress on the host."""
    building = ImageVersion.objects.filter(status=VersionStatus.BUILDING).values("run_id")
    return Run.objects.filter(pk__in=building, status__in=ON_HOST, host=host).exists()


def find_ready_ids(image_ids: Collection[str]) -> set[str]:
    """Those of the ids that a version which is ready has on its host."""
    rows = ImageVersion.objects.filter(status=VersionStatus.READY, image_id_on_host__in=image_ids)
    return set(rows.values_list("image_id_on_host", flat=True))
