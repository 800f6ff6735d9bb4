"""`manage.py retention`: lists the retention rules; `--now` applies them at once instead of within the hour."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from cronium_admin.logs.throttle import Throttle
from cronium_admin.retention.ends import RULES


class Command(BaseCommand):
    help = "Lists the retention rules; with --now, removes expired data."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--now", action="store_true", help="remove now instead of within the hour")

    def handle(self, *args: Any, **options: Any) -> None:
        for rule in RULES:
            if not options["now"]:
                self.stdout.write(f"{rule.subject}: {rule.setting} ({rule.default})")
                continue
            for removed in rule.remove(Throttle()):
                self.stdout.write(f"removed {removed}")
