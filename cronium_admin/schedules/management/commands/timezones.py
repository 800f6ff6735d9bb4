"""`manage.py timezones compare FILE`: which schedules an update of the time-zone data would move."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cron_rules.zones import TZDATA_VERSION
from cronium_admin.core.database.clock import database_now
from cronium_admin.schedules.zone_changes import Move, ZoneArchiveError, find_moves, open_zone_archive

MAX_DAYS = 3660


class Command(BaseCommand):
    help = "Shows which schedules an update of the time-zone data would move. Changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        compare = actions.add_parser("compare", help="compare the installed tzdata with a wheel of another version")
        compare.add_argument("file", type=Path, help="from `pip download --no-deps tzdata`")
        compare.add_argument("--days", type=int, default=400, help=f"1 to {MAX_DAYS}; 400 by default")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["days"] <= MAX_DAYS:
            raise CommandError(f"--days is {options['days']}. Give 1 to {MAX_DAYS}.")
        try:
            archive = open_zone_archive(options["file"])
        except (OSError, ZoneArchiveError) as error:
            raise CommandError(f"{error}. Get one with `pip download --no-deps tzdata`.") from error
        self.stdout.write(f"tzdata {TZDATA_VERSION} is installed; {options['file'].name} has {archive.version}.")
        count = 0
        for move in find_moves(archive, database_now(), options["days"]):
            self.stdout.write(_describe_move(move))
            count += 1
        if count:
            self.stdout.write(f"Schedules that move: {count}. The update applies when Cronium is restarted with it.")
        else:
            self.stdout.write(f"No schedule moves in the next {options['days']} days.")


def _describe_move(move: Move) -> str:
    before, after = (f"{time:%Y-%m-%d %H:%M} UTC" if time else "no time" for time in (move.before, move.after))
    return f"  {move.schedule.job.slug} / {move.schedule.name} ({move.schedule.timezone}): {before} -> {after}"
