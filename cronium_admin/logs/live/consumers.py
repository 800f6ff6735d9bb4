"""The WebSocket of one run's log: checks permissions, then sends the lines after the last line that the browser has."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Any, TypeVar
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
from cronium_admin.runs.lookup import find_project_id

log = logging.getLogger("cronium.live")
T = TypeVar("T")
CLOSE_FORBIDDEN, CLOSE_FAILED, CLOSE_TRY_LATER = 4403, 1011, 1013
HEARTBEAT_SECONDS = (
    4.0  # checked after each read of the store: a log without new lines has a heartbeat at least every 6 s
)


class RunLogConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """`/ws/runs/{id}/logs?after=SEQ`; see docs/api.md for the messages."""

    # No channel layer: `tail` subscribes once for all viewers of a run, and a consumer ends when its layer fails.
    channel_layer_alias = ""

    async def connect(self) -> None:
        await self.accept()
        self._sender: asyncio.Task[None] | None = None
        self._run_id: UUID = self.scope["url_route"]["kwargs"]["run_id"]
        try:
            self._checked_at = time.monotonic()
            may = await self._run_in_thread(self._check_permission)
        except Exception as error:  # noqa: BLE001 - logged; the browser reconnects
            await self._close_with_error(error)
            return
        if not may:
            await self.close(CLOSE_FORBIDDEN)
            return
        self._sender = asyncio.create_task(self._stream_log())

    async def _run_in_thread(self, function: Callable[[], T]) -> T:
        return await sync_to_async(function, thread_sensitive=False, executor=tail.reader_threads)()

    def _check_permission(self) -> bool:
        # Queries the database
        self._credential = self._make_credential()
        return self._credential()

    def _make_credential(self) -> session_guard.PermissionCheck:
        user, project_id = self.scope.get("user"), find_project_id(self._run_id)
        if isinstance(user, User) and user.is_authenticated:
            key = self.scope["session"].session_key
            return session_guard.check_by_session(key, Permission.VIEW, project_id)
        scheme, _, token = dict(self.scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        return session_guard.check_by_token(token, Permission.VIEW, project_id)

    async def _is_still_permitted(self) -> bool:
        self._checked_at = time.monotonic()
        return await tail.permission_checks.is_allowed(self._credential)

    def _parse_after(self) -> int:
        text = parse_qs(self.scope["query_string"].decode("latin-1")).get("after", ["0"])[0]
        return int(text) if text.isdecimal() and len(text) < 19 else 0

    async def disconnect(self, code: int) -> None:
        if self._sender:
            self._sender.cancel()

    async def _send_message(self, **message: Any) -> None:
        await self.send(text_data=json.dumps(message, separators=(",", ":")))

    async def _stream_log(self) -> None:
        try:
            await self._send_updates()
        except Exception as error:  # noqa: BLE001 - logged; the browser reconnects
            await self._close_with_error(error)

    async def _close_with_error(self, error: Exception) -> None:
        api_error = error if isinstance(error, ApiError) else convert_outage(error, "a viewer's connection")
        if api_error is None:
            about = {"run_id": str(self._run_id)}
            message = "closed a viewer's connection to run %s after an error; the browser reconnects"
            log.error(message, self._run_id, exc_info=error, extra=about)
        elif api_error is error:
            log.warning("closed a viewer's connection to run %s: %s", self._run_id, api_error.message)
        with suppress(Exception):
            if api_error is not None:
                await self._send_message(type="error", code=api_error.code, detail=api_error.message)
            await self.close(CLOSE_FAILED if api_error is None else CLOSE_TRY_LATER)

    async def _send_updates(self) -> None:
        sent_state: read.LogState | None = None
        heartbeat_at = time.monotonic()
        async with aclosing(tail.follow_log(self._run_id, self._parse_after())) as updates:
            async for update in updates:
                is_check_due = time.monotonic() - self._checked_at >= session_guard.RECHECK_SECONDS
                if update.state is None or (is_check_due and not await self._is_still_permitted()):
                    await self.close(CLOSE_FORBIDDEN)
                    return
                if update.lines:
                    await self.send(text_data=update.message)
                await self._send_changes(sent_state, update.state)
                sent_state = update.state
                if time.monotonic() - heartbeat_at >= HEARTBEAT_SECONDS:
                    await self._send_message(type="beat")
                    heartbeat_at = time.monotonic()
        assert sent_state is not None
        end = {"status": sent_state.status, "exit_code": sent_state.exit_code, "lines": sent_state.lines}
        lost = {"gaps": gaps.count_lost(sent_state.gaps), "dropped_bytes": sent_state.dropped_bytes}
        pruned = {"pruned": sent_state.pruned} if sent_state.pruned else {}
        await self._send_message(type="end", **end, digest=sent_state.digest, **lost, **pruned)
        await self.close(1000)

    async def _send_changes(self, sent_state: read.LogState | None, state: read.LogState) -> None:
        if sent_state is None or _select_status_fields(sent_state) != _select_status_fields(state):
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
        if state.gaps != (sent_state.gaps if sent_state else []):
            await self._send_message(type="gaps", gaps=state.gaps)
        if (
            sent_state is None or state.partial != sent_state.partial
        ):  # after a reconnect the browser may have an old one
            await self._send_message(type="partial", lines=state.partial)


def _select_status_fields(state: read.LogState) -> tuple[object, ...]:
    return state.status, state.cancelling, state.output_at, state.condition
