"""What a well-formed image reference is."""

import re

from django.core.exceptions import ValidationError

MAX_LENGTH = 255
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = (
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]{1,5})?/)?"
)
_REFERENCE = re.compile(
    rf"{_DOMAIN}{_COMPONENT}(?:/{_COMPONENT})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)


def validate_reference(value: str) -> None:
    """Refuse what the engine would not take as `[registry/]name[:tag][@sha256:digest]`."""
    if len(value) > MAX_LENGTH or not _REFERENCE.fullmatch(value):
        raise ValidationError(
            "Not an image name. Write it as [registry/]name[:tag] or [registry/]name@sha256:digest, in lower "
            "case and without spaces, such as cronium/runner:python-alpine.",
            code="image_reference",
        )
