"""`manage.py backup FILE`: writes database, logs and keys into one file, while Cronium runs."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import filesizeformat

from cronium_admin.backup.create import create_backup
from cronium_admin.backup.errors import BackupError


class Command(BaseCommand):
    help = "Writes database, logs and keys into one file that only its owner can read. Cronium may run meanwhile."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the file to write, such as cronium.backup")
        parser.add_argument("--overwrite", action="store_true", help="replace an existing file")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            facts = create_backup(options["file"].absolute(), overwrite=options["overwrite"])
        except BackupError as error:
            raise CommandError(str(error)) from error
        size = filesizeformat(facts["bytes"]).replace("\xa0", " ")
        self.stdout.write(f"{options['file']}: {size}, the database with its logs, and {', '.join(facts['keys'])}.")
        self.stdout.write("Protect this file like the server: it allows to read all secrets. It does not contain keys")
        self.stdout.write("from environment variables, and logs in an archive outside the database.")
