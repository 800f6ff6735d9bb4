"""How the subcommands say what they do: a line a log as it is done, and the sum."""

from collections.abc import Iterable

from django.core.management.base import BaseCommand
from django.template.defaultfilters import filesizeformat

from cronium_admin.logs.due import Due


def report(command: BaseCommand, what: str, done: Iterable[Due]) -> None:
    logs = lines = size = 0
    for one in done:
        command.stdout.write(f"{what} {one.name}: {_amount(one.lines, one.bytes)}; {one.why}")
        logs, lines, size = logs + 1, lines + one.lines, size + one.bytes
    command.stdout.write(f"{what} {logs} logs: {_amount(lines, size)}".capitalize() + ".")


def _amount(lines: int, size: int) -> str:
    return f"{lines:,} lines, {filesizeformat(size)}".replace("\xa0", " ")
