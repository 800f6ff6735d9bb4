"""The log over HTTP: windows as JSON, and the whole as text."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest, StreamingHttpResponse
from ninja import Query, Router, Schema

from cronium_admin.access.auth import needs
from cronium_admin.access.roles import May
from cronium_admin.errors import ERRORS, ErrorBody, Refused
from cronium_admin.logs import read
from cronium_admin.logs.codec import Line

router = Router(tags=["logs"], auth=needs(May.SEE))


class LineOut(Schema):
    """One line; `time` is when it was received, RFC 3339 with microseconds."""

    seq: int
    time: datetime
    stream: str
    text: str


class LinesOut(Schema):
    """`next` is what to ask `after` for the following lines; `ended`: the run has, and nothing follows."""

    lines: list[LineOut]
    next: int
    ended: bool


def _out(line: Line) -> LineOut:
    time = datetime.fromtimestamp(line.unix_ns / 1e9, UTC)
    return LineOut(seq=line.seq, time=time, stream=read.STREAMS[line.stream], text=line.text.decode(errors="replace"))


def _state(run_id: UUID) -> read.State:
    state = read.state(run_id)
    if state is None:
        raise Refused(404, "not_found", f"There is no run {run_id}.")
    return state


@router.get("/runs/{uuid:run_id}/logs", response={200: LinesOut, ERRORS: ErrorBody}, summary="A window of lines")
def lines(
    request: HttpRequest,
    run_id: UUID,
    after: Annotated[int, Query(ge=0, lt=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    q: Annotated[str, Query(max_length=1000)] = "",
) -> LinesOut:
    """Lines with seq > `after`, in order; with `q` only those that contain it."""
    state = _state(run_id)  # before the lines: what it calls ended is all there
    if q:
        found, last = read.search(run_id, q.encode(), after, limit)
    else:
        found = read.window(run_id, after, limit, max_bytes=8 * 1024 * 1024)
        last = found[-1].seq if found else after
    return LinesOut(lines=[_out(line) for line in found], next=last, ended=state.ended and last >= state.lines)


@router.get("/runs/{uuid:run_id}/logs.txt", summary="The whole log as text")
def text(request: HttpRequest, run_id: UUID) -> StreamingHttpResponse:
    """Every stored line with its newline, bytes as the script wrote them; its SHA-256 is `log_digest`."""
    _state(run_id)
    response = StreamingHttpResponse(_blocks(run_id), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="run-{run_id}.log"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def _blocks(run_id: UUID) -> AsyncIterator[bytes]:
    blocks = read.text(run_id)

    def following() -> Any:
        return next(blocks, None)

    while (block := await sync_to_async(following)()) is not None:
        yield block
