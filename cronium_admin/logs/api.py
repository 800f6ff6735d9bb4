"""The log over HTTP: windows and search as JSON, a stream that follows it, and the whole as text."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase
from ninja import Query, Router, Schema

from cronium_admin.accounts.api_auth import require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ERROR_STATUSES, ApiError, ErrorBody
from cronium_admin.logs import download, read, search
from cronium_admin.logs.codec import Line
from cronium_admin.logs.live import http_stream
from cronium_admin.logs.search_slots import hold_search_slot

router = Router(tags=["logs"], auth=require_permission(Permission.VIEW))
MAX_BYTES = 8 * 1024 * 1024
MAX_RANGES = 20_000
After = Annotated[int, Query(ge=0, lt=2**62)]
_ERRORS = ERROR_STATUSES | {
    410,
    429,
    502,
    503,
}  # removed by retention; too many searches; the archive lacks it; the archive is away
_STREAMS = {"": 0, "stdout": 1, "stderr": 2}


class LineOut(Schema):
    """One line; `time` is when it was received, RFC 3339 with microseconds."""

    seq: int
    time: datetime
    stream: str
    text: str


class GapOut(Schema):
    """Where the log is not whole: after which line, why in a word (`engine_lost`, `engine_restarted`, `rotated`,
    `uncounted`, `limit`, `container_gone`, `unread`, `not_stored`; with `split` nothing is lost, the line goes on in
    the next one) and in a sentence, and how many lines and bytes, where that is known."""

    after: int
    cause: str
    lines: int | None
    bytes: int | None
    message: str


class LinesOut(Schema):
    """`next` is what to ask `after` for the following lines; `ended`: the run has, and nothing follows. `gaps` are
    those of the whole log."""

    lines: list[LineOut]
    next: int
    ended: bool
    gaps: list[GapOut]


class FoundOut(Schema):
    """Which lines match, as [first, last] of neighbours; `next`, `ended` as with lines: ask on until `next` is the
    run's last line."""

    ranges: list[tuple[int, int]]
    count: int
    next: int
    lines: int
    ended: bool


class LineFilter(Schema):
    """Which lines: all, or those that hold `q` (a text, or with `regex` an RE2 expression) and are of `stream`."""

    q: Annotated[str, Query(max_length=search.MAX_QUERY)] = ""
    regex: bool = False
    ignore_case: bool = False
    stream: Literal["", "stdout", "stderr"] = ""

    def build_query(self) -> search.Query:
        return search.Query(self.q, self.regex, self.ignore_case, _STREAMS[self.stream])


def _build_line_out(line: Line) -> LineOut:
    time = datetime.fromtimestamp(line.unix_ns / 1e9, UTC)
    return LineOut(seq=line.seq, time=time, stream=read.STREAMS[line.stream], text=line.text.decode(errors="replace"))


def _make_disconnect_check(request: HttpRequest) -> Callable[[], bool]:
    """Whether the client has left, as the server's edge notices it."""
    gone = getattr(request, "scope", {}).get("client_gone")
    return gone.is_set if gone else lambda: False


def _read_state(run_id: UUID) -> read.LogState:
    state = read.read_state(run_id)
    if state is None:
        raise ApiError(404, "not_found", f"There is no run {run_id}.")
    if state.pruned:
        raise read.LogPruned(state.pruned)
    return state


def _make_query_error(error: search.InvalidQuery) -> ApiError:
    words = f"This can't be looked for: {error}. Expressions are RE2's, without look-around and back-references."
    return ApiError(422, "invalid", words, {"q": [words]})


@router.get(
    "/runs/{uuid:run_id}/logs",
    response={200: LinesOut, _ERRORS: ErrorBody},
    operation_id="list_log_lines",
    summary="A window of lines",
)
def list_lines(
    request: HttpRequest,
    run_id: UUID,
    wanted: Query[LineFilter],
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> LinesOut:
    """Lines with seq > `after`, in order; with `q` or `stream` only those. A search looks for about a second at a
    time: `next` says how far it came."""
    state = _read_state(run_id)  # before the lines: what it calls ended is all there
    query = wanted.build_query()
    if query.text or query.stream:
        try:
            with hold_search_slot():
                found, last = search.find_lines(
                    run_id, query, after, limit, MAX_BYTES, is_cancelled=_make_disconnect_check(request)
                )
        except search.InvalidQuery as error:
            raise _make_query_error(error) from error
    else:
        found = read.read_lines(run_id, after, limit, MAX_BYTES)
        last = found[-1].seq if found else after
    read.refuse_incomplete(run_id, state, after, last)
    ended = state.has_ended and last >= state.lines
    gaps = [GapOut(**gap) for gap in state.gaps]
    return LinesOut(lines=[_build_line_out(line) for line in found], next=last, ended=ended, gaps=gaps)


@router.get(
    "/runs/{uuid:run_id}/logs/find",
    response={200: FoundOut, _ERRORS: ErrorBody},
    operation_id="find_log_lines",
    summary="Which lines match",
)
def find_lines(request: HttpRequest, run_id: UUID, wanted: Query[LineFilter], after: After = 0) -> FoundOut:
    """The seqs of the lines that match, without their text; about a second's worth at a time."""
    state = _read_state(run_id)
    try:
        with hold_search_slot():
            found = search.find_ranges(
                run_id, wanted.build_query(), after, MAX_RANGES, is_cancelled=_make_disconnect_check(request)
            )
    except search.InvalidQuery as error:
        raise _make_query_error(error) from error
    read.refuse_incomplete(run_id, state, after, found.searched_to)
    ended = state.has_ended and found.searched_to >= state.lines
    return FoundOut(ranges=found.ranges, count=found.count, next=found.searched_to, lines=state.lines, ended=ended)


@router.get("/runs/{uuid:run_id}/logs/follow", operation_id="follow_log", summary="Lines as they come, to the end")
def follow_log(request: HttpRequest, run_id: UUID, after: After = 0) -> HttpResponseBase:
    """JSON lines: a line each, then `{"end": ...}`, or `{"failed": ...}` where the archive is away; an empty line only
    says that we are there. With `Accept: text/event-stream` server-sent events: `line`, and `end` or `failed`."""
    _read_state(run_id)
    return http_stream.make_response(request, run_id, after)


@router.get("/runs/{uuid:run_id}/logs.txt", operation_id="download_log", summary="The whole log as text")
def download_log(request: HttpRequest, run_id: UUID) -> HttpResponseBase:
    """Every stored line with its newline, bytes as the script wrote them; its SHA-256 is `log_digest`. `Range` gives
    a part, `Accept-Encoding: gzip` packs it."""
    return download.make_response(request, run_id, _read_state(run_id))
