"""`manage.py restore FILE`: replaces this installation by a backup."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronium_admin.backup.errors import BackupError
from cronium_admin.backup.restore import finish_restore, restore_backup


class Command(BaseCommand):
    help = "Restores a backup into this installation, which must be stopped, and empty unless --replace is given."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="a file that `manage.py backup` wrote")
        parser.add_argument(
            "--replace", action="store_true", help="replace the users, jobs and runs of this installation"
        )
        parser.add_argument("--finish", action="store_true", help="finish an interrupted restore")
        parser.add_argument(
            "--take-over",
            action="store_true",
            help="continue as the original, with its live runs; the original must never run again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["finish"] == (options["file"] is not None):
            raise CommandError("Give either a backup file or --finish.")
        try:
            if options["finish"]:
                self.stdout.write("Finished." if finish_restore() else "There is nothing to finish.")
                return
            path = options["file"].absolute()
            manifest = restore_backup(path, replace=options["replace"], take_over=options["take_over"])
        except BackupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Restored the backup of {manifest['made_at']}, created by Cronium {manifest['version']}.")
        if not options["take_over"]:
            self.stdout.write("This copy has a new identity; runs that were live in the backup have the status lost.")
        self.stdout.write("Run `manage.py migrate`, then start Cronium.")
