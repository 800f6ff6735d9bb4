"""The order in which waiting runs are claimed: by priority and waiting time, the oldest first among equals."""

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import Func
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce

AGEING = timedelta(minutes=10)  # of waiting that count as one level of priority
_QUEUED = "runs_run.status = 'queued'"
# The condition of the index `run_waiting`, as text: SQLite uses a partial index only for a literal.
IS_QUEUED = RawSQL(_QUEUED, [], output_field=models.BooleanField())  # noqa: S611 - no text of others is in it


class ClaimOrder(Func):
    """The time from which the run waits, ten minutes earlier for each level of `priority`: the least is first.

    The levels of all runs grow at the same pace, so the order of two runs never changes, and an index can have it.
    """

    arity = 2

    def __init__(self, priority: Any = "priority", since: Any = None, **extra: Any) -> None:
        super().__init__(priority, Coalesce("not_before", "created_at") if since is None else since, **extra)

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **extra: Any) -> Any:
        return self._write(compiler, "(({at} AT TIME ZONE 'UTC') - {priority} * INTERVAL '10 minutes')")

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self._write(compiler, "(JULIANDAY({at}) - {priority} * 10.0 / 1440.0)")

    def _write(self, compiler: Any, template: str) -> tuple[str, list[Any]]:
        priority, at = (compiler.compile(source)[0] for source in self.get_source_expressions())
        return template.format(priority=priority, at=at), []


ORDER = ClaimOrder(output_field=models.FloatField())
CLAIM_ORDER = (ORDER, "created_at", "id")
