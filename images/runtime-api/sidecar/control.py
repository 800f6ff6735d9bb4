"""The control channel: JSON lines between the sidecar and the worker."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any, Protocol

ANSWER_SECONDS = 60.0  # a dead worker is replaced within 45 s
EVENT_SECONDS = 10.0


class BackendUnavailableError(Exception):
    """There is no worker, or it did not answer in time."""


class BackendRefusedError(Exception):
    """The worker refused the request. The job receives `status`, `code` and `message`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class LineWriter(Protocol):
    """The methods of asyncio.StreamWriter that the channel uses."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...


def create_refused_error(answer: dict[str, Any]) -> BackendRefusedError:
    """A status that is not an HTTP error becomes 502."""
    status = answer.get("status")
    if isinstance(status, bool) or not isinstance(status, int) or not 400 <= status <= 599:
        status = 502
    code, message = answer.get("error"), answer.get("message")
    return BackendRefusedError(
        status,
        code if isinstance(code, str) else "BACKEND_ERROR",
        message if isinstance(message, str) else "The request was refused.",
    )


@dataclass
class PendingRequest:
    """A request without an answer; `line` is in parts."""

    line: tuple[bytes, ...]
    answer: asyncio.Future[Any]
    is_sent: bool = False


class Channel:
    """Concurrent requests over one pair of pipes. Answers arrive in any order; a new worker may answer requests that
    its predecessor received. The HTTP server limits their number (one per connection) and their size."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: LineWriter, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._reader, self._writer, self._answer_seconds = reader, writer, answer_seconds
        self._pending: dict[int, PendingRequest] = {}
        self._last_id = 0
        self._is_ready = False
        self._resend_task: asyncio.Task[None] | None = None
        self._is_closed = False
        self._send_lock = asyncio.Lock()

    def send_message(self, message: dict[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode("ascii") + b"\n")

    def announce_ready(self) -> None:
        """Sends "ready" now, and again to every worker that attaches later."""
        self._is_ready = True
        self.send_message({"type": "ready"})

    async def send_event(self, kind: str, message: str) -> None:
        """Sends an event of the run. Raises BackendUnavailableError if no worker reads it in time."""
        if self._is_closed:
            raise BackendUnavailableError
        line = json.dumps({"type": "event", "kind": kind, "message": message}).encode("ascii")
        try:
            async with asyncio.timeout(min(EVENT_SECONDS, self._answer_seconds)):
                await self._send_line((line,))
        except (TimeoutError, OSError):
            raise BackendUnavailableError from None

    async def send_request(self, op: str, body: tuple[bytes, ...]) -> Any:
        """Sends `body` (valid JSON text, in parts) and returns the data of the answer.

        Raises BackendUnavailableError or BackendRefusedError.
        """
        if self._is_closed:
            raise BackendUnavailableError
        self._last_id += 1
        request_id = self._last_id
        head = json.dumps({"type": "request", "id": request_id, "op": op}).encode("ascii")[:-1]
        pending = PendingRequest((head, b', "body": ', *body, b"}"), asyncio.get_running_loop().create_future())
        self._pending[request_id] = pending
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._send_line(pending.line, pending)
                return await pending.answer
        except (TimeoutError, OSError):
            raise BackendUnavailableError from None
        finally:
            self._pending.pop(request_id, None)

    async def _resend_pending(self) -> None:
        """Sends all unanswered requests to a new worker, with the same ids."""
        for pending in list(self._pending.values()):
            if pending.is_sent and not pending.answer.done():
                await self._send_line(pending.line, pending)

    async def _send_line(self, parts: tuple[bytes, ...], pending: PendingRequest | None = None) -> None:
        """Sends lines one by one. If the worker stops reading, only one body is copied into the write buffer."""
        async with self._send_lock:
            await self._writer.drain()
            if pending:
                if pending.answer.done():
                    return
                pending.is_sent = True
            # In valid JSON a line break occurs only between tokens, so a space may replace it.
            single_line = (part.replace(b"\n", b" ").replace(b"\r", b" ") for part in parts)
            self._writer.write(b"".join((*single_line, b"\n")))
            await self._writer.drain()

    async def receive_answers(self) -> None:
        """Reads answers until standard input ends; then all pending requests fail."""
        try:
            while line := await self._reader.readline():
                self._handle_line(line)
        except (ValueError, OSError) as error:
            print(f"control channel: {error}", file=sys.stderr, flush=True)  # noqa: T201
        self._is_closed = True
        for pending in self._pending.values():
            if not pending.answer.done():
                pending.answer.set_exception(BackendUnavailableError())

    def _handle_line(self, line: bytes) -> None:
        if not line.strip():
            return  # a new worker starts with a line break, which ends a partial line of its predecessor
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            print(f"control channel: not JSON: {error}", file=sys.stderr, flush=True)  # noqa: T201
            return
        if not isinstance(message, dict):
            return
        if message.get("type") == "attached":
            self._on_attached()
            return
        request_id = message.get("id")
        pending = self._pending.get(request_id) if isinstance(request_id, int) else None
        if pending is None or pending.answer.done():
            return  # timed out, already answered, or unknown
        if message.get("ok") is True:
            pending.answer.set_result(message.get("data"))
        else:
            pending.answer.set_exception(create_refused_error(message))

    def _on_attached(self) -> None:
        if self._is_ready:
            self.send_message({"type": "ready"})
        if self._resend_task:
            self._resend_task.cancel()  # it writes for the previous worker
        self._resend_task = asyncio.create_task(self._resend_pending())
