"""Writes a log of millions of lines into a server's database, in the format of the executor's log writer.

A script would take too long. `python -m tests.browser.biglog RUN LINES` in the server's environment, for a run that no
host claims.
"""

import os
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")
django.setup()

from django.utils import timezone  # noqa: E402

from cronium_admin.logs.store import RunLog, commit_writes  # noqa: E402
from cronium_admin.runs.models import Run, Status  # noqa: E402
from executor.spec import Batch, Cursor, Segment  # noqa: E402

BATCH = 10_000  # lines, some 250 kB: as a flood's are
ERRORS = 1_000  # every so manieth line is on stderr


def text_of(seq: int) -> str:
    """The text of line `seq`; the tests use it too."""
    return f"oops {seq} of many" if seq % ERRORS == 0 else f"row {seq} {'x' * (seq % 23)}"


def _segments(first: int, last: int) -> tuple[Segment, ...]:
    """The segments of the lines first..last: consecutive lines of one stream are one segment."""
    now = time.time_ns()
    found = []
    for start in range(first, last + 1, ERRORS):
        end = min(start + ERRORS - 1, last)
        whole = end % ERRORS == 0
        out = "".join(f"{text_of(seq)}\n" for seq in range(start, end if whole else end + 1))
        found.append(Segment(1, end - start + (not whole), now, out.encode()))
        if whole:
            found.append(Segment(2, 1, now, f"{text_of(end)}\n".encode()))
    return tuple(found)


def fill(run_id: str, lines: int) -> None:
    Run.objects.filter(pk=run_id).update(status=Status.RUNNING, started_at=timezone.now())
    run = Run.objects.get(pk=run_id)
    log = RunLog(run.pk, run.lease_epoch)
    for first in range(1, lines + 1, BATCH):
        last = min(first + BATCH - 1, lines)
        batch = Batch(_segments(first, last), Cursor(last, 0), Cursor())
        assert not commit_writes([log.prepare_write(batch)])
    assert not commit_writes([log.prepare_seal()])
    facts = {"log_lines": log.lines, "log_bytes": log.bytes, "log_digest": log.digest}
    Run.objects.filter(pk=run_id).update(status=Status.SUCCEEDED, finished_at=timezone.now(), **facts)


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]))
