"""`manage.py logs prune`: applies log retention now, without waiting for the hourly maintenance."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronium_admin.logs.commands.report import delete_unwanted_objects, report_logs
from cronium_admin.logs.failures import LogsSkipped
from cronium_admin.logs.retention import due, prune
from cronium_admin.logs.throttle import Throttle

HELP = "remove the logs past CRONIUM_LOG_KEEP_DAYS, CRONIUM_LOG_KEEP_RUNS or their job's own values"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only list them")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    if options["dry_run"]:
        due_logs = {due_log.run_id: due_log for due_log in due.find_due_logs()}  # two rules may select the same log
        report_logs(command, "would remove", due_logs.values())
        return
    try:
        report_logs(command, "removed", prune.prune_due_logs(Throttle()))
    except LogsSkipped as error:
        raise CommandError(str(error)) from error
    finally:
        delete_unwanted_objects(command)
