"""`manage.py images verify`: compares own images with what was built, and runs each once."""

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

import docker
from django.core.management.base import BaseCommand, CommandError

from cronium_admin.images.archive.tar_reader import ArchiveError
from cronium_admin.images.build import find_own_images
from cronium_admin.images.build_context import SOURCES, compute_sources_digest
from cronium_admin.images.debian_base import inspect_image
from cronium_admin.images.finishing import compute_digest
from cronium_admin.images.models import Language, OwnImage
from cronium_admin.images.own_images import read_sbom, store_sbom
from cronium_admin.images.recipes import (
    LABEL_FAMILY,
    LABEL_IMAGE,
    LABEL_LANGUAGE,
    LABEL_SBOM,
    LABEL_SOURCES,
    LABEL_VERSION,
    LINTER,
)
from cronium_admin.ops.image_commands.output import open_client, open_reporter
from cronium_admin.ops.image_commands.sboms import make_sbom
from cronium_admin.ops.image_commands.smoke import find_linter_problem, find_smoke_problem
from cronium_admin.workers.run_spec import SIDECAR_IMAGE

HELP = "compare labels, layers and SBOM of own images with what was built, and run each once; exit 1 if one differs"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("reference", nargs="*", help="names of own images (default: all on the engine)")
    parser.add_argument("--no-run", action="store_true", help="do not run the images")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    bad = 0
    with open_client() as client, open_reporter(command) as report:
        references = options["reference"] or find_own_images(client)
        if not references:
            raise CommandError("No own images are on the engine. Run `manage.py images build`.")
        for number, reference in enumerate(references):
            problems = list(find_problems(client, reference, runs=not options["no_run"]))
            bad += bool(problems)
            for problem in problems:
                command.stderr.write(f"{reference}: {problem}")
            report(reference, number + 1, len(references), "differs" if problems else _describe_same(client, reference))
    if bad:
        raise CommandError(
            "Some images are not as they were built. Run `manage.py images build --force`, or pull them again."
        )


def _describe_same(client: docker.APIClient, reference: str) -> str:
    labels = (inspect_image(client, reference) or {}).get("Config", {}).get("Labels") or {}
    if LABEL_SBOM in labels:
        return "as it was built"
    return "as it was pulled; its signature and SBOM are in the registry (docs/release.md)"


def find_problems(client: docker.APIClient, reference: str, *, runs: bool) -> Iterator[str]:
    image = inspect_image(client, reference)
    if image is None:
        yield "it is not on the engine"
        return
    labels = image["Config"].get("Labels") or {}
    # Images of a release have no label of an SBOM: their SBOM is in the registry, signed with the image.
    if LABEL_IMAGE not in labels or not (LABEL_SBOM in labels or labels.get(LABEL_VERSION)):
        yield "it has no labels of an own image of this version"
        return
    stored = OwnImage.objects.filter(reference=reference).first()
    if stored and stored.image_id != image["Id"]:
        yield f"it is {image['Id'][:19]}, but {stored.image_id[:19]} was built"
    name = labels.get(LABEL_LANGUAGE) or labels[LABEL_IMAGE]
    if name not in (*Language.values, "runtime-api", LINTER.name):
        yield f"its label {LABEL_LANGUAGE} is {name!r}"
        return
    if labels.get(LABEL_SOURCES) != compute_sources_digest(SOURCES, name):
        yield "it was built from other sources than those of this version"
    yield from _compare_sbom(client, reference, labels, stored)
    if runs:
        yield from _run_image(client, reference, name, labels)


def _run_image(client: docker.APIClient, reference: str, name: str, labels: dict[str, str]) -> Iterator[str]:
    if name == LINTER.name:
        if problem := find_linter_problem(reference):
            yield problem
        return
    runner, language, sidecar = reference, name, SIDECAR_IMAGE
    if name == "runtime-api":  # it shows beside a runner
        runner, language, sidecar = f"cronium/runner:bash-{labels.get(LABEL_FAMILY)}", "bash", reference
        if inspect_image(client, runner) is None:
            yield f"it could not be tested: {runner} is not on the engine"
            return
    if problem := find_smoke_problem(runner, language, sidecar):
        yield problem


def _compare_sbom(
    client: docker.APIClient, reference: str, labels: dict[str, str], stored: OwnImage | None
) -> Iterator[str]:
    try:
        sbom = make_sbom(client, reference, labels)
    except ArchiveError as error:
        yield f"its packages can't be listed: {error}"
        return
    if LABEL_SBOM in labels and compute_digest(sbom) != labels[LABEL_SBOM]:
        yield "its packages are not those of its SBOM"
    elif stored and not read_sbom(stored):
        store_sbom(reference, sbom)
    elif stored and read_sbom(stored) != sbom:
        yield "its stored SBOM is not that of its label" if LABEL_SBOM in labels else "its packages have changed"
