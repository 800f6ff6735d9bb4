"""The WebSocket of one run's log: authorises, subscribes, then reads the store past what the browser has.

A nudge only means "read again", and a slow timer says the same: a lost nudge costs delay, never a line.
"""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import close_old_connections

from cronium_admin.access.models import User
from cronium_admin.access.roles import May
from cronium_admin.access.service import user_of_token
from cronium_admin.errors import Refused
from cronium_admin.logs import read
from cronium_admin.logs.codec import Line
from cronium_admin.runs import live

log = logging.getLogger("cronium.live")
REFUSED, FAILED = 4403, 1011
LOOK_SECONDS = 2.0
# Threads of our own keep their database connections; the shared one would queue every viewer behind one read.
_threads = ThreadPoolExecutor(4, "log-read")


def _news(run_id: UUID, after: int) -> tuple[read.State | None, list[Line]]:
    """State first, then lines: when it says "ended", the lines that follow are all there are."""
    close_old_connections()
    state = read.state(run_id)
    lines = read.window(run_id, after) if state and state.lines > after else []
    return state, lines


class RunLogConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """`/ws/runs/{id}/logs?after=SEQ`; see docs/api.md for the messages."""

    async def connect(self) -> None:
        await self.accept()
        self._wake = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._group = ""
        user = await self._user()
        if not self._same_origin() or user is None or not user.may(May.SEE):
            await self.close(REFUSED)
            return
        self._run_id: UUID = self.scope["url_route"]["kwargs"]["run_id"]
        self._seq = self._after()
        # Subscribed before the first read: what is stored in between is nudged, and read again.
        self._group = live.group(self._run_id)
        await self.channel_layer.group_add(self._group, self.channel_name)
        self._pump = asyncio.create_task(self._send_all())

    async def _user(self) -> User | None:
        user = self.scope.get("user")
        if isinstance(user, User) and user.is_authenticated:
            return user
        scheme, _, token = dict(self.scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        find = sync_to_async(user_of_token, thread_sensitive=False, executor=_threads)
        with suppress(Refused):
            return await find(token.strip())
        return None

    def _same_origin(self) -> bool:
        """A browser says where its page came from: only our own may read with its user's session."""
        headers = dict(self.scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        return not origin or urlsplit(origin).netloc == headers.get(b"host", b"").decode("latin-1")

    def _after(self) -> int:
        given = parse_qs(self.scope["query_string"].decode("latin-1")).get("after", ["0"])[0]
        return int(given) if given.isdecimal() and len(given) < 19 else 0

    async def disconnect(self, code: int) -> None:
        if self._pump:
            self._pump.cancel()
        if self._group:
            await self.channel_layer.group_discard(self._group, self.channel_name)

    async def run_news(self, event: dict[str, Any]) -> None:
        self._wake.set()

    async def _tell(self, **message: Any) -> None:
        await self.send(text_data=json.dumps(message, separators=(",", ":")))

    async def _send_all(self) -> None:
        """A failure ends the connection, so that the browser connects again and goes on where it was."""
        try:
            await self._send_news()
        except Exception:
            log.exception("a viewer of run %s was sent away; it will come again", self._run_id)
            with suppress(Exception):
                await self.close(FAILED)

    async def _send_news(self) -> None:
        """Until the run has ended and all of it is sent. A slow reader holds only its own loop back."""
        reading = sync_to_async(_news, thread_sensitive=False, executor=_threads)
        known: read.State | None = None
        while True:
            self._wake.clear()
            state, lines = await reading(self._run_id, self._seq)
            if state is None:
                await self.close(REFUSED)
                return
            if lines:
                self._seq = lines[-1].seq
                await self._tell(type="lines", lines=[_as_json(line) for line in lines])
            await self._tell_changes(known, state)
            known = state
            if self._seq < state.lines:
                continue
            if state.ended:
                end = {"status": state.status, "exit_code": state.exit_code, "lines": state.lines}
                await self._tell(type="end", **end, digest=state.digest)
                await self.close(1000)
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)

    async def _tell_changes(self, known: read.State | None, state: read.State) -> None:
        if known is None or _facts(known) != _facts(state):
            await self._tell(
                type="status",
                status=state.status,
                phase=state.phase,
                reason=state.reason,
                message=state.message,
                lines=state.lines,
                cancelling=state.cancelling,
                output_at=state.output_at.isoformat() if state.output_at else None,
                condition=state.condition,
            )
        if state.partial != (known.partial if known else ()):
            await self._tell(type="partial", lines=state.partial)


def _facts(state: read.State) -> tuple[object, ...]:
    """What is told as soon as it changes; the output itself is for another request."""
    return state.status, state.cancelling, state.output_at, state.condition


def _as_json(line: Line) -> list[Any]:
    return [line.seq, line.unix_ns, read.STREAMS[line.stream], line.text.decode(errors="replace")]
