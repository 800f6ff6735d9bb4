"""Follows a run's log over HTTP, for scripts: JSON lines, or server-sent events where a client asks for those."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from django.http import HttpRequest, StreamingHttpResponse

from cronium_admin.accounts import session_guard
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ApiError, convert_outage
from cronium_admin.logs import gaps, read
from cronium_admin.logs.codec import Line
from cronium_admin.logs.live import tail

SSE = "text/event-stream"
KEEP_ALIVE_POLLS = 7  # quiet looks of tail.LOOK_SECONDS: proxies cut what says nothing for a minute


def make_response(request: HttpRequest, run_id: UUID, after: int) -> StreamingHttpResponse:
    """Each line as it comes, from past `after`, then one closing object; a reader that reconnects with the last seq
    (or its Last-Event-ID) misses nothing."""
    events = SSE in request.headers.get("Accept", "")
    last = request.headers.get("Last-Event-ID", "")
    if events and last.isdecimal() and len(last) < 19:
        after = int(last)
    credential = session_guard.check_by_request(request, Permission.VIEW)
    response = StreamingHttpResponse(
        _stream_events(run_id, after, events, credential), content_type=SSE if events else "application/x-ndjson"
    )
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # nginx would hold it back
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def _stream_events(
    run_id: UUID, after: int, events: bool, credential: session_guard.PermissionCheck
) -> AsyncIterator[bytes]:
    quiet, state, asked_at = 0, None, time.monotonic()
    try:
        async with aclosing(tail.follow_log(run_id, after)) as all_news:
            async for news in all_news:
                if time.monotonic() - asked_at >= session_guard.RECHECK_SECONDS:
                    if not await tail.permission_checks.is_allowed(credential):
                        raise ApiError(403, "forbidden", "You may not read this any more.")
                    asked_at = time.monotonic()
                state = news.state
                quiet = 0 if news.lines else quiet + 1
                if news.lines:
                    yield await _encode_once(news, events)
                elif quiet % KEEP_ALIVE_POLLS == 0:
                    yield b": still there\n\n" if events else b"\n"
    except Exception as error:
        refused = error if isinstance(error, ApiError) else convert_outage(error, "a stream of a log")
        if refused is None:
            raise
        yield _encode_event("failed", {"code": refused.code, "detail": refused.message}, events)
        return
    if state:
        yield _encode_event("end", _build_end_event(state), events)


async def _encode_once(news: tail.LogUpdate, events: bool) -> bytes:
    """In a thread, and once for all who get these lines in this form."""
    if events not in news.encoded:
        loop = asyncio.get_running_loop()
        news.encoded[events] = loop.run_in_executor(tail.reader_threads, _encode_lines, news.lines, events)
    return await asyncio.shield(news.encoded[events])


def _encode_lines(lines: list[Line], events: bool) -> bytes:
    if events:
        return b"".join(
            b"id: %d\nevent: line\ndata: %s\n\n" % (line.seq, orjson.dumps(_convert_line(line))) for line in lines
        )
    return b"".join(orjson.dumps(_convert_line(line)) + b"\n" for line in lines)


def _convert_line(line: Line) -> dict[str, Any]:
    time = datetime.fromtimestamp(line.unix_ns / 1e9, UTC)
    text = line.text.decode(errors="replace")
    return {"seq": line.seq, "time": time, "stream": read.STREAMS[line.stream], "text": text}


def _build_end_event(state: read.LogState) -> dict[str, Any]:
    end = {"status": state.status, "exit_code": state.exit_code, "lines": state.lines, "digest": state.digest}
    end |= {"gaps": gaps.count_lost(state.gaps), "dropped_bytes": state.dropped_bytes}
    return end | ({"pruned": state.pruned} if state.pruned else {})


def _encode_event(kind: str, said: dict[str, Any], events: bool) -> bytes:
    if events:
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(said))
    return orjson.dumps({kind: said}) + b"\n"
