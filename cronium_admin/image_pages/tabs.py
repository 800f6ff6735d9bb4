"""The tabs of the Images page, with the number of rows of each."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.images.custom import is_custom
from cronium_admin.images.models import CustomImage, ImageVersion, Language, VersionStatus
from cronium_admin.images.reference import canonicalize_reference
from cronium_admin.images.resolution import resolve_image
from cronium_admin.jobs.models import Job
from cronium_admin.registries.models import Registry


@dataclass(frozen=True)
class TabCounts:
    """`images` and `registries` are None for users who do not see these tabs."""

    images: int | None
    builds: int
    building: int  # of them, those with a build in progress
    registries: int | None


def count_tabs(user: User, *, images: int | None = None, registries: int | None = None) -> TabCounts:
    """`images` and `registries`: the number of rows of these tabs, if it is known."""
    live = ImageVersion.objects.filter(image=OuterRef("pk"), status=VersionStatus.BUILDING)
    rows = CustomImage.objects.visible_to(user).annotate(is_building=Exists(live))
    building = list(rows.values_list("is_building", flat=True))
    if not user.has_permission(Permission.VIEW):
        return TabCounts(None, len(building), sum(building), None)
    images = _count_images(user, len(building)) if images is None else images
    registries = Registry.objects.count() if registries is None else registries
    return TabCounts(images, len(building), sum(building), registries)


def _count_images(user: User, custom: int) -> int:
    jobs = Job.objects.visible_to(user).exclude(image="").order_by().values_list("image", flat=True)
    named = [image for image in jobs.distinct() if not is_custom(image)]
    if named:
        languages = {canonicalize_reference(resolve_image(language).reference) for language in Language}
        named = [image for image in named if canonicalize_reference(image) not in languages]
    return len(Language) + custom + len(named)
