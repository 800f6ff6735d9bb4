"""REST routes of a run's log: windows of lines and search as JSON, a stream of new lines, and the whole log as text."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase
from ninja import Query, Router, Schema
from pydantic import Field

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.errors import ANY_ERROR, ApiError, ErrorBody
from cronium_admin.logs import download, read, search
from cronium_admin.logs.codec import Line
from cronium_admin.logs.gaps import CAUSES
from cronium_admin.logs.live import http_stream
from cronium_admin.logs.search_slots import hold_search_slot

router = Router(tags=["logs"], auth=require_project_permission(Permission.VIEW))
MAX_BYTES = 8 * 1024 * 1024
MAX_RANGES = 20_000
After = Annotated[int, Query(ge=0, lt=2**62)]
# 410: removed by retention; 429: too many searches; 502: not in the archive; 503: the archive is not available.
_ERRORS = (*ANY_ERROR, 410, 429, 502, 503)
_STREAMS = {"": 0, "stdout": 1, "stderr": 2}


class LineOut(Schema):
    """One line. `time` is when the worker received it, RFC 3339 with microseconds."""

    seq: int
    time: datetime
    stream: str
    text: str


class GapOut(Schema):
    """A gap in the log: the line before it, the cause as a code and as a sentence, and the number of missing lines and
    bytes where it is known. With `split` nothing is lost: the line continues in the next line."""

    after: int
    cause: str = Field(description=f"One of {', '.join(f'`{cause}`' for cause in CAUSES)}.")
    lines: int | None
    bytes: int | None
    message: str


class LinesOut(Schema):
    """`next` is the value of `after` for the following lines. `ended`: the run has ended and no line follows. `gaps`
    lists the gaps of the whole log."""

    lines: list[LineOut]
    next: int
    ended: bool
    gaps: list[GapOut]


class FoundOut(Schema):
    """Ranges [first, last] of consecutive matching lines. `next` and `ended` mean the same as for lines: repeat the
    request until `next` is the run's last line."""

    ranges: list[tuple[int, int]]
    count: int
    next: int
    lines: int
    ended: bool


class LineFilter(Schema):
    """Selects lines that contain `q` (a text, or an RE2 expression with `regex`) and belong to `stream`."""

    q: Annotated[str, Query(max_length=search.MAX_QUERY)] = ""
    regex: bool = False
    ignore_case: bool = False
    stream: Literal["", "stdout", "stderr"] = ""

    def build_query(self) -> search.Query:
        return search.Query(self.q, self.regex, self.ignore_case, _STREAMS[self.stream])


def _build_line_out(line: Line) -> LineOut:
    time = datetime.fromtimestamp(line.unix_ns / 1e9, UTC)
    return LineOut(seq=line.seq, time=time, stream=read.STREAMS[line.stream], text=line.text.decode(errors="replace"))


def make_disconnect_check(request: HttpRequest) -> Callable[[], bool]:
    disconnected = getattr(request, "scope", {}).get("client_gone")
    return disconnected.is_set if disconnected else lambda: False


def _read_state(request: HttpRequest, run_id: UUID) -> read.LogState:
    state = read.read_state(run_id)
    if state is None or not can(get_caller(request), Permission.VIEW, state):
        raise ApiError(404, "not_found", f"There is no run {run_id}.")
    if state.pruned:
        raise read.LogPruned(state.pruned)
    return state


def make_query_error(error: search.InvalidQuery) -> ApiError:
    message = (
        f"This search is not possible: {error}. Expressions use RE2 syntax, without look-around or back-references."
    )
    return ApiError(422, "invalid", message, {"q": [message]})


@router.get(
    "/runs/{uuid:run_id}/logs",
    response={200: LinesOut, _ERRORS: ErrorBody},
    operation_id="list_log_lines",
    summary="List log lines",
)
def list_lines(
    request: HttpRequest,
    run_id: UUID,
    wanted: Query[LineFilter],
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> LinesOut:
    """Lines with seq > `after`, in order. With `q` or `stream` only the matching lines. One request searches for about
    a second; `next` is the last line that was searched."""
    state = _read_state(request, run_id)  # read before the lines: once the state says "ended", all lines are stored
    query = wanted.build_query()
    if query.text or query.stream:
        try:
            with hold_search_slot():
                log_lines, last = search.find_lines(
                    run_id, query, after, limit, MAX_BYTES, is_cancelled=make_disconnect_check(request)
                )
        except search.InvalidQuery as error:
            raise make_query_error(error) from error
    else:
        log_lines = read.read_lines(run_id, after, limit, MAX_BYTES)
        last = log_lines[-1].seq if log_lines else after
    read.refuse_incomplete(run_id, state, after, last)
    ended = state.has_ended and last >= state.lines
    gaps = [GapOut(**gap) for gap in state.gaps]
    return LinesOut(lines=[_build_line_out(line) for line in log_lines], next=last, ended=ended, gaps=gaps)


@router.get(
    "/runs/{uuid:run_id}/logs/find",
    response={200: FoundOut, _ERRORS: ErrorBody},
    operation_id="find_log_lines",
    summary="Find matching log lines",
)
def find_lines(request: HttpRequest, run_id: UUID, wanted: Query[LineFilter], after: After = 0) -> FoundOut:
    """The numbers of the matching lines, without their text. One request searches for about a second."""
    state = _read_state(request, run_id)
    try:
        with hold_search_slot():
            result = search.find_ranges(
                run_id, wanted.build_query(), after, MAX_RANGES, is_cancelled=make_disconnect_check(request)
            )
    except search.InvalidQuery as error:
        raise make_query_error(error) from error
    read.refuse_incomplete(run_id, state, after, result.searched_to)
    ended = state.has_ended and result.searched_to >= state.lines
    return FoundOut(ranges=result.ranges, count=result.count, next=result.searched_to, lines=state.lines, ended=ended)


@router.get("/runs/{uuid:run_id}/logs/follow", operation_id="follow_log", summary="Follow a run's log")
def follow_log(request: HttpRequest, run_id: UUID, after: After = 0) -> HttpResponseBase:
    """JSON Lines: one object for each log line, then `{"end": ...}`, or `{"failed": ...}` if the archive is not
    available. An empty line is a keep-alive. With `Accept: text/event-stream` the answer is server-sent events:
    `line`, then `end` or `failed`."""
    state = _read_state(request, run_id)
    return http_stream.make_response(request, run_id, after, state.project_id)


@router.get("/runs/{uuid:run_id}/logs.txt", operation_id="download_log", summary="Download a run's log as text")
def download_log(request: HttpRequest, run_id: UUID) -> HttpResponseBase:
    """Every stored line with its newline, with the bytes that the script wrote; the SHA-256 of the text is
    `log_digest`. Supports `Range` and `Accept-Encoding: gzip`."""
    return download.make_response(request, run_id, _read_state(request, run_id))
