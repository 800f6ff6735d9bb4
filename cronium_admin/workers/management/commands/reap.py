"""`manage.py reap`: what is left over on this machine's engine, now instead of at the worker's next look."""

from argparse import ArgumentParser
from collections.abc import Set
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronium_admin.core.database.clock import database_now
from cronium_admin.workers import gc_history, takeover
from cronium_admin.workers.instance import get_instance_id
from cronium_admin.workers.own_engine import make_own_engine
from cronium_admin.workers.status import get_own_host_name
from executor.checks.gc import collect_leftovers, list_leftovers
from executor.docker.errors import EngineError


class Command(BaseCommand):
    help = (
        "Removes containers and networks of this installation that belong to no living run: those of this host, and of "
        "hosts that are not there any more."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        own = get_own_host_name()
        parser.add_argument("--host", default=own, help=f"the worker's name, as runs show it (here {own})")
        parser.add_argument("--dry-run", action="store_true", help="only list them")

    def handle(self, *args: Any, **options: Any) -> None:
        host, dry = options["host"], options["dry_run"]

        def living(run_ids: Set[str]) -> Set[str]:
            return takeover.find_still_active(host, run_ids)

        try:
            found = (list_leftovers if dry else collect_leftovers)(
                make_own_engine(), get_instance_id(), host, living, takeover.find_orphaned_elsewhere
            )
        except EngineError as error:
            raise CommandError(str(error)) from error
        if not dry:
            gc_history.record_removed(host, found, database_now())
        for one in found:
            self.stdout.write(f"{'would remove' if dry else 'removed'} {one.kind} {one.name} of run {one.run_id}")
        if not found:
            self.stdout.write(f"Nothing is left over of host {host}.")
