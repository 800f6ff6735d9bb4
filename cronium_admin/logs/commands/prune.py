"""`manage.py logs prune`: removes what retention no longer keeps, now instead of within the hour."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronium_admin.logs.commands.report import delete_unwanted_objects, report_logs
from cronium_admin.logs.failures import LogsSkipped
from cronium_admin.logs.retention import due, prune
from cronium_admin.logs.throttle import Throttle

HELP = "removes the logs that CRONIUM_LOG_KEEP_DAYS, CRONIUM_LOG_KEEP_RUNS and the jobs' own values no longer keep"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only list them")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    if options["dry_run"]:
        once = {one.run_id: one for one in due.find_due_logs()}  # two rules may name the same
        report_logs(command, "would remove", once.values())
        return
    try:
        report_logs(command, "removed", prune.prune_due_logs(Throttle()))
    except LogsSkipped as error:
        raise CommandError(str(error)) from error
    finally:
        delete_unwanted_objects(command)
