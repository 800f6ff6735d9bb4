"""`manage.py images pull`: takes own images from a registry, tests them and gives them their local names."""

from argparse import ArgumentParser
from typing import Any

import docker
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from cronium_admin.images.build import BuiltImage
from cronium_admin.images.build_context import SOURCES, compute_sources_digest
from cronium_admin.images.debian_base import inspect_image
from cronium_admin.images.errors import ImageBuildError
from cronium_admin.images.own_images import record_built_images
from cronium_admin.images.recipes import (
    LABEL_FAMILY,
    LABEL_IMAGE,
    LABEL_LANGUAGE,
    LABEL_SOURCES,
    LABEL_VERSION,
    LINTER,
    RECIPES,
    Family,
    Recipe,
)
from cronium_admin.images.replaced import keep_image
from cronium_admin.ops.image_commands.gc import remove_unneeded
from cronium_admin.ops.image_commands.output import Report, format_size, open_client, open_reporter
from cronium_admin.ops.image_commands.sboms import store_missing_sboms
from cronium_admin.ops.image_commands.smoke import check_built_image
from cronium_admin.ops.image_commands.transfer import (
    add_registry_arguments,
    find_login,
    make_progress_report,
    make_remote_reference,
    parse_registry,
)
from cronium_admin.workers.own_engine import make_own_engine
from executor.docker.client import Engine
from executor.docker.errors import EngineError, ImageNotFound
from executor.docker.image_calls import RegistryLogin, Transfer

HELP = "pull own images from a registry; they replace those on the engine if they work"
FAMILIES: tuple[Family, ...] = ("alpine", "debian")
ALL = (*RECIPES, LINTER)


def add_arguments(parser: ArgumentParser) -> None:
    add_registry_arguments(parser)
    parser.add_argument("--family", choices=["auto", *FAMILIES], default="auto")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    registry = parse_registry(options["registry"])
    engine = make_own_engine(4)
    families = FAMILIES if options["family"] == "auto" else (options["family"],)
    try:
        with open_client() as client, open_reporter(command) as report:
            login = find_login(engine, registry, options["username"])
            images = _pull_family(engine, client, registry, families, login, report)
            images += _pull_linter(engine, client, registry, images[0].family, login, report)
            _check_images(client, images, report)
            for image in images:
                _report_other_sources(command, client, image)
                _name_image(engine, client, image)
                for remote in _list_remotes(registry, image.reference):
                    engine.image_calls.remove(remote)
            record_built_images(images, settings.VERSION)
            store_missing_sboms(client, images, report)
            remove_unneeded(client)
    except (EngineError, ImageBuildError) as error:
        raise CommandError(f"{error} The images on the engine stay as they were.") from error
    for image in images:
        command.stdout.write(f"{image.reference}  {format_size(image.size)}  {image.image_id}")


def _check_images(client: docker.APIClient, images: list[BuiltImage], report: Report) -> None:
    """Raises ImageBuildError. Images that have their names already were tested."""
    if all((inspect_image(client, image.reference) or {}).get("Id") == image.image_id for image in images):
        return
    ids = {image.name: image.image_id for image in images}
    for image in images:
        report(image.reference, len(images), len(images), "testing")
        check_built_image(image, ids["bash" if image.name == "runtime-api" else image.name], ids["runtime-api"])


def _report_other_sources(command: BaseCommand, client: docker.APIClient, image: BuiltImage) -> None:
    labels = client.inspect_image(image.image_id)["Config"].get("Labels") or {}  # type: ignore[no-untyped-call]
    if labels.get(LABEL_SOURCES) != compute_sources_digest(SOURCES, image.name):
        version = labels.get(LABEL_VERSION, "")[:40]
        command.stderr.write(
            f"{image.reference} was built from other sources than those of this version, {settings.VERSION}: it is of "
            f"version {version}. Push images of this version to the registry, or run `manage.py images build`."
        )


def _pull_family(
    engine: Engine,
    client: docker.APIClient,
    registry: str,
    families: tuple[Family, ...],
    login: RegistryLogin | None,
    report: Report,
) -> list[BuiltImage]:
    """The first family that the registry has."""
    for family in families:
        try:
            return [_pull_image(engine, client, registry, family, recipe, login, report) for recipe in RECIPES]
        except ImageNotFound:
            if family == families[-1]:
                raise
    raise AssertionError("there is a family")


def _pull_linter(
    engine: Engine,
    client: docker.APIClient,
    registry: str,
    family: Family,
    login: RegistryLogin | None,
    report: Report,
) -> list[BuiltImage]:
    """The image that checks scripts; empty if the registry does not have it, as of older versions."""
    try:
        return [_pull_image(engine, client, registry, family, LINTER, login, report)]
    except ImageNotFound:
        report(LINTER.name, len(ALL), len(ALL), "the registry does not have it, so scripts can't be checked")
        return []


def _pull_image(
    engine: Engine,
    client: docker.APIClient,
    registry: str,
    family: Family,
    recipe: Recipe,
    login: RegistryLogin | None,
    report: Report,
) -> BuiltImage:
    reference, number = recipe.get_reference(family), ALL.index(recipe)
    remote = ""
    for remote in _list_remotes(registry, reference):
        report(remote, number, len(ALL), "pulling")
        on_progress = make_progress_report(report, remote, number, len(ALL))
        try:
            engine.image_calls.pull(remote, login, transfer=Transfer(), on_progress=on_progress)
            break
        except ImageNotFound:
            if remote == make_remote_reference(registry, reference):
                raise
    image = client.inspect_image(remote)  # type: ignore[no-untyped-call]
    labels = image["Config"].get("Labels") or {}
    name = labels.get(LABEL_LANGUAGE) or labels.get(LABEL_IMAGE)
    if (name, labels.get(LABEL_FAMILY)) != (recipe.name, family) and recipe.name != "runtime-api":
        raise ImageBuildError(f"{remote} is no image of Cronium for {recipe.name}: its labels say {name!r}.")
    if not labels.get(LABEL_VERSION):
        raise ImageBuildError(f"{remote} has no label {LABEL_VERSION}: it was not made by `images build`.")
    return BuiltImage(recipe.name, reference, image["Id"], family, image["Size"], skipped=False)


def _list_remotes(registry: str, reference: str) -> tuple[str, str]:
    """The names in the registry, in the order of preference: of a release of this version, and without a version."""
    name, _, tag = reference.rpartition(":")
    versioned = settings.VERSION if tag == "latest" else f"{tag}-{settings.VERSION}"
    return make_remote_reference(registry, f"{name}:{versioned}"), make_remote_reference(registry, reference)


def _name_image(engine: Engine, client: docker.APIClient, image: BuiltImage) -> None:
    previous = inspect_image(client, image.reference)
    if previous and previous["Id"] != image.image_id:
        keep_image(client, previous["Id"])
    engine.image_calls.tag(image.image_id, image.reference)
