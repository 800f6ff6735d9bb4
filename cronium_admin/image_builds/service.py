"""Creates, edits and deletes custom images; for API and pages. `launch` starts their builds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, ProjectId
from cronium_admin.accounts.projects import check_can, choose_project_id, choose_row
from cronium_admin.accounts.retired_versions import first_version, retire_version
from cronium_admin.core.edit_versions import check_deletion, check_version, write_edit
from cronium_admin.core.errors import ApiError
from cronium_admin.core.line_text import find_line_problem
from cronium_admin.image_builds.dockerfile_rules import check_base, check_dockerfile_right
from cronium_admin.image_builds.recipe import Recipe, parse_recipe
from cronium_admin.image_builds.versions import find_use, list_users, mark_removed, settle_builds
from cronium_admin.images.custom import make_repository_name
from cronium_admin.images.models import CustomImage, ImageVersion, VersionStatus
from cronium_admin.registries.models import Registry
from cronium_admin.registries.rules import find_push_problem

KIND, BUILDS = "custom image", "custom image build"
MAX_DESCRIPTION = 500
RESERVED_NAMES = frozenset({"suggestions"})  # routes under /custom-images
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class ImageFields:
    """The given fields of a new image or of an edit; None: not given."""

    name: str | None = None
    description: str | None = None
    recipe: Any = None
    registry: str | None = None  # its address; empty for none


def list_images(user: User) -> QuerySet[CustomImage, CustomImage]:
    settle_builds()
    return CustomImage.objects.visible_to(user).select_related("updated_by").order_by("name", "pk")


def find_image(user: User, name: str, permission: Permission = Permission.VIEW) -> CustomImage:
    """Raises ApiError: 404 if the user sees no such image, 403 without `permission` on it, 409 if several projects,
    but not the default one, have it."""
    rows = CustomImage.objects.visible_to(user).select_related("updated_by").filter(name=name.replace("\0", ""))
    image = choose_row(rows.order_by("pk"), f"a custom image {name[:40]}")
    if image is None:
        raise ApiError(404, "not_found", f"There is no custom image {name[:40]!r}.")
    check_can(user, permission, image)
    return image


def find_image_row(user: User, pk: int, permission: Permission = Permission.VIEW) -> CustomImage:
    """As `find_image`, by id."""
    image = CustomImage.objects.visible_to(user).select_related("updated_by", "created_by").filter(pk=pk).first()
    if image is None:
        raise ApiError(404, "not_found", f"There is no custom image {pk}.")
    check_can(user, permission, image)
    return image


def list_versions(image: CustomImage) -> QuerySet[ImageVersion, ImageVersion]:
    settle_builds()
    return image.versions.select_related("created_by").defer("sbom").order_by("-number")


def find_version(image: CustomImage, number: int) -> ImageVersion:
    settle_builds()
    version = (
        image.versions.select_related("image", "created_by", "updated_by").filter(number=number).first()
        if 0 < number < 2**31
        else None
    )
    if version is None:
        raise ApiError(404, "not_found", f"The image {image.name} has no version {number}.")
    return version


def create_image(fields: ImageFields, by: User) -> CustomImage:
    """Raises ValidationError by field; ApiError 409 for a name that the project has already."""
    project_id = choose_project_id(by, Permission.EDIT)
    recipe, registry_id = _check_fields(fields, None, project_id)
    assert recipe is not None
    check_dockerfile_right(recipe, by, project_id)
    image = CustomImage(
        project_id=project_id,
        name=fields.name or "",
        language=recipe.base,
        description=(fields.description or "").strip(),
        recipe=recipe.values,
        registry_id=registry_id,
        created_by=by,
        updated_by=by,
        version=first_version(KIND, fields.name or "", project_id),
        last_version=first_version(BUILDS, fields.name or "", project_id) - 1,
    )
    try:
        with transaction.atomic():
            image.save(force_insert=True)
    except IntegrityError:
        message = f"There is an image {image.name} already. Choose another name, or edit that image."
        raise ApiError(409, "name_taken", message, {"name": [message]}) from None
    return image


def edit_image(image: CustomImage, fields: ImageFields, by: User, version: int | None = None) -> CustomImage:
    """Changes description and recipe; the versions that were built stay as they are. Raises EditConflict."""
    with transaction.atomic():
        stored = _lock_image(image)
        check_version(stored, version)
        recipe, registry_id = _check_fields(fields, stored, stored.project_id)
        changes: dict[str, Any] = {}
        if recipe is not None and recipe.values != stored.recipe:
            check_dockerfile_right(recipe, by, stored.project_id)
            changes["recipe"] = recipe.values
        if fields.registry is not None and registry_id != stored.registry_id:
            changes["registry_id"] = registry_id
        if fields.description is not None and fields.description.strip() != stored.description:
            changes["description"] = fields.description.strip()
        if changes:
            write_edit(stored, changes, by)
    return stored


def delete_image(image: CustomImage, version: int | None = None) -> None:
    """Deletes an image that no job names; hosts then remove its versions. Raises ApiError 409, also during a build."""
    with transaction.atomic():
        stored = _lock_image(image)
        check_deletion(stored, version)
        settle_builds()
        if stored.versions.filter(status=VersionStatus.BUILDING).exists():
            raise ApiError(409, "build_in_progress", f"A build of {stored.name} is in progress. Cancel its run first.")
        if users := list_users(stored):
            named = ", ".join(users[:3]) + (" and others" if len(users) > 3 else "")
            raise ApiError(409, "image_in_use", f"The image {stored.name} is used by {named}. Change them first.")
        retire_version(KIND, stored.name, stored.version, stored.project_id)
        retire_version(BUILDS, stored.name, stored.last_version, stored.project_id)
        stored.delete()


def pin_version(
    image: CustomImage, number: int, by: User, *, is_pinned: bool, counter: int | None = None
) -> ImageVersion:
    """A pinned version is never removed because it is old. `counter`: its `version` that the edit is based on."""
    version = find_version(image, number)
    check_version(version, counter)
    if is_pinned and version.status != VersionStatus.READY:
        state = version.get_status_display().lower()
        raise ApiError(409, "not_ready", f"Version {number} is {state}. Only a version that is ready can be pinned.")
    if version.pinned != is_pinned:
        write_edit(version, {"pinned": is_pinned}, by)
    return version


def remove_version(image: CustomImage, number: int, counter: int | None = None) -> None:
    """Raises ApiError 409 for a version that is not ready, pinned or in use. `counter` as for `pin_version`."""
    version = find_version(image, number)
    check_deletion(version, counter)
    if version.status != VersionStatus.READY:
        state = version.get_status_display().lower()
        raise ApiError(409, "not_ready", f"Version {number} is {state}: there is no image to remove.")
    if use := "it is pinned" if version.pinned else find_use(version):
        raise ApiError(409, "image_in_use", f"Version {number} of {image.name} stays: {use}.")
    if not mark_removed(version):
        raise ApiError(409, "image_in_use", f"Version {number} of {image.name} came into use at this moment.")


def read_sbom(image: CustomImage, number: int) -> str:
    """The CycloneDX document. Raises ApiError 404 for a version that was never ready."""
    version = find_version(image, number)
    if not version.sbom:
        raise ApiError(404, "not_found", f"Version {number} of {image.name} has no list of packages.")
    return version.sbom


def find_current_versions(images: Sequence[CustomImage]) -> dict[int, list[ImageVersion]]:
    """The versions of each image that are ready or building, newest first, by the image's id."""
    rows = ImageVersion.objects.filter(image__in=images, status__in=(VersionStatus.READY, VersionStatus.BUILDING))
    found: dict[int, list[ImageVersion]] = {}
    for version in rows.defer("sbom", "packages", "log_tail").order_by("-number"):
        found.setdefault(version.image_id, []).append(version)
    return found


