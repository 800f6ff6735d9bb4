"""`manage.py logs archive`: moves old logs to CRONIUM_LOG_STORAGE now, without waiting for the hourly maintenance."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from cronium_admin.logs.archive import archiver
from cronium_admin.logs.commands.report import delete_unwanted_objects, report_logs
from cronium_admin.logs.failures import LogsSkipped
from cronium_admin.logs.storage.base import StorageUnavailable
from cronium_admin.logs.throttle import Throttle

HELP = "move the logs of runs that ended CRONIUM_LOG_ARCHIVE_AFTER hours ago to CRONIUM_LOG_STORAGE"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only list them")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    store = settings.CONFIG.log_storage
    if not store:
        command.stdout.write("CRONIUM_LOG_STORAGE is not set: logs stay in the database.")
    if options["dry_run"]:
        report_logs(command, "would move", archiver.find_archivable_logs())
        return
    try:
        report_logs(command, "moved", archiver.archive_due_logs(Throttle()))
    except StorageUnavailable as error:
        cause = error.__cause__ or "it returns other bytes than were written"
        raise CommandError(f"The storage {store} fails: {cause}. The next run of this command continues.") from error
    except LogsSkipped as error:
        raise CommandError(str(error)) from error
    finally:
        delete_unwanted_objects(command)
