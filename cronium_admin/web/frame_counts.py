"""The numbers that the frame of each page shows."""

from cronium_admin.accounts.models import User
from cronium_admin.core.database.row_counts import count_rows
from cronium_admin.expectations.listing import select_open
from cronium_admin.runs.lookup import select_live_runs


def count_for_frame(user: User) -> dict[str, int]:
    numbers = (count_rows(select_live_runs(user)), count_rows(select_open(user)))
    live, incidents = User.objects.values_list(*numbers).get(pk=user.pk)
    return {"live": live, "incidents": incidents}
