"""Builds the runner and sidecar images through the engine's API. Uses docker-py and `images/`, but not Django.

There are two families: Alpine, if the engine reaches a registry, and Debian, from a base that is built on this machine.
An image is not rebuilt while its sources and base are unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import docker
import docker.errors
import requests.exceptions

from cronium_admin.images.bases import choose_family, explain_error, provide_bases
from cronium_admin.images.build_context import SOURCES, compute_sources_digest, pack_context
from cronium_admin.images.build_types import BuildSettings, BuiltImage, Progress, Report, SmokeTest, read_tag_time
from cronium_admin.images.debian_base import inspect_image
from cronium_admin.images.errors import ImageBuildError
from cronium_admin.images.finishing import finish_image
from cronium_admin.images.linter_tools import PackageIndex, fetch_tools
from cronium_admin.images.recipes import (
    LABEL_BASE,
    LABEL_FAMILY,
    LABEL_RAW,
    LABEL_SNAPSHOT,
    LABEL_SOURCES,
    LINTER,
    RECIPES,
    DebianSnapshot,
    Family,
    Recipe,
    compute_base_digest,
)
from cronium_admin.images.replaced import keep_image, remove_image
from executor.docker.progress import find_aux, find_error

__all__ = ["RECIPES", "BuiltImage", "Progress", "build_all", "find_own_images"]
BUILD_READ_SECONDS = 900


def build_all(
    client: docker.APIClient,
    *,
    report: Report,
    family: Literal["auto", "alpine", "debian"] = "auto",
    force: bool = False,
    build_args: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    smoke: SmokeTest = lambda image, runner, sidecar: None,
    sources: Path = SOURCES,
    snapshot: DebianSnapshot | None = None,
    linter: PackageIndex | None = None,
) -> list[BuiltImage]:
    """Builds the images that are missing or not up to date. Raises ImageBuildError.

    `build_args` are passed to every build, for example for proxies (HTTP_PROXY); `labels` are added to every image.
    `force` rebuilds from scratch. `smoke` gets each built image before any image gets its name; its ImageBuildError
    ends the build, and the former images keep their names. `snapshot`: of the Debian family's packages; without one
    they are the newest of the mirror. `linter`: builds the image that checks scripts too; if that fails, it is reported
    and the image is missing in the answer.
    """
    try:
        settings = BuildSettings(force, dict(build_args or {}), dict(labels or {}), sources, snapshot, linter)
        return _Builder(client, report, settings, smoke).run(family)
    except docker.errors.DockerException as error:
        raise ImageBuildError(f"The Docker Engine refused: {explain_error(error)}") from error
    except requests.exceptions.RequestException as error:
        raise ImageBuildError(f"The Docker Engine does not answer: {error}") from error


class _Builder:
    """The state of one call of build_all."""

    def __init__(self, client: docker.APIClient, report: Report, settings: BuildSettings, smoke: SmokeTest) -> None:
        self.client, self._report, self._smoke = client, report, smoke
        self.force, self.args, self.sources = settings.force, settings.build_args, settings.sources
        self.labels, self.snapshot = settings.labels, settings.snapshot
        self.linter = settings.linter
        self._done, self._total = 0, len(RECIPES) + bool(settings.linter)
        self._raw: list[str] = []

    def report_step(self, step: str, detail: str) -> None:
        self._report(Progress(step, self._done, self._total, detail))

    def run(self, requested: Literal["auto", "alpine", "debian"]) -> list[BuiltImage]:
        families: tuple[Family, ...] = ("alpine", "debian") if requested == "auto" else (requested,)
        if not self.force:
            for family in families:
                present = [self.find_current(recipe, family) for recipe in RECIPES]
                if all(present):
                    linter = self.find_current(LINTER, family) if self.linter else None
                    if linter or not self.linter:
                        return [self.report_skipped(image) for image in (*present, linter) if image]
                    requested = family
                    break
        family = choose_family(self.client, self.report_step) if requested == "auto" else requested
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
        try:
            images = [self.build_if_outdated(recipe, family) for recipe in RECIPES]
            self.check_images(images)
            images += self.try_linter(family)
        finally:
            # At the end: the images of one build share the builder's cached steps.
            for raw_id in self._raw:
                remove_image(self.client, raw_id)
        return [self.name_image(image) for image in images]

    def try_linter(self, family: Family) -> list[BuiltImage]:
        """The image that checks scripts; empty if it is not wanted or could not be built."""
        if self.linter is None:
            return []
        try:
            image = self.build_if_outdated(LINTER, family)
            if not image.skipped:
                self.report_step(image.name, f"testing {image.reference}")
                self._smoke(image, image.image_id, "")
        except ImageBuildError as error:
            self.report_step(LINTER.name, f"not built, so scripts can't be checked: {error}")
            return []
        return [image]

    def check_images(self, images: list[BuiltImage]) -> None:
        ids = {image.name: image.image_id for image in images}
        for image in images:
            if not image.skipped:
                self.report_step(image.name, f"testing {image.reference}")
                # The sidecar shows it beside a runner.
                runner = ids["bash" if image.name == "runtime-api" else image.name]
                self._smoke(image, runner, ids["runtime-api"])

    def find_current(self, recipe: Recipe, family: Family) -> BuiltImage | None:
        image = inspect_image(self.client, recipe.get_reference(family))
        if image is None:
            return None
        labels = image["Config"].get("Labels") or {}
        snapshot = self.snapshot.time if self.snapshot and family == "debian" else ""
        if labels.get(LABEL_SNAPSHOT, "") != snapshot:
            return None
        if labels.get(LABEL_SOURCES) != compute_sources_digest(self.sources, recipe.name):
            return None
        base = inspect_image(self.client, recipe.get_base(family))
        if labels.get(LABEL_FAMILY) != family or (
            base is not None and labels.get(LABEL_BASE) != compute_base_digest(base)
        ):
            return None
        return BuiltImage(
            *(recipe.name, recipe.get_reference(family), image["Id"], family, image["Size"], True),
            base=recipe.get_base(family),
            tagged_at=read_tag_time(image),
        )

    def report_skipped(self, image: BuiltImage) -> BuiltImage:
        self._done += 1
        self.report_step(image.name, f"{image.reference} is up to date")
        return image

    def provide_bases(self, family: Family) -> None:
        provide_bases(
            *(self.client, family),
            force=self.force,
            sources=self.sources,
            report=self.report_step,
            snapshot=self.snapshot,
        )

    def build_if_outdated(self, recipe: Recipe, family: Family) -> BuiltImage:
        present = None if self.force else self.find_current(recipe, family)
        if present:
            return self.report_skipped(present)
        reference, started = recipe.get_reference(family), time.monotonic()
        self.report_step(recipe.name, f"building {reference}")
        base = inspect_image(self.client, recipe.get_base(family))
        if base is None:
            raise ImageBuildError(f"The base {recipe.get_base(family)} was removed from the engine. Build again.")
        raw_id = self.follow_build(recipe, self.start_build(recipe, family))
        self.report_step(recipe.name, f"normalising {reference}")
        finished = finish_image(
            self.client,
            raw_id,
            reference=reference,
            labels=self.make_labels(recipe, family, raw_id, base),
            keep_layers=base["RootFS"]["Layers"],
        )
        size = self.client.inspect_image(finished.image_id)["Size"]  # type: ignore[no-untyped-call]
        self._done += 1
        self.report_step(recipe.name, f"{reference} built in {time.monotonic() - started:.0f} s")
        base_name = recipe.get_base(family)
        return BuiltImage(recipe.name, reference, finished.image_id, family, size, False, base_name, finished.sbom)

    def make_labels(self, recipe: Recipe, family: Family, raw_id: str, base: Mapping[str, Any]) -> dict[str, str]:
        config = self.client.inspect_image(raw_id)["Config"]  # type: ignore[no-untyped-call]
        inherited = {key: value for key, value in (config.get("Labels") or {}).items() if key != LABEL_RAW}
        return {
            **inherited,
            **self.labels,
            LABEL_SOURCES: compute_sources_digest(self.sources, recipe.name),
            LABEL_BASE: compute_base_digest(base),
            LABEL_FAMILY: family,
        }

    def name_image(self, image: BuiltImage) -> BuiltImage:
        """Gives a built image its name. The image that had it gets a kept one."""
        if image.skipped:
            return image
        previous = inspect_image(self.client, image.reference)
        replaced = previous["Id"] if previous and previous["Id"] != image.image_id else ""
        if replaced:
            keep_image(self.client, replaced)
        repository, _, tag = image.reference.partition(":")
        self.client.tag(image.image_id, repository, tag, force=True)
        return replace(image, replaced=replaced)

    def fetch_programs(self, recipe: Recipe) -> dict[str, bytes]:
        if self.linter is None or recipe.name != LINTER.name:
            return {}
        self.report_step(recipe.name, "downloading ruff")
        return fetch_tools(self.sources, str(self.client.version()["Arch"]), self.linter)

    def start_build(self, recipe: Recipe, family: Family) -> Iterator[dict[str, Any]]:
        stream: Iterator[dict[str, Any]] = self.client.build(
            fileobj=pack_context(self.sources, recipe.name, self.fetch_programs(recipe)),
            custom_context=True,
            rm=True,
            forcerm=True,
            nocache=self.force,
            decode=True,
            timeout=BUILD_READ_SECONDS,
            labels={LABEL_RAW: recipe.name},
            buildargs={"BASE": recipe.get_base(family), "FAMILY": family, **self.args},
        )
        return stream

    def follow_build(self, recipe: Recipe, events: Iterator[dict[str, Any]]) -> str:
        """Returns the id of the builder's image."""
        tail: list[str] = []
        built = ""
        for event in events:
            text = str(event.get("stream", "")).rstrip()
            if text:
                tail = [*tail[-40:], text]
            if text.startswith("Step "):
                self.report_step(recipe.name, text)
            built = find_aux(event, "ID") or built
            if problem := find_error(event):
                raise ImageBuildError(f"The image {recipe.name} could not be built: {problem}", "\n".join(tail))
        if not built:
            raise ImageBuildError(f"The image {recipe.name} was built, but the engine did not report its id.")
        self._raw.append(built)
        return built


def find_own_images(client: docker.APIClient) -> list[str]:
    """The references of own images on the engine, of both families."""
    families: tuple[Family, ...] = ("alpine", "debian")
    references = dict.fromkeys(recipe.get_reference(family) for recipe in (*RECIPES, LINTER) for family in families)
    return [reference for reference in references if inspect_image(client, reference)]
