"""Stores the tables of sandboxes once, by digest, and deletes unused rows.

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


# Rows, the model that refers to them, its column, and a label. The order is that of deletion: a deleted revision
# frees its script. Revisions of stored jobs are kept.
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
