"""`manage.py instance`: which installation this is, for a data folder or database that was copied."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from cronium_admin.backup import identity
from cronium_admin.backup.errors import BackupError
from cronium_admin.workers.instance import CopiedInstance, get_instance_id


class Command(BaseCommand):
    help = "Shows the identity of this installation, gives a copy one of its own, or lets it take the original's over."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("show", help="the identity, and whether it belongs to this data folder")
        actions.add_parser("new", help="the original goes on: this copy gets an identity of its own")
        actions.add_parser("take-over", help="the original never runs again: this copy goes on as the original")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            {"show": self.show_identity, "new": self.take_new_identity, "take-over": self.take_over_original}[
                options["action"]
            ]()
        except BackupError as error:
            raise CommandError(str(error)) from error

    def show_identity(self) -> None:
        try:
            name = get_instance_id()
        except CopiedInstance as error:
            raise CommandError(str(error)) from error
        where = f"the data folder {settings.DATA_DIR}" if connection.vendor == "sqlite" else "the database"
        self.stdout.write(f"Instance {name}, which belongs to {where}.")

    def take_new_identity(self) -> None:
        name, ended = identity.take_new_identity()
        self.stdout.write(
            f"This installation is instance {name} now. {ended} runs that were live or waited when it was copied have "
            "ended here; the original goes on with them."
        )

    def take_over_original(self) -> None:
        identity.take_over_identity()
        self.stdout.write("This data folder goes on as the original, with its live runs. The original must not run.")
