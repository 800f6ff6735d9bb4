"""The ASGI application in front of Django's: a request gets a thread when its body is received and a slot is free.

Requests with a valid session or token have other slots and another queue than those of unauthenticated clients.
"""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from asgiref.sync import ThreadSensitiveContext

from cronium_admin.core.request_clock import start_request_clock
from cronium_admin.web.edge.answers import BUSY, Receive, Send, send_refusal
from cronium_admin.web.edge.bodies import BodyError, BodyReader, ClientDisconnected
from cronium_admin.web.edge.connections import Connection
from cronium_admin.web.edge.credentials import CredentialCache
from cronium_admin.web.edge.gate import FairSemaphore, QueueFull
from cronium_admin.web.edge.guard import get_client_key
from cronium_admin.web.edge.threads import LentThread, RequestThreads

Scope: TypeAlias = dict[str, Any]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH = frozenset({"/health", "/api/v1/health"})
FOLLOW = "/logs/follow"  # the end of the paths whose responses last as long as a run


@dataclass
class StreamLimit:
    """Limits long-lived responses and WebSockets: `most` in total, a quarter of them per client."""

    most: int
    counts: dict[str, int] = field(default_factory=dict)

    def try_enter(self, client: str) -> bool:
        count = self.counts.get(client, 0)
        if sum(self.counts.values()) >= self.most or count >= max(1, self.most // 4):
            return False
        self.counts[client] = count + 1
        return True

    def leave(self, client: str) -> None:
        self.counts[client] -= 1
        if not self.counts[client]:
            del self.counts[client]


class Edge:
    """Limits what reaches `http` and `websocket`. `requests` is the number of threads for authenticated clients;
    unauthenticated clients have a sixth of that.

    Two fifths of `connections` may follow logs and a quarter may wait for threads, so a new connection always has room.
    """

    def __init__(
        self, http: Application, websocket: Application, requests: int, connections: int, version: str
    ) -> None:
        self._http, self._websocket = http, websocket
        self._bodies = {True: BodyReader(), False: BodyReader()}
        self.credentials = CredentialCache()
        requests = max(2, min(requests, connections // 8))
        self.authenticated_gate = FairSemaphore(
            requests, waiting := min(1000, connections // 4), max(1, waiting // 4), 30.0
        )
        self.anonymous_gate = FairSemaphore(max(2, requests // 6), waiting := min(64, connections // 16), waiting, 5.0)
        self._threads, self._streams = RequestThreads("request"), StreamLimit(connections * 2 // 5)
        self._health = json.dumps({"status": "ok", "version": version}).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start_request_clock()
        if scope["type"] == "http" and scope["path"] in HEALTH and scope["method"] in ("GET", "HEAD"):
            await self._answer_health(send)
            return
        member = await self.credentials.identify(dict(scope["headers"]))
        if member and (connection := _get_connection(scope)):
            connection.authenticate(member)
        client = member or get_client_key(str((scope.get("client") or ["-"])[0]))
        if scope["type"] == "websocket" and member:
            with _mark_busy(scope):
                await self._serve_socket(scope, receive, send, client)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)  # refuses at once, so it is not counted
        else:
            await self._serve_request(scope, receive, send, client, is_member=bool(member))

    async def _answer_health(self, send: Send) -> None:
        # Uses no thread, so that the endpoint also answers while all threads are busy.
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(self._health)).encode())]
        headers.append((b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._health})

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send, client: str) -> None:
        if not self._streams.try_enter(client):
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1013, "reason": BUSY})
            return
        try:
            await self._websocket(scope, receive, send)
        finally:
            self._streams.leave(client)

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send, client: str, *, is_member: bool) -> None:
        bodies = self._bodies[is_member]
        try:
            body = await bodies.read_body(scope, receive)
        except ClientDisconnected:
            return
        except BodyError as error:
            # A client that waits for "100 Continue" sends nothing more; reading would ask it to continue.
            waits = b"expect" in dict(scope["headers"])
            await send_refusal(send, error.status, error.code, error.message, None if waits else receive)
            return
        try:
            is_stream = is_member and scope["path"].endswith(FOLLOW)
            if is_stream and not self._streams.try_enter(client):
                await send_refusal(
                    send, 429, "too_many_streams", "Too many logs are followed at once. Close some first."
                )
                return
            try:
                gate = self.authenticated_gate if is_member else self.anonymous_gate
                with _mark_busy(scope):
                    await self._serve_in_turn(scope, receive, send, client, gate, body, is_stream=is_stream)
            finally:
                if is_stream:
                    self._streams.leave(client)
        finally:
            bodies.release(len(body))

    async def _serve_in_turn(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        client: str,
        gate: FairSemaphore,
        body: bytes,
        *,
        is_stream: bool,
    ) -> None:
        disconnect = asyncio.ensure_future(
            receive()
        )  # the body is read, so the next message is the client's disconnect
        disconnected = threading.Event()  # for views with long computations, which run in threads
        disconnect.add_done_callback(lambda _: disconnected.set())
        scope = {**scope, "client_gone": disconnected}
        acquisition = asyncio.ensure_future(gate.acquire(client))
        try:
            await asyncio.wait({disconnect, acquisition}, return_when=asyncio.FIRST_COMPLETED)
            if not acquisition.done():
                return
            await acquisition
            await self._serve_in_thread(scope, _replay_body(body, disconnect), send, gate, is_stream=is_stream)
        except QueueFull:
            await send_refusal(send, 503, "busy", BUSY)
        finally:
            await _cancel_future(acquisition)
            await _cancel_future(disconnect)

    async def _serve_in_thread(
        self, scope: Scope, receive: Receive, send: Send, gate: FairSemaphore, *, is_stream: bool
    ) -> None:
        thread = LentThread(self._threads)

        async def send_and_part(message: Any) -> None:
            # A client may read a long response slowly. Meanwhile the response holds no slot, no thread and no database
            # connection. A followed log may be silent for long, so it returns them with its first message.
            is_begun = message["type"] == "http.response.body" and message.get("more_body")
            if (is_begun or is_stream) and thread.give_back():
                gate.release()
                if (connection := _get_connection(scope)) and not is_stream:
                    connection.mark_idle()  # a slow client does not keep its connection if another one needs the place
            await send(message)

        try:
            async with ThreadSensitiveContext(executor=thread):
                await self._http(scope, receive, send_and_part)
        finally:
            if thread.give_back():
                gate.release()


def _get_connection(scope: Scope) -> Connection | None:
    connection: Connection | None = scope.get("state", {}).get("connection")
    return connection


@contextmanager
def _mark_busy(scope: Scope) -> Iterator[None]:
    # A busy connection is not closed to make room for another one; while its body is received, it may be.
    connection = _get_connection(scope)
    if connection:
        connection.mark_busy()
    try:
        yield
    finally:
        if connection:
            connection.mark_idle()


async def _cancel_future(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.cancel()
        with suppress(asyncio.CancelledError):
            await future
    elif not future.cancelled():
        future.exception()


def _replay_body(body: bytes, leaving: "asyncio.Future[Any]") -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.shield(leaving)

    return receive
