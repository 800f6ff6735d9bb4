"""The one list of what grows and what ends it. `sweep` applies every end; the logs' keeper calls it before its own
work, at the start and every hour, in every process with pages. Each end is conditional and may run anywhere at once.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cronium_admin.logs.pace import Pace, Stopped
from cronium_admin.retention import deletion
from cronium_admin.retention.due import due_runs

log = logging.getLogger("cronium.retention")


@dataclass(frozen=True)
class End:
    """What grows, the setting that bounds it with its default, and the function that removes it: what it removed, in
    words, as it goes."""

    what: str
    setting: str
    default: str
    remove: Callable[[Pace], Iterator[str]]


def _remove_runs(pace: Pace) -> Iterator[str]:
    for due in due_runs():
        deleted = 0
        try:
            while ids := list(due.runs.values_list("pk", flat=True)[: deletion.BATCH]):
                pace.check()
                if not (gone := deletion.delete_runs(ids, pace)):
                    break
                deleted += gone
        finally:
            if deleted:
                yield f"{deleted} runs of {due.job}: {due.why}"


ENDS = (End("runs, with log and timeline", "CRONIUM_RUN_KEEP_DAYS, a job's run_keep_days", "365 days", _remove_runs),)


def sweep(pace: Pace) -> None:
    """Apply every end. One that fails is logged and holds up no other."""
    for end in ENDS:
        try:
            for words in end.remove(pace):
                log.info("retention removed %s", words)
        except Stopped:
            raise
        except Exception:
            log.exception("retention of %s failed; it is tried again within the hour", end.what)
