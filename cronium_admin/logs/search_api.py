"""The API route that searches the logs of many runs."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Schema
from pydantic import Field

from cronium_admin.accounts.api_auth import get_caller
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.core.query_parameters import accept_prefix
from cronium_admin.logs import read, search
from cronium_admin.logs.api import LineFilter, make_disconnect_check, make_query_error
from cronium_admin.logs.compare_api import router
from cronium_admin.logs.run_search import search_runs
from cronium_admin.logs.search_slots import hold_search_slot
from cronium_admin.runs.input_values import PREFIX
from cronium_admin.runs.list_api import RunFilters
from cronium_admin.runs.models import Run

__all__ = ["router"]


class FoundLineOut(Schema):
    seq: int
    stream: str
    text: str


class FoundRunOut(Schema):
    """`more`: the log has, or may have, more such lines."""

    run: UUID
    job: str
    number: int
    status: str
    created_at: datetime
    lines: list[FoundLineOut]
    more: bool


class UnreadLogOut(Schema):
    run: UUID
    reason: str


class LogSearchOut(Schema):
    """Newest runs first. Repeat the request with `after` = `next` until it is null."""

    items: list[FoundRunOut]
    searched: int = Field(description="How many logs this request searched.")
    back_to: datetime | None = Field(description="The launch of the oldest run of which the log was searched.")
    unread: list[UnreadLogOut] = Field(description="Logs that were not searched, or not to their end.")
    next: str | None


@router.get(
    "/logs/search",
    response={200: LogSearchOut, (*ANY_ERROR, 429): ErrorBody},
    operation_id="search_logs",
    summary="Search the logs of many runs",
)
@accept_prefix(PREFIX)
def search_logs(
    request: HttpRequest,
    filters: Query[RunFilters],
    wanted: Query[LineFilter],
    after: Annotated[str, Query(max_length=1000, description="`next` of the previous answer")] = "",
) -> LogSearchOut:
    """The lines that match in the logs of the runs that the filters choose. One request searches for about two seconds,
    and returns up to 20 lines of a run."""
    caller = get_caller(request)
    runs = filters.select(Run.objects.visible_to(caller).defer("differs", "output", "sandbox", "error"), request)
    try:
        with hold_search_slot():
            result = search_runs(runs, wanted.build_query(), after, is_cancelled=make_disconnect_check(request))
    except search.InvalidQuery as error:
        raise make_query_error(error) from error
    return LogSearchOut(
        items=[
            FoundRunOut(
                run=found.run.pk,
                job=found.run.job_slug,
                number=found.run.number,
                status=found.run.status,
                created_at=found.run.created_at,
                lines=[FoundLineOut(seq=n.seq, stream=read.STREAMS[n.stream], text=n.text) for n in found.lines],
                more=found.is_cut,
            )
            for found in result.found
        ],
        searched=result.searched,
        back_to=result.back_to,
        unread=[UnreadLogOut(run=run.pk, reason=reason) for run, reason in result.unread],
        next=result.next or None,
    )
