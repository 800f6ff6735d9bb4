"""Counts rows within another query, so that several counts need one query."""

from typing import Any

from django.db.models import Func, IntegerField, QuerySet, Subquery
from django.db.models.functions import Coalesce


def count_rows(rows: "QuerySet[Any]") -> Coalesce:
    # `Count` would group the rows. A query that can have no row would give NULL.
    number = Func("pk", function="COUNT", output_field=IntegerField())
    return Coalesce(Subquery(rows.order_by().values(row_count=number)), 0)
