"""Finds the image of a run on its engine, and refuses a container runtime that the engine does not have."""

from contextlib import suppress

from executor.docker.errors import ImageMissing, RuntimeMissing
from executor.docker.models import ImageFacts
from executor.docker.protocol import EngineLike
from executor.spec import RunSpec


def find_image(engine: EngineLike, spec: RunSpec) -> ImageFacts:
    """The facts of the spec's image; ImageMissing when the engine does not have it.

    An exact image is found by the digest that an engine reported earlier. With containerd's image store this is the
    manifest's digest, which an engine with the older store knows as `repository@digest`.
    """
    if not spec.image_digest:
        return engine.describe_image(spec.image)
    for reference in (spec.image_digest, f"{_strip_tag(spec.image)}@{spec.image_digest}"):
        with suppress(ImageMissing):
            return engine.describe_image(reference)
    raise ImageMissing(
        f"The image of the earlier run, {spec.image} with the digest {spec.image_digest}, is no longer on the host "
        f"{spec.host}, so the run cannot be repeated exactly. Load that image there, or run the job as it is now."
    )


def refuse_unknown_runtime(engine: EngineLike, spec: RunSpec) -> None:
    if spec.runtime and spec.runtime not in (offered := engine.list_runtimes()):
        raise RuntimeMissing(
            f"The engine of {spec.host} does not have the runtime {spec.runtime!r}; it has "
            f"{', '.join(offered) or 'none by name'}. Choose another in the profile, or add it to the engine's "
            "daemon.json and restart the engine."
        )


def _strip_tag(reference: str) -> str:
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]
