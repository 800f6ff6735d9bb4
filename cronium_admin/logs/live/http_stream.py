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
from cronium_admin.accounts.permissions import May
from cronium_admin.core.errors import Refused, refuse_outage
from cronium_admin.logs import gaps, read
from cronium_admin.logs.codec import Line
from cronium_admin.logs.live import tail

SSE = "text/event-stream"
KEEP_ALIVE_LOOKS = 7  # quiet looks of tail.LOOK_SECONDS: proxies cut what says nothing for a minute


def answer(request: HttpRequest, run_id: UUID, after: int) -> StreamingHttpResponse:
    """Each line as it comes, from past `after`, then one closing object; a reader that reconnects with the last seq
    (or its Last-Event-ID) misses nothing."""
    events = SSE in request.headers.get("Accept", "")
    last = request.headers.get("Last-Event-ID", "")
    if events and last.isdecimal() and len(last) < 19:
        after = int(last)
    credential = session_guard.of_request(request, May.SEE)
    response = StreamingHttpResponse(
        _stream(run_id, after, events, credential), content_type=SSE if events else "application/x-ndjson"
    )
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # nginx would hold it back
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def _stream(run_id: UUID, after: int, events: bool, credential: session_guard.Standing) -> AsyncIterator[bytes]:
    quiet, state, asked_at = 0, None, time.monotonic()
    try:
        async with aclosing(tail.follow(run_id, after)) as all_news:
            async for news in all_news:
                if time.monotonic() - asked_at >= session_guard.AGAIN_SECONDS:
                    if not await tail.checks.may(credential):
                        raise Refused(403, "forbidden", "You may not read this any more.")
                    asked_at = time.monotonic()
                state = news.state
                quiet = 0 if news.lines else quiet + 1
                if news.lines:
                    yield await _pack_once(news, events)
                elif quiet % KEEP_ALIVE_LOOKS == 0:
                    yield b": still there\n\n" if events else b"\n"
    except Exception as error:
        refused = error if isinstance(error, Refused) else refuse_outage(error, "a stream of a log")
        if refused is None:
            raise
        yield _closing("failed", {"code": refused.code, "detail": refused.message}, events)
        return
    if state:
        yield _closing("end", _end(state), events)


async def _pack_once(news: tail.News, events: bool) -> bytes:
    """In a thread, and once for all who get these lines in this form."""
    if events not in news.made:
        loop = asyncio.get_running_loop()
        news.made[events] = loop.run_in_executor(tail.threads, _packed, news.lines, events)
    return await asyncio.shield(news.made[events])


def _packed(lines: list[Line], events: bool) -> bytes:
    if events:
        return b"".join(b"id: %d\nevent: line\ndata: %s\n\n" % (line.seq, orjson.dumps(_row(line))) for line in lines)
    return b"".join(orjson.dumps(_row(line)) + b"\n" for line in lines)


def _row(line: Line) -> dict[str, Any]:
    time = datetime.fromtimestamp(line.unix_ns / 1e9, UTC)
    text = line.text.decode(errors="replace")
    return {"seq": line.seq, "time": time, "stream": read.STREAMS[line.stream], "text": text}


def _end(state: read.State) -> dict[str, Any]:
    end = {"status": state.status, "exit_code": state.exit_code, "lines": state.lines, "digest": state.digest}
    end |= {"gaps": gaps.lost(state.gaps), "dropped_bytes": state.dropped_bytes}
    return end | ({"pruned": state.pruned} if state.pruned else {})


def _closing(kind: str, said: dict[str, Any], events: bool) -> bytes:
    if events:
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(said))
    return orjson.dumps({kind: said}) + b"\n"
