"""The WebSocket of one run's log: authorises, then sends what the tail brings past what the browser has."""

import asyncio
import json
import logging
import time
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from cronium_admin.accounts import session_guard
from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ApiError, convert_outage
from cronium_admin.logs import gaps, read
from cronium_admin.logs.live import tail

log = logging.getLogger("cronium.live")
CLOSE_FORBIDDEN, CLOSE_FAILED, CLOSE_TRY_LATER = 4403, 1011, 1013
HEARTBEAT_SECONDS = 4.0  # checked after each read of the store, so a quiet log has a heartbeat at least every 6 s


class RunLogConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """`/ws/runs/{id}/logs?after=SEQ`; see docs/api.md for the messages."""

    # None of its own: `tail` listens for all viewers of a run. The consumer would end when its layer fails.
    channel_layer_alias = ""

    async def connect(self) -> None:
        await self.accept()
        self._sender: asyncio.Task[None] | None = None
        self._credential = self._make_credential()
        self._run_id: UUID = self.scope["url_route"]["kwargs"]["run_id"]
        try:
            self._checked_at = time.monotonic()
            may = await sync_to_async(self._credential, thread_sensitive=False, executor=tail.reader_threads)()
        except Exception as error:  # noqa: BLE001 - logged; the browser connects again
            await self._close_with_error(error)
            return
        if not may:
            await self.close(CLOSE_FORBIDDEN)
            return
        self._sender = asyncio.create_task(self._stream_log())

    def _make_credential(self) -> session_guard.PermissionCheck:
        user = self.scope.get("user")
        if isinstance(user, User) and user.is_authenticated:
            return session_guard.check_by_session(self.scope["session"].session_key, Permission.VIEW)
        scheme, _, token = dict(self.scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")
        return session_guard.check_by_token(token.strip() if scheme.lower() == "bearer" else "", Permission.VIEW)

    async def _is_still_permitted(self) -> bool:
        self._checked_at = time.monotonic()
        return await tail.permission_checks.is_allowed(self._credential)

    def _parse_after(self) -> int:
        given = parse_qs(self.scope["query_string"].decode("latin-1")).get("after", ["0"])[0]
        return int(given) if given.isdecimal() and len(given) < 19 else 0

    async def disconnect(self, code: int) -> None:
        if self._sender:
            self._sender.cancel()

    async def _send_message(self, **message: Any) -> None:
        await self.send(text_data=json.dumps(message, separators=(",", ":")))

    async def _stream_log(self) -> None:
        """A failure ends the connection, so that the browser connects again and goes on where it was."""
        try:
            await self._send_updates()
        except Exception as error:  # noqa: BLE001 - logged; the browser connects again
            await self._close_with_error(error)

    async def _close_with_error(self, error: Exception) -> None:
        refused = error if isinstance(error, ApiError) else convert_outage(error, "a viewer's connection")
        if refused is None:
            about = {"run_id": str(self._run_id)}
            words = "a viewer of run %s was sent away; it will come again"
            log.error(words, self._run_id, exc_info=error, extra=about)
        elif refused is error:
            log.warning("a viewer of run %s was sent away: %s", self._run_id, refused.message)
        with suppress(Exception):
            if refused is not None:
                await self._send_message(type="error", code=refused.code, detail=refused.message)
            await self.close(CLOSE_FAILED if refused is None else CLOSE_TRY_LATER)

    async def _send_updates(self) -> None:
        """Until the run has ended and all of it is sent. A slow reader holds only its own loop back."""
        known: read.LogState | None = None
        beat_at = time.monotonic()
        async with aclosing(tail.follow_log(self._run_id, self._parse_after())) as all_news:
            async for news in all_news:
                stale = time.monotonic() - self._checked_at >= session_guard.RECHECK_SECONDS
                if news.state is None or (stale and not await self._is_still_permitted()):
                    await self.close(CLOSE_FORBIDDEN)
                    return
                if news.lines:
                    await self.send(text_data=news.message)
                await self._send_changes(known, news.state)
                known = news.state
                if time.monotonic() - beat_at >= HEARTBEAT_SECONDS:
                    await self._send_message(type="beat")
                    beat_at = time.monotonic()
        assert known is not None
        end = {"status": known.status, "exit_code": known.exit_code, "lines": known.lines}
        lost = {"gaps": gaps.count_lost(known.gaps), "dropped_bytes": known.dropped_bytes}
        gone = {"pruned": known.pruned} if known.pruned else {}
        await self._send_message(type="end", **end, digest=known.digest, **lost, **gone)
        await self.close(1000)

    async def _send_changes(self, known: read.LogState | None, state: read.LogState) -> None:
        if known is None or _select_status_fields(known) != _select_status_fields(state):
            await self._send_message(
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
        if state.gaps != (known.gaps if known else []):
            await self._send_message(type="gaps", gaps=state.gaps)
        if known is None or state.partial != known.partial:  # what an earlier connection said of it may be old
            await self._send_message(type="partial", lines=state.partial)


def _select_status_fields(state: read.LogState) -> tuple[object, ...]:
    """What is told as soon as it changes; the output itself is for another request."""
    return state.status, state.cancelling, state.output_at, state.condition
