"""Follows a run's log over HTTP, for scripts: JSON Lines, or server-sent events if the client accepts them."""

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
from cronium_admin.accounts.permissions import Permission, ProjectId
from cronium_admin.core.errors import ApiError, convert_outage
from cronium_admin.logs import gaps, read
from cronium_admin.logs.codec import Line
from cronium_admin.logs.live import tail

SSE = "text/event-stream"
KEEP_ALIVE_POLLS = 7  # polls without new lines; proxies close connections that are idle for a minute


def make_response(request: HttpRequest, run_id: UUID, after: int, project_id: ProjectId) -> StreamingHttpResponse:
    is_sse = SSE in request.headers.get("Accept", "")
    last = request.headers.get("Last-Event-ID", "")
    if is_sse and last.isdecimal() and len(last) < 19:
        after = int(last)
    credential = session_guard.check_by_request(request, Permission.VIEW, project_id)
    response = StreamingHttpResponse(
        _stream_events(run_id, after, is_sse, credential), content_type=SSE if is_sse else "application/x-ndjson"
    )
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # otherwise nginx buffers the stream
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def _stream_events(
    run_id: UUID, after: int, is_sse: bool, credential: session_guard.PermissionCheck
) -> AsyncIterator[bytes]:
    quiet_polls, state, checked_at = 0, None, time.monotonic()
    try:
        async with aclosing(tail.follow_log(run_id, after)) as updates:
            async for update in updates:
                if time.monotonic() - checked_at >= session_guard.RECHECK_SECONDS:
                    if not await tail.permission_checks.is_allowed(credential):
                        raise ApiError(403, "forbidden", "You no longer have permission to read this log.")
                    checked_at = time.monotonic()
                state = update.state
                quiet_polls = 0 if update.lines else quiet_polls + 1
                if update.lines:
                    yield await _encode_once(update, is_sse)
                elif quiet_polls % KEEP_ALIVE_POLLS == 0:
                    yield b": still there\n\n" if is_sse else b"\n"
    except Exception as error:
        api_error = error if isinstance(error, ApiError) else convert_outage(error, "a stream of a log")
        if api_error is None:
            raise
        yield _encode_event("failed", {"code": api_error.code, "detail": api_error.message}, is_sse)
        return
    if state:
        yield _encode_event("end", _build_end_event(state), is_sse)


async def _encode_once(update: tail.LogUpdate, is_sse: bool) -> bytes:
    if is_sse not in update.encoded:
        loop = asyncio.get_running_loop()
        update.encoded[is_sse] = loop.run_in_executor(tail.reader_threads, _encode_lines, update.lines, is_sse)
    return await asyncio.shield(update.encoded[is_sse])


def _encode_lines(lines: list[Line], is_sse: bool) -> bytes:
    if is_sse:
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


def _encode_event(kind: str, body: dict[str, Any], is_sse: bool) -> bytes:
    if is_sse:
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(body))
    return orjson.dumps({kind: body}) + b"\n"
