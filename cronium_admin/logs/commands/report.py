"""How the subcommands say what they do: a line a log as it is done, and the sum."""

from collections.abc import Iterable

from django.core.management.base import BaseCommand
from django.template.defaultfilters import filesizeformat

from cronium_admin.logs.archive import objects
from cronium_admin.logs.retention.due import Due
from cronium_admin.logs.throttle import Pace


def report(command: BaseCommand, what: str, done: Iterable[Due]) -> None:
    logs = lines = size = 0
    for one in done:
        command.stdout.write(f"{what} {one.name}: {_amount(one.lines, one.bytes)}; {one.why}")
        logs, lines, size = logs + 1, lines + one.lines, size + one.bytes
    command.stdout.write(f"{what[0].upper()}{what[1:]} {_count(logs, 'log')}: {_amount(lines, size)}.")


def discard(command: BaseCommand) -> None:
    """Delete from the archive what nobody needs any more, and say so."""
    gone, away = objects.discard(Pace())
    if gone:
        command.stdout.write(f"Deleted {_count(gone, 'object')} that nothing needs any more.")
    for store in sorted(away):
        command.stderr.write(f"{store} does not let objects be deleted now; it is tried again.")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _amount(lines: int, size: int) -> str:
    return f"{lines:,} lines, {filesizeformat(size)}".replace("\xa0", " ")
