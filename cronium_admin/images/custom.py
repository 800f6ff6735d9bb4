"""Names of custom images: what jobs write, what engines have, and what registries have."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID
from cronium_admin.images.reference import canonicalize_reference

PREFIX = "cronium/custom/"
_FULL_PREFIX = f"docker.io/{PREFIX}"
_WRITTEN = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]{0,39})(?::(?P<number>[1-9][0-9]{0,8}))?")


@dataclass(frozen=True)
class CustomName:
    """A custom image as a job names it, within the job's project. `number` is None for the newest ready version."""

    name: str
    number: int | None = None

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}{f':{self.number}' if self.number else ''}"


def format_new_image_query(
    base: str, packages: Iterable[str] = (), *, name: str = "", system: Iterable[str] = ()
) -> str:
    """The query of a link to the form of a new custom image (`images:image-new`), which it fills in. `packages` are
    those of pip or npm, whichever the base is."""
    lists = {base: packages, "system": system} if base in ("python", "node") else {"system": system}
    filled = {key: "\n".join(entries) for key, entries in lists.items()}
    return urlencode({key: value for key, value in {"base": base, "name": name, **filled}.items() if value})


def format_engine_tag(project_id: int | None, name: str, number: int) -> str:
    """The name of a version's image on engines."""
    return f"{PREFIX}{project_id}/{name}:{number}"


def make_repository_name(project_id: int | None, name: str) -> str:
    """The name of a custom image below a registry's address: images of two projects may have one name."""
    return name if project_id in (None, DEFAULT_PROJECT_ID) else f"project-{project_id}/{name}"


def parse_engine_tag(reference: str) -> CustomName | None:
    """The inverse of `format_engine_tag`, without the project; None for other references."""
    match = re.fullmatch(rf"{PREFIX}[0-9]+/(?P<name>[a-z0-9-]{{1,40}}):(?P<number>[0-9]{{1,9}})", reference)
    return CustomName(match["name"], int(match["number"])) if match else None


def is_custom(reference: str) -> bool:
    """Whether the engine would read `reference` as an image below cronium/custom, in any spelling."""
    return canonicalize_reference(reference).startswith(_FULL_PREFIX)


def parse_custom(reference: str) -> CustomName | None:
    """None for another form than cronium/custom/NAME or cronium/custom/NAME:NUMBER."""
    written = canonicalize_reference(reference).removeprefix(_FULL_PREFIX)
    if written.endswith(":latest"):
        written = written.removesuffix(":latest")
    match = _WRITTEN.fullmatch(written)
    if match is None:
        return None
    return CustomName(match["name"], int(match["number"]) if match["number"] else None)


def explain_custom_form(reference: str) -> str:
    """The error of a name below cronium/custom that no custom image can have."""
    return f"{reference[:80]} is no custom image. Write {PREFIX}NAME, or {PREFIX}NAME:NUMBER for one version."
