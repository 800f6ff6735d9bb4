"""`manage.py logs verify [RUN ...]`: reads stored logs from end to end and compares them with their seals."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from cronium_admin.logs.read import LogPruned
from cronium_admin.logs.verify import verify_log
from cronium_admin.runs.models import TERMINAL, Run

HELP = "compare stored logs with their seals; exit 1 where one differs"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", nargs="*", type=UUID, help="ids of runs; without any, all that have ended")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    ended = Run.objects.filter(status__in=TERMINAL, log_pruned_at=None).exclude(log_digest="")
    wanted = ended.filter(pk__in=options["run"]) if options["run"] else ended
    columns = ("log_lines", "log_bytes", "log_digest", "log_gaps", "job_slug", "number")
    good = bad = size = 0
    for run in wanted.order_by("created_at", "pk").only(*columns).iterator(chunk_size=200):
        try:
            found = verify_log(run)
        except LogPruned:
            continue  # removed since we began
        size += found.bytes
        good, bad = good + (not found.problems), bad + bool(found.problems)
        for problem in found.problems:
            command.stderr.write(f"{run.pk} {run}: {problem}")
        if options["run"] and not found.problems:
            command.stdout.write(
                f"{run.pk} {run}: {found.lines:,} lines, {found.bytes:,} bytes, SHA-256 {found.digest}"
            )
    missing = set(options["run"]) - set(wanted.values_list("pk", flat=True))
    for run_id in sorted(missing):
        command.stderr.write(f"{run_id}: no run that has ended with a log that is kept")
    command.stdout.write(f"{good:,} logs are what their seals say, {size:,} bytes; {bad + len(missing):,} are not.")
    if bad or missing:
        raise CommandError("Some logs are not what their seals say.")
