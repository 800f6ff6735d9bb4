"""Finds the image of a run on its engine, and refuses a container runtime that the engine does not have."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from executor.docker.errors import ImageMissing, RuntimeMissing
from executor.docker.models import ImageFacts
from executor.docker.protocol import EngineLike
from executor.naming import strip_tag
from executor.spec import Shape


def find_image(engine: EngineLike, shape: Shape) -> ImageFacts:
    """The facts of the shape's image; ImageMissing when the engine does not have it.

    An exact image is found by the digest that an engine reported earlier. With containerd's image store this is the
    manifest's digest, which an engine with the older store knows as `repository@digest`.
    """
    if not shape.image_digest:
        return engine.describe_image(shape.image)
    names = (shape.image_digest, f"{strip_tag(shape.image)}@{shape.image_digest}", shape.image_resolved)
    for reference in filter(None, names):
        with suppress(ImageMissing):
            return engine.describe_image(reference)
    raise ImageMissing(
        f"The image of the earlier run, {shape.image} with the digest {shape.image_digest}, is no longer on the host "
        f"{shape.host}, so the run cannot be repeated exactly. Load that image there, or run the job as it is now."
    )


@contextmanager
def explain_removed_image(shape: Shape) -> Iterator[None]:
    """A container is created from the image's id: ImageMissing then names the image as the job does."""
    try:
        yield
    except ImageMissing as error:
        raise ImageMissing(
            f"The image {shape.image} was removed from the host {shape.host} before the run's container was created. "
            "Build or pull it there, or choose another image."
        ) from error


def refuse_unknown_runtime(engine: EngineLike, shape: Shape) -> None:
    if shape.runtime and shape.runtime not in (offered := engine.list_runtimes()):
        raise RuntimeMissing(
            f"The engine of {shape.host} does not have the runtime {shape.runtime!r}; it has "
            f"{', '.join(offered) or 'none by name'}. Choose another in the profile, or add it to the engine's "
            "daemon.json and restart the engine."
        )
