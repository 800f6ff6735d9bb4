"""`manage.py images build`: builds the images that are not up to date, tests them and stores their facts."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from cronium_admin.images import build
from cronium_admin.images.build_types import Progress
from cronium_admin.images.errors import ImageBuildError
from cronium_admin.images.linter_tools import PackageIndex
from cronium_admin.images.models import OwnImage
from cronium_admin.images.own_images import record_built_images
from cronium_admin.images.recipes import LABEL_SNAPSHOT, LINTER, DebianSnapshot
from cronium_admin.images.updates import find_updates
from cronium_admin.ops.image_commands.gc import remove_unneeded
from cronium_admin.ops.image_commands.output import Report, format_size, open_client, open_reporter
from cronium_admin.ops.image_commands.sboms import store_missing_sboms
from cronium_admin.ops.image_commands.smoke import check_built_image

HELP = "build images that are not up to date"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--family", choices=["auto", "alpine", "debian"], default="auto")
    parser.add_argument("--force", action="store_true", help="rebuild all images from scratch")
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="rebuild all images if the distribution has updates for one of them, although their sources are unchanged",
    )


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    last = {}
    try:
        with open_client() as client, open_reporter(command) as report:

            def note(event: Progress) -> None:
                last[event.step] = event.detail
                report(event.step, event.done, event.total, event.detail)

            _prepare_database()
            force = options["force"] or (options["refresh"] and _has_updates(client, report))
            built = build.build_all(
                client,
                report=note,
                family=options["family"],
                force=force,
                labels=make_labels(),
                smoke=check_built_image,
                snapshot=find_snapshot(),
                linter=PackageIndex(settings.CONFIG.build_pip_index_url, settings.CONFIG.build_ca_file),
            )
            record_built_images(built, settings.VERSION)
            store_missing_sboms(client, built, report)
            if any(image.replaced for image in built):
                remove_unneeded(client)
    except ImageBuildError as error:
        if error.log:
            command.stderr.write(error.log)
        raise CommandError(str(error)) from error
    if not any(image.name == LINTER.name for image in built):
        command.stderr.write(f"{LINTER.name}: {last.get(LINTER.name, '')}")
    for image in built:
        state = "up to date" if image.skipped else "built"
        command.stdout.write(f"{image.reference}  {format_size(image.size)}  {state}")


def find_snapshot() -> DebianSnapshot | None:
    config = settings.CONFIG
    time = config.image_debian_snapshot
    return DebianSnapshot(config.image_debian_snapshot_mirror.rstrip("/"), time) if time else None


def make_labels() -> dict[str, str]:
    labels = {
        "org.opencontainers.image.version": settings.VERSION,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.source": settings.CONFIG.image_source,
        "org.opencontainers.image.revision": settings.CONFIG.image_revision,
    }
    return {name: value for name, value in labels.items() if value}


def _has_updates(client: Any, report: Report) -> bool:
    """Raises ImageBuildError if the updates of an image are unknown."""
    images = build.find_own_images(client)
    for number, reference in enumerate(images):
        if snapshot := (client.inspect_image(reference)["Config"].get("Labels") or {}).get(LABEL_SNAPSHOT):
            text = f"its packages are those of the snapshot {snapshot}; set a later CRONIUM_IMAGE_DEBIAN_SNAPSHOT"
            report(reference, number, len(images), text)
            continue
        report(reference, number, len(images), "looking for updates")
        check = find_updates(client, reference)
        if check.problem:
            raise ImageBuildError(
                f"The updates of {reference} are unknown: {check.problem}. The images stay as they are."
            )
        if check.updates:
            names = ", ".join(update.name for update in check.updates[:5])
            report(reference, number, len(images), f"{len(check.updates)} updates ({names})")
            return True
    return False


def _prepare_database() -> None:
    # The first `images build` may run before the first `migrate`.
    if OwnImage._meta.db_table not in connection.introspection.table_names():
        call_command("migrate", interactive=False, verbosity=0)
