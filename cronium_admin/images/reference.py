"""Validates and normalizes image references. Pure."""

import re

from django.core.exceptions import ValidationError

MAX_LENGTH = 255
RAW = "cronium/build-raw"  # a build's container, until it is an image
KEPT = "cronium/kept"  # second names, by which hosts keep images: they say nothing about permission
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = (
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]{1,5})?/)?"
)
_REFERENCE = re.compile(
    rf"{_DOMAIN}{_COMPONENT}(?:/{_COMPONENT})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)


def validate_reference(value: str) -> None:
    """Raises ValidationError unless the engine accepts `value` as `[registry/]name[:tag][@sha256:digest]`."""
    if len(value) > MAX_LENGTH or not _REFERENCE.fullmatch(value):
        raise ValidationError(
            "Not an image name. Write it as [registry/]name[:tag] or [registry/]name@sha256:digest, in lower "
            "case and without spaces, such as cronium/runner:python-alpine.",
            code="image_reference",
        )
    if is_image_id(value):
        raise ValidationError(
            "Looks like an image's id, which says nothing about who may use the image. Write the name with its tag, or "
            "with @sha256:digest.",
            code="image_reference",
        )
    if canonicalize_reference(value).startswith((f"docker.io/{KEPT}", f"docker.io/{RAW}")):
        raise ValidationError(
            f"Names that begin with {KEPT} or {RAW} are Cronium's own. Name the image itself.", code="image_reference"
        )


def make_kept_reference(digest: str) -> str:
    """The second name of an image, of its id or digest: without a name of its own, a prune would remove it."""
    return f"{KEPT}:{digest.rpartition(':')[2][:12]}"


def is_image_id(value: str) -> bool:
    """Whether an engine may read `value` as the id of an image, or as the beginning of one."""
    return bool(re.fullmatch(r"(?:sha256:)?[0-9a-f]{1,64}", value))


def canonicalize_reference(reference: str) -> str:
    """The full form of a reference, as the engine reads it: with registry, and with a digest or a tag."""
    if re.fullmatch(r"sha256:[0-9a-f]{64}", reference):
        return reference  # an image id
    name, _, digest = reference.partition("@")
    registry, slash, path = name.partition("/")
    if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
        registry, path = "docker.io", name
    if registry == "index.docker.io":
        registry = "docker.io"
    if registry == "docker.io" and "/" not in path:
        path = f"library/{path}"
    folder, _, name_and_tag = path.rpartition("/")
    image, _, tag = name_and_tag.partition(":")
    full = "/".join(filter(None, [registry, folder, image]))
    return f"{full}@{digest}" if digest else f"{full}:{tag or 'latest'}"


_FAMILIES = {
    "bash": {"bash", "shell"},
    "python": {"python", "python3", "pypy"},
    "node": {"node", "nodejs"},
    "ruby": {"ruby"},
    "php": {"php"},
    "go": {"golang"},
    "java": {"java", "openjdk", "temurin"},
}


def find_other_family(reference: str, language: str) -> str:
    """The language in the name of an image if it differs from `language`; empty if it does not or there is none."""
    words = set(re.split(r"[^a-z0-9]+|(?<=[a-z])(?=[0-9])", reference.partition("@")[0].lower()))
    families = [family for family, names in _FAMILIES.items() if names & words]
    return families[0] if families and language not in families else ""
