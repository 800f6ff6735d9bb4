"""`manage.py images gc`: removes replaced versions of own images that nothing needs, and what broken builds left."""

from argparse import ArgumentParser
from typing import Any

import docker
from django.core.management.base import BaseCommand
from django.template.defaultfilters import pluralize

from cronium_admin.images.replaced import ReplacedImage, list_leftovers, list_replaced, remove_image
from cronium_admin.ops.image_commands.output import format_size, open_client
from cronium_admin.runs.models import LIVE, Run

HELP = "remove replaced versions of own images that no run and no rollback needs"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would go, and why the rest stays")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    with open_client() as client:
        images = list_unneeded_and_kept(client)
        gone = [image for image in images if not image.why and (options["dry_run"] or _remove(client, image))]
    for image in images:
        verdict = f"stays: {image.why}" if image.why else _describe_removal(image in gone, options["dry_run"])
        command.stdout.write(f"{image.reference}  {image.title}  {format_size(image.size)}  {verdict}")
    verb = "would go" if options["dry_run"] else "removed"
    command.stdout.write(f"{len(gone)} image{pluralize(len(gone))} {verb}.")


def list_unneeded_and_kept(client: docker.APIClient) -> list[ReplacedImage]:
    return [*list_replaced(client, _find_users()), *list_leftovers(client)]


def remove_unneeded(client: docker.APIClient) -> None:
    """Replaced versions only: what another process builds at this moment is no leftover."""
    for image in list_replaced(client, _find_users()):
        if not image.why:
            _remove(client, image)


def _find_users() -> dict[str, str]:
    """The image ids that queued and running runs name, each with one of the runs."""
    runs = Run.objects.filter(status__in=LIVE).exclude(image_digest="")
    rows = runs.order_by("created_at").values_list("image_digest", "job_slug", "number", "status")
    return {digest: f"the {status} run {slug} #{number} names it" for digest, slug, number, status in rows}


def _remove(client: docker.APIClient, image: ReplacedImage) -> bool:
    return remove_image(client, image.reference)


def _describe_removal(is_gone: bool, is_dry: bool) -> str:
    if is_dry:
        return "would go"
    return "removed" if is_gone else "stays: a container uses it"
