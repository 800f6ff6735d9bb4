"""`manage.py logs prune|archive|verify`: maintenance of stored logs from a terminal."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from cronium_admin.logs.commands import archive, prune, verify

# Each module has HELP, `add_arguments` and `handle`.
SUBCOMMANDS: dict[str, Any] = {"prune": prune, "archive": archive, "verify": verify}


class Command(BaseCommand):
    help = "Maintains stored logs: " + ", ".join(SUBCOMMANDS) + "."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        for name, part in SUBCOMMANDS.items():
            part.add_arguments(actions.add_parser(name, help=part.HELP))

    def handle(self, *args: Any, **options: Any) -> None:
        SUBCOMMANDS[options["action"]].handle(self, options)
