"""The control channel: JSON lines to and from the worker. It knows requests and answers, and no HTTP."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any, Protocol

ANSWER_SECONDS = 60.0  # a worker that died is replaced within 45
EVENT_SECONDS = 10.0


class BackendUnavailableError(Exception):
    """The worker is not there, or did not answer in time."""


class BackendRefusedError(Exception):
    """The worker answered that it won't: `status`, `code` and `message` are for the job."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class LineWriter(Protocol):
    """The half of asyncio.StreamWriter that the channel uses."""

    def write(self, data: bytes) -> None:
        """Queue bytes."""

    async def drain(self) -> None:
        """Wait until the queue is short again."""


def refusal(answer: dict[str, Any]) -> BackendRefusedError:
    """What a refusing answer says; a status that is no HTTP error becomes 502."""
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
class Waiting:
    """A request without an answer yet: its line in parts, and whether it was sent once already."""

    line: tuple[bytes, ...]
    answer: asyncio.Future[Any]
    sent: bool = False


class Channel:
    """Many requests at once over one pair of pipes; answers may come in any order, and from another worker than
    the one that was asked. How many wait, and how large they are, HTTP bounds: one a connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: LineWriter, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._reader, self._writer, self._answer_seconds = reader, writer, answer_seconds
        self._waiting: dict[int, Waiting] = {}
        self._last_id = 0
        self._ready = False
        self._resending: asyncio.Task[None] | None = None
        self._gone = False
        self._sending = asyncio.Lock()

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message that has no answer."""
        self._writer.write(json.dumps(message).encode("ascii") + b"\n")

    def ready(self) -> None:
        """Say that all is well: now, and to every worker that attaches later."""
        self._ready = True
        self.tell({"type": "ready"})

    async def event(self, kind: str, message: str) -> None:
        """Tell of something that happened to the run. Raises BackendUnavailableError when nobody takes it."""
        if self._gone:
            raise BackendUnavailableError
        line = json.dumps({"type": "event", "kind": kind, "message": message}).encode("ascii")
        try:
            async with asyncio.timeout(min(EVENT_SECONDS, self._answer_seconds)):
                await self._send((line,))
        except (TimeoutError, OSError):
            raise BackendUnavailableError from None

    async def request(self, op: str, body: tuple[bytes, ...]) -> Any:
        """Send `body` (one JSON value as text, in parts, checked by the caller) and wait for the answer's data.

        Raises BackendUnavailableError or BackendRefusedError.
        """
        if self._gone:
            raise BackendUnavailableError
        self._last_id += 1
        number = self._last_id
        head = json.dumps({"type": "request", "id": number, "op": op}).encode("ascii")[:-1]
        asked = Waiting((head, b', "body": ', *body, b"}"), asyncio.get_running_loop().create_future())
        self._waiting[number] = asked
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._send(asked.line, asked)
                return await asked.answer
        except (TimeoutError, OSError):
            raise BackendUnavailableError from None
        finally:
            self._waiting.pop(number, None)

    async def _resend(self) -> None:
        """Ask a new worker what the one before has not answered, by the same numbers."""
        for asked in list(self._waiting.values()):
            if asked.sent and not asked.answer.done():
                await self._send(asked.line, asked)

    async def _send(self, parts: tuple[bytes, ...], asked: Waiting | None = None) -> None:
        """One line at a time, each after the last has left: a worker that stops reading costs one body, not all."""
        async with self._sending:
            await self._writer.drain()
            if asked:
                if asked.answer.done():
                    return
                asked.sent = True
            # Line ends can stand only between the tokens of a checked JSON text, where a space means the same.
            flat = (part.replace(b"\n", b" ").replace(b"\r", b" ") for part in parts)
            self._writer.write(b"".join((*flat, b"\n")))
            await self._writer.drain()

    async def listen(self) -> None:
        """Take answers until the worker closes its end; who still waits then is told at once."""
        try:
            while line := await self._reader.readline():
                self._take(line)
        except (ValueError, OSError) as error:
            print(f"control channel: {error}", file=sys.stderr, flush=True)  # noqa: T201
        self._gone = True
        for asked in self._waiting.values():
            if not asked.answer.done():
                asked.answer.set_exception(BackendUnavailableError())

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return  # a new worker's first word: it ends what the one before left half-written
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            print(f"control channel: not JSON: {error}", file=sys.stderr, flush=True)  # noqa: T201
            return
        if not isinstance(message, dict):
            return
        if message.get("type") == "attached":
            self._attached()
            return
        number = message.get("id")
        asked = self._waiting.get(number) if isinstance(number, int) else None
        if asked is None or asked.answer.done():
            return  # too late, answered by another already, or not for us
        if message.get("ok") is True:
            asked.answer.set_result(message.get("data"))
        else:
            asked.answer.set_exception(refusal(message))

    def _attached(self) -> None:
        if self._ready:
            self.tell({"type": "ready"})
        if self._resending:
            self._resending.cancel()  # it spoke to the worker before
        self._resending = asyncio.create_task(self._resend())
