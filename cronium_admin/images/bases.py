"""Chooses the family of the images, and brings its bases to the engine: from a registry, or built here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import docker
import docker.errors
import requests.exceptions

from cronium_admin.images.debian_base import ensure_debian_base, inspect_image
from cronium_admin.images.engine_archives import use_timeout
from cronium_admin.images.errors import ImageBuildError
from cronium_admin.images.recipes import RECIPES, DebianSnapshot, Family
from executor.docker.progress import find_error

# The timeout of the registry, after which the Debian family is chosen.
REGISTRY_SECONDS = 10

# Takes a step's name and a detail.
ReportStep = Callable[[str, str], None]


def choose_family(client: docker.APIClient, report: ReportStep) -> Family:
    report("registry", f"requesting {RECIPES[0].alpine_base}")
    with use_timeout(client, REGISTRY_SECONDS):
        try:
            client.inspect_distribution(RECIPES[0].alpine_base)  # type: ignore[no-untyped-call]
            return "alpine"
        except docker.errors.APIError as error:
            why = explain_error(error)
        except requests.exceptions.RequestException:
            why = f"no answer within {REGISTRY_SECONDS} s"
    bases = {recipe.alpine_base for recipe in RECIPES}
    if all(inspect_image(client, base) for base in bases):
        report("registry", f"not reachable ({why}); using the Alpine bases on the engine")
        return "alpine"
    report("registry", f"not reachable ({why}); building the Debian images from a local base")
    return "debian"


def provide_bases(
    client: docker.APIClient,
    family: Family,
    *,
    force: bool,
    sources: Path,
    report: ReportStep,
    snapshot: DebianSnapshot | None = None,
) -> None:
    """Raises ImageBuildError, or docker-py's APIError for a registry that refuses the pull."""
    if family == "debian":
        ensure_debian_base(
            client, say=lambda text: report("debian base", text), force=force, sources=sources, snapshot=snapshot
        )
        return
    for base in dict.fromkeys(recipe.alpine_base for recipe in RECIPES):
        if force or inspect_image(client, base) is None:
            report("pull", base)
            name, _, tag = base.partition(":")
            for event in client.pull(name, tag=tag, stream=True, decode=True):
                if problem := find_error(event):
                    raise ImageBuildError(f"{base} could not be pulled: {problem}")


def explain_error(error: docker.errors.DockerException) -> str:
    # docker-py adds the address and the status to the engine's message.
    text = getattr(error, "explanation", None) or str(error)
    return str(text).strip().rstrip(".")
