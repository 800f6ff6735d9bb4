"""How the subcommands say what they do: a line a log as it is done, and the sum."""

from collections.abc import Iterable

from django.core.management.base import BaseCommand
from django.template.defaultfilters import filesizeformat

from cronium_admin.logs.archive import objects
from cronium_admin.logs.retention.due import DueLog
from cronium_admin.logs.throttle import Throttle


def report_logs(command: BaseCommand, what: str, done: Iterable[DueLog]) -> None:
    logs = lines = size = 0
    for one in done:
        command.stdout.write(f"{what} {one.name}: {_format_amount(one.lines, one.bytes)}; {one.why}")
        logs, lines, size = logs + 1, lines + one.lines, size + one.bytes
    command.stdout.write(f"{what[0].upper()}{what[1:]} {_format_count(logs, 'log')}: {_format_amount(lines, size)}.")


def delete_unwanted_objects(command: BaseCommand) -> None:
    """Delete from the archive what nobody needs any more, and say so."""
    gone, away = objects.delete_unwanted(Throttle())
    if gone:
        command.stdout.write(f"Deleted {_format_count(gone, 'object')} that nothing needs any more.")
    for store in sorted(away):
        command.stderr.write(f"{store} does not let objects be deleted now; it is tried again.")


def _format_count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _format_amount(lines: int, size: int) -> str:
    return f"{lines:,} lines, {filesizeformat(size)}".replace("\xa0", " ")
