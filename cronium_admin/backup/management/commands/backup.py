"""`manage.py backup FILE`: database, logs and keys into one file, while Cronium runs."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import filesizeformat

from cronium_admin.backup.create import create_backup
from cronium_admin.backup.errors import BackupError


class Command(BaseCommand):
    help = "Writes database, logs and keys into one file, for its owner alone. Cronium may run meanwhile."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the file to write, such as cronium.backup")
        parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = create_backup(options["file"].absolute(), overwrite=options["overwrite"])
        except BackupError as error:
            raise CommandError(str(error)) from error
        size = filesizeformat(made["bytes"]).replace("\xa0", " ")
        self.stdout.write(f"{options['file']}: {size}, the database with its logs, and {', '.join(made['keys'])}.")
        self.stdout.write("Keep it as secret as the server: who has it can read all secrets. Keys that are given by")
        self.stdout.write("the environment, and logs that were archived elsewhere, are not in it.")
