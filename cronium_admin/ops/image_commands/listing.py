"""`manage.py images list`: own images on the engine, with their age, base, updates and SBOM."""

import json
from argparse import ArgumentParser
from typing import Any

import docker
from django.core.management.base import BaseCommand
from django.utils.timesince import timesince
from rich.console import Console
from rich.table import Table

from cronium_admin.core.database.clock import database_now
from cronium_admin.images.build import find_own_images
from cronium_admin.images.models import OwnImage
from cronium_admin.images.own_images import describe_updates, search_updates, store_updates
from cronium_admin.images.recipes import LABEL_SBOM, LABEL_SNAPSHOT
from cronium_admin.ops.image_commands.output import format_size, open_client

HELP = "list own images: id, size, age, base, packages, updates and SBOM"
COLUMNS = ("reference", "id", "size", "age", "base", "packages", "updates", "SBOM")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--updates", action="store_true", help="look for updates now (about ten seconds for each image)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    with open_client() as client:
        if options["updates"]:
            for image in OwnImage.objects.order_by("reference").defer("sbom"):
                if check := search_updates(client, image):
                    store_updates(image, check)
        stored = {image.reference: image for image in OwnImage.objects.defer("sbom")}
        rows = [_describe_image(client, name, stored.get(name)) for name in find_own_images(client)]
    if options["json"]:
        command.stdout.write(json.dumps(rows, indent=2))
    elif rows:
        _print_table(command, rows)
    else:
        command.stdout.write("No own images are on the engine. Run `manage.py images build`.")


def _describe_image(client: docker.APIClient, reference: str, stored: OwnImage | None) -> dict[str, str]:
    image = client.inspect_image(reference)  # type: ignore[no-untyped-call]
    is_known = stored is not None and stored.image_id == image["Id"]
    labels = image["Config"].get("Labels") or {}
    return {
        "reference": reference,
        "id": image["Id"],
        "size": format_size(image["Size"]),
        "age": _format_age(stored) if stored and is_known else "unknown",
        "base": stored.base if stored and is_known else "",
        "packages": _describe_packages(labels, stored if is_known else None),
        "updates": describe_updates(stored) if stored and is_known else "not built from here",
        "SBOM": labels.get(LABEL_SBOM) or (stored.sbom_digest if stored and is_known else "") or "none",
    }


def _format_age(stored: OwnImage) -> str:
    return timesince(stored.built_at, database_now(), depth=1).replace("\xa0", " ")


def _describe_packages(labels: dict[str, str], stored: OwnImage | None) -> str:
    if snapshot := labels.get(LABEL_SNAPSHOT):
        return f"of snapshot {snapshot}"
    if stored is None or not stored.base:  # pulled: its packages are as old as its build
        return "unknown"
    return f"newest of the mirror on {stored.built_at:%Y-%m-%d}"


def _print_table(command: BaseCommand, rows: list[dict[str, str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        is_copied = column in ("reference", "id")  # a line break within would be copied too
        table.add_column(column, overflow="fold", no_wrap=is_copied)
    for row in rows:
        short = {key: value[:19] if value.startswith("sha256:") else value for key, value in row.items()}
        table.add_row(*(short[column] for column in COLUMNS))
    console = Console(file=getattr(command.stdout, "_out", None))
    console.width = max(console.width, 150) if not console.is_terminal else console.width
    console.print(table)
