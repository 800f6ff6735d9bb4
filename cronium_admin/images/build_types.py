"""What goes into a build of the own images and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cronium_admin.images.linter_tools import PackageIndex
from cronium_admin.images.recipes import DebianSnapshot, Family, ImageName


@dataclass(frozen=True)
class Progress:
    """`step` is a name such as "bash" or "debian base"; `done` of `total` steps are finished."""

    step: str
    done: int
    total: int
    detail: str


@dataclass(frozen=True)
class BuiltImage:
    """An image on the engine. `size` is in bytes; `skipped` if it was up to date; `tagged_at` is when a skipped one
    got its name on the engine, if it says so.

    `replaced` is the id of the former image of this name, which stays under a kept name; empty if there was none, or
    if the build gave the same image.
    """

    name: ImageName
    reference: str
    image_id: str
    family: Family
    size: int
    skipped: bool
    base: str = ""
    sbom: bytes = b""
    replaced: str = ""
    tagged_at: datetime | None = None


def read_tag_time(image: dict[str, Any]) -> datetime | None:
    try:
        found = datetime.fromisoformat(str((image.get("Metadata") or {}).get("LastTagTime")))
    except ValueError:
        return None
    return found if found.tzinfo and found.year > 1 else None


Report = Callable[[Progress], None]
# Takes a built image, the id of the runner that shows whether it works, and the sidecar's id. Raises ImageBuildError.
SmokeTest = Callable[["BuiltImage", str, str], None]


@dataclass(frozen=True)
class BuildSettings:
    """The arguments of `build_all`."""

    force: bool
    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    sources: Path
    snapshot: DebianSnapshot | None = None
    linter: PackageIndex | None = None
