"""Pushes an image of this host to a registry, with the registry's credentials."""

from collections.abc import Callable

from cronium_admin.images.custom import make_repository_name
from cronium_admin.images.models import CustomImage
from cronium_admin.registries.models import Registry
from cronium_admin.registries.rules import find_push_problem
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.images.certificates import write_authority
from cronium_admin.workers.images.transfer import find_login
from executor.docker.errors import ImagePullAborted, ImagePullDenied
from executor.docker.image_calls import Transfer
from executor.docker.progress import TransferProgress
from executor.docker.protocol import EngineLike
from executor.naming import strip_tag


def find_push_registry(image: CustomImage) -> Registry | None:
    """The registry of a custom image; None without one. Needs the database.

    Raises ImagePullDenied if the image may not be pushed there now.
    """
    if image.registry_id is None:
        return None
    registry = Registry.objects.filter(pk=image.registry_id).first()
    if registry is None or not registry.may_push:
        raise ImagePullDenied(
            f"The registry of the image {image.name} was deleted or allows no pushes. Choose another one, or none."
        )
    if problem := find_push_problem(registry, make_repository_name(image.project_id, image.name), image.project_id):
        raise ImagePullDenied(problem)
    return registry


def push_image(
    engine: EngineLike,
    database: DatabaseThreads,
    registry: Registry,
    image_id: str,
    reference: str,
    is_released: Callable[[], bool],
) -> str:
    """Returns repository@sha256:... The name `reference` stays on the engine only during the push.

    Raises a type of ImagePullFailed; ImagePullAborted soon after `is_released`.
    """
    if registry.ca:
        write_authority(registry, engine)
    login = find_login(database, registry, engine)
    transfer = Transfer()

    def on_progress(_: TransferProgress) -> None:
        if is_released():
            transfer.abort()

    try:
        engine.image_calls.tag(image_id, reference)
        digest = engine.image_calls.push(reference, login, transfer=transfer, on_progress=on_progress)
    finally:
        engine.image_calls.remove(reference)
    if is_released():
        raise ImagePullAborted(f"The push of {reference} was stopped.")
    return f"{strip_tag(reference)}@{digest}"
