"""`manage.py reap`: garbage collection on this machine's engine now, without waiting for the worker."""

from argparse import ArgumentParser
from collections.abc import Set
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronium_admin.core.database.clock import database_now
from cronium_admin.workers.gc import history, runs
from cronium_admin.workers.instance import get_instance_id
from cronium_admin.workers.own_engine import make_own_engine
from cronium_admin.workers.status import get_own_host_name
from executor.checks.gc import collect_leftovers, list_leftovers
from executor.docker.errors import EngineError


class Command(BaseCommand):
    help = (
        "Removes leftover containers and networks of this installation that belong to no active run: those of this "
        "host and of hosts without a worker."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        default = get_own_host_name()
        parser.add_argument("--host", default=default, help=f"name of the host (default: {default})")
        parser.add_argument("--dry-run", action="store_true", help="only list them")

    def handle(self, *args: Any, **options: Any) -> None:
        host, dry = options["host"], options["dry_run"]

        def living(run_ids: Set[str]) -> Set[str]:
            return runs.find_still_active(host, run_ids)

        try:
            objects = (list_leftovers if dry else collect_leftovers)(
                make_own_engine(), get_instance_id(), host, living, runs.find_orphaned_elsewhere
            )
        except EngineError as error:
            raise CommandError(str(error)) from error
        if not dry:
            history.record_removed(host, objects, database_now())
        for item in objects:
            self.stdout.write(f"{'would remove' if dry else 'removed'} {item.kind} {item.name} of run {item.run_id}")
        if not objects:
            self.stdout.write(f"Host {host} has no leftover objects.")
