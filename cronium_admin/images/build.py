"""Builds the runner and sidecar images through the engine's API. Uses docker-py and `images/`, but not Django.

There are two families: Alpine, if the engine reaches a registry, and Debian, from a base that is built on this machine.
An image is not rebuilt while its sources and base are unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import docker
import docker.errors
import requests.exceptions

from cronium_admin.images.build_context import SOURCES, compute_sources_digest, pack_context
from cronium_admin.images.debian_base import DEBIAN_BASE, ensure_debian_base, inspect_image
from cronium_admin.images.errors import ImageBuildError

Family = Literal["alpine", "debian"]
ImageName = Literal["bash", "python", "node", "runtime-api"]

# The timeout of the registry, after which the Debian family is chosen.
REGISTRY_SECONDS = 10
BUILD_READ_SECONDS = 900

LABEL_SOURCES = "cronium.sources"
LABEL_BASE = "cronium.base"
LABEL_FAMILY = "cronium.family"


@dataclass(frozen=True)
class Progress:
    """`step` is a name such as "bash" or "debian base"; `done` of `total` steps are finished."""

    step: str
    done: int
    total: int
    detail: str


@dataclass(frozen=True)
class BuiltImage:
    """An image on the engine. `size` is in bytes; `skipped` if it was up to date."""

    name: ImageName
    reference: str
    image_id: str
    family: Family
    size: int
    skipped: bool


@dataclass(frozen=True)
class Recipe:
    """The name and base of an image."""

    name: ImageName
    alpine_base: str

    def get_base(self, family: Family) -> str:
        return self.alpine_base if family == "alpine" else DEBIAN_BASE

    def get_reference(self, family: Family) -> str:
        # The sidecar's name has no family: no script depends on its contents.
        return "cronium/runtime-api:latest" if self.name == "runtime-api" else f"cronium/runner:{self.name}-{family}"


RECIPES = (
    Recipe("bash", "alpine:3.21"),
    Recipe("python", "python:3.12-alpine3.21"),
    Recipe("node", "node:22-alpine3.21"),
    Recipe("runtime-api", "alpine:3.21"),
)

Report = Callable[[Progress], None]


def build_all(
    client: docker.APIClient,
    *,
    report: Report,
    family: Literal["auto", "alpine", "debian"] = "auto",
    force: bool = False,
    build_args: Mapping[str, str] | None = None,
    sources: Path = SOURCES,
) -> list[BuiltImage]:
    """Builds the images that are missing or not up to date. Raises ImageBuildError.

    `build_args` are passed to every build, for example for proxies (HTTP_PROXY). `force` rebuilds from scratch.
    """
    try:
        return _Builder(client, report, force, dict(build_args or {}), sources).run(family)
    except docker.errors.DockerException as error:
        raise ImageBuildError(f"The Docker Engine refused: {explain_error(error)}") from error
    except requests.exceptions.RequestException as error:
        raise ImageBuildError(f"The Docker Engine does not answer: {error}") from error


class _Builder:
    """The state of one call of build_all."""

    def __init__(
        self, client: docker.APIClient, report: Report, force: bool, args: dict[str, str], sources: Path
    ) -> None:
        self.client, self.force, self.args, self.sources = client, force, args, sources
        self._report, self._done, self._total = report, 0, len(RECIPES)

    def report_step(self, step: str, detail: str) -> None:
        self._report(Progress(step, self._done, self._total, detail))

    def run(self, requested: Literal["auto", "alpine", "debian"]) -> list[BuiltImage]:
        families: tuple[Family, ...] = ("alpine", "debian") if requested == "auto" else (requested,)
        if not self.force:
            for family in families:
                present = [self.find_current(recipe, family) for recipe in RECIPES]
                if all(present):
                    return [self.report_skipped(image) for image in present if image]
        family = self.choose_family() if requested == "auto" else requested
        try:
            self.provide_bases(family)
        except (ImageBuildError, docker.errors.APIError) as error:
            if requested != "auto" or family != "alpine":
                raise
            # A registry that answers may still refuse the pull, because of its rate limit.
            why = explain_error(error) if isinstance(error, docker.errors.APIError) else error
            self.report_step("pull", f"failed ({why}); building the Debian images from a local base")
            family = "debian"
            self.provide_bases(family)
        return [self.build_if_outdated(recipe, family) for recipe in RECIPES]

    def find_current(self, recipe: Recipe, family: Family) -> BuiltImage | None:
        image = inspect_image(self.client, recipe.get_reference(family))
        if image is None:
            return None
        labels = image["Config"].get("Labels") or {}
        if labels.get(LABEL_SOURCES) != compute_sources_digest(self.sources, recipe.name):
            return None
        base = inspect_image(self.client, recipe.get_base(family))
        if labels.get(LABEL_FAMILY) != family or (base is not None and labels.get(LABEL_BASE) != base["Id"]):
            return None
        return BuiltImage(recipe.name, recipe.get_reference(family), image["Id"], family, image["Size"], skipped=True)

    def report_skipped(self, image: BuiltImage) -> BuiltImage:
        self._done += 1
        self.report_step(image.name, f"{image.reference} is up to date")
        return image

    def choose_family(self) -> Family:
        self.report_step("registry", f"requesting {RECIPES[0].alpine_base}")
        with read_timeout(self.client, REGISTRY_SECONDS):
            try:
                self.client.inspect_distribution(RECIPES[0].alpine_base)  # type: ignore[no-untyped-call]
                return "alpine"
            except docker.errors.APIError as error:
                why = explain_error(error)
            except requests.exceptions.RequestException:
                why = f"no answer within {REGISTRY_SECONDS} s"
        bases = {recipe.alpine_base for recipe in RECIPES}
        if all(inspect_image(self.client, base) for base in bases):
            self.report_step("registry", f"not reachable ({why}); using the Alpine bases on the engine")
            return "alpine"
        self.report_step("registry", f"not reachable ({why}); building the Debian images from a local base")
        return "debian"

    def provide_bases(self, family: Family) -> None:
        if family == "debian":
            ensure_debian_base(
                self.client,
                say=lambda detail: self.report_step("debian base", detail),
                force=self.force,
                sources=self.sources,
            )
            return
        for base in dict.fromkeys(recipe.alpine_base for recipe in RECIPES):
            if self.force or inspect_image(self.client, base) is None:
                self.report_step("pull", base)
                name, _, tag = base.partition(":")
                for event in self.client.pull(name, tag=tag, stream=True, decode=True):
                    if "error" in event:
                        raise ImageBuildError(f"{base} could not be pulled: {event['error']}")

    def build_if_outdated(self, recipe: Recipe, family: Family) -> BuiltImage:
        present = None if self.force else self.find_current(recipe, family)
        if present:
            return self.report_skipped(present)
        reference, started = recipe.get_reference(family), time.monotonic()
        self.report_step(recipe.name, f"building {reference}")
        base = inspect_image(self.client, recipe.get_base(family))
        if base is None:
            raise ImageBuildError(f"The base {recipe.get_base(family)} was removed from the engine. Build again.")
        labels = {
            LABEL_SOURCES: compute_sources_digest(self.sources, recipe.name),
            LABEL_BASE: base["Id"],
            LABEL_FAMILY: family,
        }
        previous = inspect_image(self.client, reference)
        self.follow_build(recipe, self.start_build(recipe, family, reference, labels))
        built = inspect_image(self.client, reference)
        if built is None:
            raise ImageBuildError(f"{reference} was built but is not on the engine.")
        if previous and previous["Id"] != built["Id"]:
            self.remove_replaced(previous["Id"])
        self._done += 1
        self.report_step(recipe.name, f"{reference} built in {time.monotonic() - started:.0f} s")
        return BuiltImage(recipe.name, reference, built["Id"], family, built["Size"], skipped=False)

    def remove_replaced(self, image_id: str) -> None:
        # The engine keeps an image that a container or another name uses.
        with suppress(docker.errors.APIError):
            self.client.remove_image(image_id)

    def start_build(
        self, recipe: Recipe, family: Family, reference: str, labels: dict[str, str]
    ) -> Iterator[dict[str, Any]]:
        stream: Iterator[dict[str, Any]] = self.client.build(
            fileobj=pack_context(self.sources, recipe.name),
            custom_context=True,
            tag=reference,
            rm=True,
            forcerm=True,
            nocache=self.force,
            decode=True,
            timeout=BUILD_READ_SECONDS,
            labels=labels,
            buildargs={"BASE": recipe.get_base(family), "FAMILY": family, **self.args},
        )
        return stream

    def follow_build(self, recipe: Recipe, events: Iterator[dict[str, Any]]) -> None:
        tail: list[str] = []
        for event in events:
            text = str(event.get("stream", "")).rstrip()
            if text:
                tail = [*tail[-40:], text]
            if text.startswith("Step "):
                self.report_step(recipe.name, text)
            if "error" in event:
                log = "\n".join(tail)
                raise ImageBuildError(f"The image {recipe.name} could not be built: {event['error']}", log)


def explain_error(error: docker.errors.DockerException) -> str:
    # docker-py adds the address and the status to the engine's message.
    text = getattr(error, "explanation", None) or str(error)
    return str(text).strip().rstrip(".")


@contextmanager
def read_timeout(client: docker.APIClient, seconds: int) -> Iterator[None]:
    previous, client.timeout = client.timeout, seconds
    try:
        yield
    finally:
        client.timeout = previous
