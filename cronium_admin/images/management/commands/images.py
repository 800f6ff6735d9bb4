"""`manage.py images build`: builds the runner and sidecar images, shows the progress, and stores the references."""

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from cronium_admin.core.database.clock import database_now
from cronium_admin.core.errors import ApiError
from cronium_admin.images import build
from cronium_admin.images.engine_connection import connect_engine
from cronium_admin.images.errors import ImageBuildError
from cronium_admin.images.models import BuiltImage, Language


class Command(BaseCommand):
    help = "Builds the runner and sidecar images on the Docker Engine."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        building = actions.add_parser("build", help="build images that are not up to date")
        building.add_argument("--family", choices=["auto", "alpine", "debian"], default="auto")
        building.add_argument("--force", action="store_true", help="rebuild all images from scratch")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            client = connect_engine(60)
            with self.open_reporter() as report:
                built = build.build_all(client, report=report, family=options["family"], force=options["force"])
        except ApiError as error:
            raise CommandError(error.message) from error
        except ImageBuildError as error:
            if error.log:
                self.stderr.write(error.log)
            raise CommandError(str(error)) from error
        record_built_images(built)
        for image in built:
            state = "up to date" if image.skipped else "built"
            self.stdout.write(f"{image.reference}  {image.size / 1e6:.0f} MB  {state}")

    @contextmanager
    def open_reporter(self) -> Iterator[build.Report]:
        console = Console(file=getattr(self.stdout, "_out", None))
        if not console.is_terminal:
            yield lambda event: self.stdout.write(f"[{event.done}/{event.total}] {event.step}: {event.detail}")
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Bar(*columns, console=console) as bar:
            task = bar.add_task("Images", total=None)

            def report(event: build.Progress) -> None:
                detail = event.detail.splitlines()[0][:70] if event.detail else ""
                bar.update(task, total=event.total, completed=event.done, description=f"{event.step}: {detail}")

            yield report


def record_built_images(images: list[build.BuiltImage]) -> None:
    # The first `images build` may run before the first `migrate`.
    if BuiltImage._meta.db_table not in connection.introspection.table_names():
        call_command("migrate", interactive=False, verbosity=0)
    for image in images:
        if image.name in Language.values:
            BuiltImage.objects.update_or_create(
                language=image.name, defaults={"reference": image.reference, "built_at": database_now()}
            )
