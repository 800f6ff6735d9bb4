"""The output of the subcommands: one line per log, and the totals."""

from collections.abc import Iterable

from django.core.management.base import BaseCommand
from django.template.defaultfilters import filesizeformat, pluralize

from cronium_admin.logs.archive import objects
from cronium_admin.logs.retention.due import DueLog
from cronium_admin.logs.throttle import Throttle


def report_logs(command: BaseCommand, action: str, logs_done: Iterable[DueLog]) -> None:
    logs = lines = size = 0
    for due_log in logs_done:
        command.stdout.write(f"{action} {due_log.name}: {_format_amount(due_log.lines, due_log.bytes)}; {due_log.why}")
        logs, lines, size = logs + 1, lines + due_log.lines, size + due_log.bytes
    command.stdout.write(
        f"{action[0].upper()}{action[1:]} {_format_count(logs, 'log')}: {_format_amount(lines, size)}."
    )


def delete_unwanted_objects(command: BaseCommand) -> None:
    deleted, failed = objects.delete_unwanted(Throttle())
    if deleted:
        command.stdout.write(f"Deleted {_format_count(deleted, 'unused object')} from the archive.")
    for store in sorted(failed):
        command.stderr.write(f"Objects could not be deleted from {store}; the deletion is retried.")


def _format_count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{pluralize(number)}"


def _format_amount(lines: int, size: int) -> str:
    return f"{lines:,} lines, {filesizeformat(size)}".replace("\xa0", " ")
