"""`manage.py doctor`: checks whether this machine can run jobs. Ends with exit code 1 if a check failed."""

import json
import sys
from argparse import ArgumentParser
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError

from cronium_admin.workers.health import results, runner
from cronium_admin.workers.health.checks.waiting_sandboxes import check_waiting_sandboxes
from cronium_admin.workers.hosts.names import parse_host_name
from cronium_admin.workers.status import get_own_host_name


class Command(BaseCommand):
    help = "Checks engine, images, database, broker, disk, address pool, clock and isolation; prints the remedies."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        default = get_own_host_name()
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument(
            "--host", type=parse_host_name, default=default, help=f"the worker that keeps the rows (here {default})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        host = options["host"]
        rows = runner.run_checks()
        if runner.is_database_away(rows):
            found = "Not checked: the result could not be stored."
            rows.append(results.CheckResult("isolation", "warning", found, "Fix the database first."))
        else:
            rows += check_waiting_sandboxes(host)
            isolation_rows = runner.check_isolation(host)  # creates the host's row if it does not exist
            with suppress(DatabaseError):  # the database row of the output reports it
                results.store_results(host, rows)
            rows += isolation_rows
        failed = sum(row.state == "failed" for row in rows)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not failed, "checks": [asdict(row) for row in rows]}, indent=2))
        else:
            self.print_rows(rows, failed)
        if failed:
            sys.exit(1)

    def print_rows(self, rows: list[Any], failed: int) -> None:
        paint = {"ok": self.style.SUCCESS, "warning": self.style.WARNING, "failed": self.style.ERROR}
        width = max(len(row.name) for row in rows)
        for row in rows:
            self.stdout.write(f"{paint[row.state](f'{row.state:<8}')} {row.name:<{width}}  {row.found}")
            if row.mend:
                self.stdout.write(f"{'':<8} {'':<{width}}  → {row.mend}")
        self.stdout.write("Some checks failed; see the arrows." if failed else "Ready to run jobs.")
