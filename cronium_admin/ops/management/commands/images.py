"""`manage.py images build|list|verify|push|pull|gc`: Cronium's own images, from a terminal."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from cronium_admin.ops.image_commands import build, gc, listing, pull, push, verify

# Each module has HELP, `add_arguments` and `handle`.
SUBCOMMANDS: dict[str, Any] = {
    "build": build,
    "list": listing,
    "verify": verify,
    "push": push,
    "pull": pull,
    "gc": gc,
}


class Command(BaseCommand):
    help = "Builds, lists, verifies and transfers the runner and sidecar images."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        for name, part in SUBCOMMANDS.items():
            part.add_arguments(actions.add_parser(name, help=part.HELP))

    def handle(self, *args: Any, **options: Any) -> None:
        SUBCOMMANDS[options["action"]].handle(self, options)
