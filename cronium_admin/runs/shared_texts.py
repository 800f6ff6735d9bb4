"""Stores texts that many runs share once, by digest: scripts, and the tables of sandboxes.

A used row is locked until the caller's commit, so that the deletion of unused rows does not remove it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef

from cronium_admin.runs import sandbox_report
from cronium_admin.runs.models import Run, SandboxTable, ScriptText


def store_script(text: str) -> ScriptText:
    """Call it in the caller's transaction: the row stays locked until its commit."""
    stored: ScriptText = _get_or_create(
        ScriptText, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), text=text
    )
    return stored


def store_report(run_id: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the columns of the run. Call it in a transaction, as `store_script`."""
    table, own = sandbox_report.pack_report(run_id, report)
    return {
        "sandbox": own,
        "sandbox_table": _get_or_create(SandboxTable, sandbox_report.digest_table(table), rows=table),
    }


def _get_or_create(model: Any, digest: str, **content: Any) -> Any:
    rows = model.objects.select_for_update(no_key=True).filter(digest=digest)
    while (row := rows.first()) is None:
        model.objects.bulk_create([model(digest=digest, **content)], ignore_conflicts=True)
    return row


def delete_unused() -> Iterator[tuple[str, int]]:
    """Deletes texts that no run uses; yields kind and number. IntegrityError if a run starts to use one."""
    for model, field, kind in ((ScriptText, "script_text", "scripts"), (SandboxTable, "sandbox_table", "sandboxes")):
        with transaction.atomic():
            unused: Any = model.objects.filter(~Exists(Run.objects.filter(**{field: OuterRef("pk")})))
            yield kind, unused.delete()[0]
