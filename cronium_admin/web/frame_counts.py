"""The numbers that the frame of each page shows."""

from typing import Any

from django.db.models import Func, IntegerField, QuerySet, Subquery

from cronium_admin.accounts.models import User
from cronium_admin.expectations.listing import select_open
from cronium_admin.runs.lookup import select_live_runs


def count_for_frame(user: User) -> dict[str, int]:
    numbers = (_count_rows(select_live_runs(user)), _count_rows(select_open(user)))
    live, incidents = User.objects.values_list(*numbers).get(pk=user.pk)
    return {"live": live, "incidents": incidents}


def _count_rows(rows: "QuerySet[Any]") -> Subquery:
    # `Count` would group the rows.
    return Subquery(rows.order_by().values(row_count=Func("pk", function="COUNT", output_field=IntegerField())))
