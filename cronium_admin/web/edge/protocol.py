"""uvicorn's protocols, with a time limit for a request's head and a limit on connections."""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from cronium_admin.web.edge import answers
from cronium_admin.web.edge.connections import Connection, ConnectionTable
from cronium_admin.web.edge.guard import Guard, get_client_key

HEAD_SECONDS = 10.0


class HttpProtocol(H11Protocol):
    """The class variables are set before the server starts."""

    server_connections: ClassVar[ConnectionTable]
    guard: ClassVar[Guard]

    credential_id = ""  # the id of the valid credential in the connection's first bytes; empty if unknown

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_checked = bool(self.credential_id)  # the acceptor has checked a complete head
        self._last_cycle: Any = None  # the last request whose head was received
        self._entry = self.server_connections.admit(transport, get_client_key(self.client[0] if self.client else ""))
        if self._entry is None:
            self._answer_and_close(503, "busy", answers.BUSY)
            return
        if self.credential_id:
            self._entry.authenticate(self.credential_id)
        self.app_state = {**self.app_state, "connection": self._entry}
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        if self._entry:
            self.server_connections.remove(self._entry)
        super().connection_lost(exc)
        # uvicorn stops this timer only after a clean end: it would keep all of the request for IDLE_SECONDS.
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        is_first = self.cycle is None or self.cycle.response_complete
        if is_first and self._head_timer is None:
            self._start_head_timer()
        is_checked, self._is_checked = self._is_checked, False
        if is_first and not is_checked and self.client and self.guard.is_refused(data, self.client[0]):
            # The acceptor checks the first bytes of a connection; these may belong to a later request.
            self._answer_and_close(503, "busy", answers.BUSY)
            return
        super().data_received(data)
        if self.cycle is not self._last_cycle:
            self._last_cycle = self.cycle
            self._stop_head_timer()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._stop_head_timer()
        super().handle_websocket_upgrade(event)

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._answer_and_close(408, "too_slow", "The head of the request did not arrive in time.")

    def _answer_and_close(self, status: int, code: str, message: str) -> None:
        self.transport.write(answers.build_raw_response(status, code, message))
        self.transport.close()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Keeps the connection's entry until the socket closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        entry: Connection | None = self.app_state.get("connection")
        if entry:
            HttpProtocol.server_connections.remove(entry)
        super().connection_lost(exc)
