"""Names, bases and labels of Cronium's own images. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Family = Literal["alpine", "debian"]
ImageName = Literal["bash", "python", "node", "runtime-api", "linter"]

LABEL_SOURCES = "cronium.sources"
LABEL_BASE = "cronium.base"
LABEL_FAMILY = "cronium.family"
LABEL_SBOM = "cronium.sbom"
LABEL_IMAGE = "cronium.image"  # runner, runtime-api or linter; in the Dockerfiles
LABEL_LANGUAGE = "cronium.language"
LABEL_RAW = "cronium.raw"  # an image of the builder that is not in its normal form
LABEL_CREATED = "org.opencontainers.image.created"
LABEL_SNAPSHOT = "cronium.snapshot"  # the time of the Debian snapshot that its packages are from
LABEL_VERSION = "org.opencontainers.image.version"
DEBIAN_BASE = "cronium/base:debian"


@dataclass(frozen=True)
class DebianSnapshot:
    """All packages of Debian at one time, as snapshot.debian.org serves them. `time` is such as 20261101T000000Z."""

    mirror: str
    time: str

    @property
    def archive(self) -> str:
        return f"{self.mirror}/debian/{self.time}"

    @property
    def security_archive(self) -> str:
        return f"{self.mirror}/debian-security/{self.time}"


@dataclass(frozen=True)
class Recipe:
    """The name and base of an image."""

    name: ImageName
    alpine_base: str

    def get_base(self, family: Family) -> str:
        return self.alpine_base if family == "alpine" else DEBIAN_BASE

    def get_reference(self, family: Family) -> str:
        # The sidecar's name has no family: no script depends on its contents.
        if self.name == "linter":
            return f"cronium/linter:{family}"
        return "cronium/runtime-api:latest" if self.name == "runtime-api" else f"cronium/runner:{self.name}-{family}"


RECIPES = (
    Recipe("bash", "alpine:3.21"),
    Recipe("python", "python:3.12-alpine3.21"),
    Recipe("node", "node:22-alpine3.21"),
    Recipe("runtime-api", "alpine:3.21"),
)
# Checks scripts in the editor. Runs do not need it, so a build of the others does not fail for it.
LINTER = Recipe("linter", "node:22-alpine3.21")


def compute_base_digest(base: Mapping[str, Any]) -> str:
    """Identifies a base by its layers: its id depends on the engine's image store.

    `base`: as the engine describes the image.
    """
    layers = (base.get("RootFS") or {}).get("Layers") or []
    return f"sha256:{hashlib.sha256(chr(10).join(layers).encode()).hexdigest()}"