def find_latest_versions(images: Sequence[CustomImage]) -> dict[int, ImageVersion]:
    """The version of the last build of each image, by the image's id; images without a build are missing."""
    rows = ImageVersion.objects.filter(image__in=images, number=F("image__last_version"))
    return {version.image_id: version for version in rows.defer("sbom", "packages", "log_tail")}


def _lock_image(image: CustomImage) -> CustomImage:
    rows = CustomImage.objects.select_for_update(of=("self",)).select_related("updated_by")
    stored = rows.filter(pk=image.pk).first()
    if stored is None:
        raise ApiError(404, "not_found", f"The image {image.name} was deleted in the meantime.")
    return stored


def find_registry_addresses(images: Sequence[CustomImage]) -> dict[int | None, str]:
    """The address of each image's registry by the registry's id; a deleted registry has none."""
    ids = {image.registry_id for image in images if image.registry_id}
    rows: dict[int | None, str] = dict(Registry.objects.filter(pk__in=ids).values_list("pk", "address")) if ids else {}
    return rows


def list_push_addresses(project_id: ProjectId) -> list[str]:
    """The addresses of the registries to which the project may push images."""
    usable = Registry.objects.filter(Q(is_shared=True) | Q(projects=project_id), may_push=True)
    return list(usable.order_by("address").values_list("address", flat=True).distinct())


def _find_registry_id(address: str, name: str, project_id: ProjectId, problems: dict[str, list[str]]) -> int | None:
    if not address:
        return None
    registry = Registry.objects.filter(address=address.replace("\0", ""), may_push=True).first()
    if registry is None:
        text = f"There is no registry {address[:80]!r} that allows pushes. An administrator adds it on the Images page."
        problems["registry"] = [text]
        return None
    if problem := find_push_problem(registry, make_repository_name(project_id, name), project_id):
        problems["registry"] = [problem]
    return registry.pk


def _check_fields(
    fields: ImageFields, stored: CustomImage | None, project_id: ProjectId
) -> tuple[Recipe | None, int | None]:
    problems: dict[str, list[str]] = {}
    if stored is None and not _NAME.fullmatch(fields.name or ""):
        problems["name"] = ["Use 1 to 40 lower-case letters, digits and single '-', such as python-reports."]
    if stored is None and "--" in (fields.name or ""):
        problems["name"] = ["Use single '-' only, such as python-reports."]
    if stored is None and fields.name in RESERVED_NAMES:
        problems["name"] = [f"The name {fields.name} is reserved. Choose another name."]
    if fields.description is not None:
        if len(fields.description) > MAX_DESCRIPTION:
            problems["description"] = [f"Has {len(fields.description)} characters; at most {MAX_DESCRIPTION}."]
        elif unclear := find_line_problem(fields.description):
            problems["description"] = [unclear]
    name = stored.name if stored else fields.name or ""
    name = name if _NAME.fullmatch(name) else "x"
    registry_id = _find_registry_id(fields.registry or "", name, project_id, problems)
    recipe = None
    if fields.recipe is not None or stored is None:
        try:
            recipe = parse_recipe(fields.recipe)
            check_base(recipe, project_id)
        except ValidationError as error:
            problems |= {name: list(texts) for name, texts in error.message_dict.items()}
        if recipe and stored and recipe.base != stored.language:
            text = f"The base of {stored.name} is {stored.language} and stays. Create another image for {recipe.base}."
            problems["recipe.base"] = [text]
    if problems:
        raise ValidationError({name: [ValidationError(text) for text in texts] for name, texts in problems.items()})
    return recipe, registry_id
