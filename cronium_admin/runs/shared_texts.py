"""What many runs share is stored once, under its digest: scripts, and the tables of sandboxes.

A row is locked until the caller's commit, so that the sweep of what no run has does not take it away meanwhile.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef

from cronium_admin.runs import sandbox_report
from cronium_admin.runs.models import Run, SandboxTable, ScriptText


def store_script(text: str) -> ScriptText:
    """In the caller's transaction."""
    kept: ScriptText = _get_or_create(
        ScriptText, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), text=text
    )
    return kept


def store_report(run_id: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the run; in the caller's transaction."""
    table, own = sandbox_report.pack_report(run_id, report)
    return {
        "sandbox": own,
        "sandbox_table": _get_or_create(SandboxTable, sandbox_report.digest_table(table), rows=table),
    }


def _get_or_create(model: Any, digest: str, **content: Any) -> Any:
    rows = model.objects.select_for_update(no_key=True).filter(digest=digest)
    while (found := rows.first()) is None:
        model.objects.bulk_create([model(digest=digest, **content)], ignore_conflicts=True)
    return found


def delete_unused() -> Iterator[tuple[str, int]]:
    """Delete what no run has any more; how many of each kind. IntegrityError where one was taken at this moment."""
    for model, field, what in ((ScriptText, "script_text", "scripts"), (SandboxTable, "sandbox_table", "sandboxes")):
        with transaction.atomic():
            unused: Any = model.objects.filter(~Exists(Run.objects.filter(**{field: OuterRef("pk")})))
            yield what, unused.delete()[0]
