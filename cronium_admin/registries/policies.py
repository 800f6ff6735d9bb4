"""Pull policies of single images, which precede those of their registries."""

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import transaction

from cronium_admin.accounts.models import User
from cronium_admin.accounts.retired_versions import first_version, retire_version
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.edit_versions import EditConflict, check_deletion, check_version, write_edit
from cronium_admin.images.reference import validate_reference
from cronium_admin.registries.addresses import is_local_name, list_prefixes
from cronium_admin.registries.models import ImagePolicy, PullPolicy

KIND = "image policy"


def parse_image_name(reference: str) -> str:
    """The canonical name without tag and digest. Raises ValidationError for `image`."""
    try:
        validate_reference(reference)
    except ValidationError as error:
        raise ValidationError({"image": error.messages}) from None
    return list_prefixes(reference)[0]


def list_policies() -> list[ImagePolicy]:
    return list(ImagePolicy.objects.select_related("updated_by"))


def find_policy(image: str) -> ImagePolicy | None:
    """The image's own policy; `image` is a canonical name."""
    return ImagePolicy.objects.filter(image=image).select_related("updated_by").first()


def find_policies(references: Iterable[str]) -> dict[str, ImagePolicy]:
    """The own policies of the images, by reference; images without one are missing."""
    names = {reference: list_prefixes(reference)[0] for reference in references if not is_local_name(reference)}
    found = {row.image: row for row in ImagePolicy.objects.filter(image__in=set(names.values()))} if names else {}
    return {reference: found[name] for reference, name in names.items() if name in found}


def set_image_policy(reference: str, policy: str, by: User, version: int | None = None) -> ImagePolicy:
    """Sets the policy of all tags of an image. Raises ValidationError by field, and EditConflict if `version` is not
    the current one (0: the image has no policy)."""
    name = parse_image_name(reference)
    if policy not in PullPolicy.values:
        raise ValidationError({"policy": f"Choose one of {', '.join(PullPolicy.values)}."})
    if is_local_name(reference):
        raise ValidationError({"image": "Images of Cronium are built here: hosts never pull them."})
    with transaction.atomic():
        rows = ImagePolicy.objects.select_for_update(of=("self",)).select_related("updated_by")
        first = first_version(KIND, name)
        new = {"policy": policy, "updated_by": by, "updated_at": database_now(), "version": first}
        stored, is_new = rows.get_or_create(image=name, defaults=new)
        if is_new:
            return stored
        if version == 0:
            raise EditConflict(stored)
        check_version(stored, version)
        if stored.policy != policy:
            write_edit(stored, {"policy": policy}, by)
        return stored


def delete_image_policy(reference: str, version: int | None = None) -> bool:
    """The image's registry decides again. False if the image had no policy of its own. Raises as `set_image_policy`."""
    name = parse_image_name(reference)
    with transaction.atomic():
        rows = ImagePolicy.objects.select_for_update(of=("self",)).select_related("updated_by")
        stored = rows.filter(image=name).first()
        if stored is None:
            return False
        check_deletion(stored, version)
        retire_version(KIND, name, stored.version)
        stored.delete()
        return True
