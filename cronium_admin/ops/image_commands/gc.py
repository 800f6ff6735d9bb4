"""`manage.py images gc`: removes replaced versions of own images and versions of custom images that nothing needs, what
broken builds left, and pulled images while the engine's disk is too full.
"""

import threading
from argparse import ArgumentParser
from typing import Any

import docker
from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import pluralize

from cronium_admin.core.data_folder import DataFolderError
from cronium_admin.images.replaced import ReplacedImage, list_leftovers, list_replaced, remove_image
from cronium_admin.jobs.validation import DEFAULT_QUEUE
from cronium_admin.ops.image_commands.output import format_size, open_client
from cronium_admin.runs.models import LIVE, Run
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.image_builds.leftovers import remove_leftovers
from cronium_admin.workers.images.collector import ImageCollector
from cronium_admin.workers.images.puller import ImagePuller
from cronium_admin.workers.instance import get_instance_id
from cronium_admin.workers.own_engine import make_own_engine
from cronium_admin.workers.status import get_own_host_name
from executor.docker.errors import EngineError

HELP = "remove versions of own and custom images that nothing needs, and pulled images while the disk is too full"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would go, and why the rest stays")
    default = get_own_host_name()
    parser.add_argument("--host", default=default, help=f"host whose images count (default: {default})")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    with open_client() as client:
        images = list_unneeded_and_kept(client)
        gone = [image for image in images if not image.why and (options["dry_run"] or _remove(client, image))]
    for image in images:
        verdict = f"stays: {image.why}" if image.why else _describe_removal(image in gone, options["dry_run"])
        command.stdout.write(f"{image.reference}  {image.title}  {format_size(image.size)}  {verdict}")
    verb = "would go" if options["dry_run"] else "removed"
    command.stdout.write(f"{len(gone)} own image{pluralize(len(gone))} {verb}.")
    _handle_pulled(command, options["host"], is_dry=options["dry_run"])


def _handle_pulled(command: BaseCommand, host: str, *, is_dry: bool) -> None:
    engine, database = make_own_engine(), DatabaseThreads(1)
    try:
        row = Host.objects.filter(name=host).first()
        queues = tuple(row.queues) if row else (DEFAULT_QUEUE,)
        puller = ImagePuller(host, engine, database)
        instance = get_instance_id()
        collector = ImageCollector(*(host, instance, engine, database, puller, queues), lambda: True, threading.Event())
        report = collector.report() if is_dry else collector.collect()
        left = [] if is_dry else remove_leftovers(engine, database, instance, host)
    except (EngineError, DataFolderError) as error:
        raise CommandError(str(error)) from error
    finally:
        database.close()
    for version in report.versions:
        state = "removed" if version.tag in left else "stays" if version.verdict.is_needed else "may go"
        command.stdout.write(f"{version.tag}  {format_size(version.image.size)}  {state}: {version.verdict.why}")
    for verdict in report.verdicts:
        state = "may go" if verdict.is_removable else "stays"
        command.stdout.write(f"{verdict.image.reference}  {format_size(verdict.image.size)}  {state}: {verdict.why}")
    for item in report.removed:
        command.stdout.write(f"{item['reference']}  {format_size(item['size'])}  removed: {item['why']}")
    command.stdout.write(f"Pulled images of {host}: {report.describe_disk()}")
    if report.note:
        command.stdout.write(report.note)


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
