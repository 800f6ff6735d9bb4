"""`manage.py logs prune`: removes what retention no longer keeps, now instead of within the hour."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronium_admin.logs.commands.report import discard, report
from cronium_admin.logs.failures import Skipped
from cronium_admin.logs.retention import due, prune
from cronium_admin.logs.throttle import Pace

HELP = "removes the logs that CRONIUM_LOG_KEEP_DAYS, CRONIUM_LOG_KEEP_RUNS and the jobs' own values no longer keep"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only list them")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    if options["dry_run"]:
        once = {one.run_id: one for one in due.due()}  # two rules may name the same
        report(command, "would remove", once.values())
        return
    try:
        report(command, "removed", prune.prune(Pace()))
    except Skipped as error:
        raise CommandError(str(error)) from error
    finally:
        discard(command)
