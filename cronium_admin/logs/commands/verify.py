"""`manage.py logs verify [RUN ...]`: reads stored logs completely and compares them with their seals."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from cronium_admin.logs.read import LogPruned
from cronium_admin.logs.verify import verify_log
from cronium_admin.runs.models import TERMINAL, Run

HELP = "compare stored logs with their seals; exit 1 if a log differs"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", nargs="*", type=UUID, help="ids of runs (default: all that have ended)")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    ended = Run.objects.filter(status__in=TERMINAL, log_pruned_at=None).exclude(log_digest="")
    runs = ended.filter(pk__in=options["run"]) if options["run"] else ended
    columns = ("log_lines", "log_bytes", "log_digest", "log_gaps", "job_slug", "number")
    good = bad = size = 0
    for run in runs.order_by("created_at", "pk").only(*columns).iterator(chunk_size=200):
        try:
            result = verify_log(run)
        except LogPruned:
            continue  # removed in the meantime
        size += result.bytes
        good, bad = good + (not result.problems), bad + bool(result.problems)
        for problem in result.problems:
            command.stderr.write(f"{run.pk} {run}: {problem}")
        if options["run"] and not result.problems:
            command.stdout.write(
                f"{run.pk} {run}: {result.lines:,} lines, {result.bytes:,} bytes, SHA-256 {result.digest}"
            )
    missing = set(options["run"]) - set(runs.values_list("pk", flat=True))
    for run_id in sorted(missing):
        command.stderr.write(f"{run_id}: no ended run with a stored log has this id")
    command.stdout.write(f"{good:,} logs match their seals, {size:,} bytes; {bad + len(missing):,} do not.")
    if bad or missing:
        raise CommandError("Some logs do not match their seals.")
