"""Stores the tables of sandboxes once, by digest, and deletes what no run uses any more.

A used row is locked until the caller's commit, so that the deletion of unused rows does not remove it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef

from cronium_admin.core.database.shared_rows import get_or_create_locked
from cronium_admin.jobs.models import JobRevision, ScriptText
from cronium_admin.runs import sandbox_report
from cronium_admin.runs.models import Run, SandboxTable


def store_report(run_id: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the columns of the run. Call it in a transaction: the table stays locked until its commit."""
    table, own = sandbox_report.pack_report(run_id, report)
    return {
        "sandbox": own,
        "sandbox_table": get_or_create_locked(SandboxTable, sandbox_report.digest_table(table), rows=table),
    }


# From left to right: rows without a user of the second kind, in its column. Revisions of stored jobs are kept.
_UNUSED = (
    (JobRevision.objects.filter(job=None), Run, "revision", "revisions of deleted jobs without a run"),
    (ScriptText.objects.all(), JobRevision, "script", "scripts without a revision"),
    (SandboxTable.objects.all(), Run, "sandbox_table", "sandboxes without a run"),
)


def delete_unused() -> Iterator[tuple[str, int]]:
    """Yields kind and number of the deleted rows. IntegrityError if a row is used at that moment."""
    for rows, user, column, label in _UNUSED:
        with transaction.atomic():
            used = Exists(user.objects.filter(**{column: OuterRef("pk")}))
            yield label, rows.filter(~used).only("pk").delete()[0]
