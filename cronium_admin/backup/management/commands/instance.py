"""`manage.py instance`: shows and changes the identity of an installation whose data folder or database was copied."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from cronium_admin.backup import identity
from cronium_admin.backup.errors import BackupError
from cronium_admin.workers.instance import CopiedInstance, get_instance_id


class Command(BaseCommand):
    help = "Shows the identity of this installation, or gives a copy a new identity or that of the original."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("show", help="show the identity, and whether it belongs to this data folder or database")
        actions.add_parser("new", help="give this copy a new identity; the original continues")
        actions.add_parser("take-over", help="continue as the original, which must never run again")

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
            f"This installation is instance {name} now. {ended} runs that were live or queued when it was copied have "
            "ended here; they continue in the original."
        )

    def take_over_original(self) -> None:
        identity.take_over_identity()
        what = "data folder" if connection.vendor == "sqlite" else "database"
        self.stdout.write(f"This {what} continues as the original, with its live runs. The original must not run.")
