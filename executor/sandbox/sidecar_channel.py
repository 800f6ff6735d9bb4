"""The worker's end of a sidecar's control channel: sends the configuration, receives requests and events.

JSON lines over the sidecar's standard input and output (docs/runtime-api.md). Input from the sidecar is untrusted: its
size is limited, and its text is only shown.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from executor import log_context
from executor.docker.attachment import Attachment, SplitAttachment
from executor.docker.errors import EngineUnreachable, SidecarUnhealthy
from executor.docker.frames import STDOUT, FrameParser
from executor.sandbox.binding import Binding
from executor.sandbox.connection_events import EventForwarder
from executor.sandbox.request_rate import LARGE_BYTES, RequestThrottle, large_request_lock
from executor.spec import MB, LeaseLost, Reply

log = logging.getLogger("cronium.sidecar")
HEALTH_SECONDS = 30.0
REOPEN_SECONDS = 10.0
FINISH_SECONDS = 2.0
MAX_MESSAGE_BYTES = 6 * MB
MAX_WORDS_BYTES = 4096


class SidecarChannel:
    """The channel to one attached sidecar. Its thread reads until the sidecar ends or `close` is called.

    Until `configure` or `reopen`, the channel serves no run: it ignores all messages but `loaded` and `listening`.
    """

    def __init__(
        self,
        attachment: Attachment | SplitAttachment,
        run_id: str,
        on_end: Callable[[Binding], None] = lambda binding: None,
    ) -> None:
        """`on_end` is called by the channel's thread when the channel of a ready sidecar ends and was not closed."""
        self._attachment = attachment
        self._run_id = run_id
        self._on_end = on_end
        self._binding: Binding | None = None
        self._rate = RequestThrottle()
        self._events: EventForwarder | None = None
        self._loaded = threading.Event()
        self._listening = threading.Event()
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._last_output = b""
        self._thread = log_context.make_thread(run_id, "sidecar", self._read_messages)

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    def refuse_ended(self, seconds: float) -> None:
        """Raise SidecarUnhealthy if the sidecar has ended or ends within `seconds`."""
        if self._thread.ident is not None and self._ended.wait(seconds):
            raise self._build_error("", "before the script began")

    def listen(self) -> None:
        self._thread.start()

    def configure(self, configuration: Mapping[str, Any], binding: Binding) -> None:
        """Send the configuration, and serve the run from now on."""
        self._serve(binding)
        with suppress(EngineUnreachable):  # it has ended already: `wait_ready` raises with its last output
            self._send_message(configuration)

    def reopen(self, binding: Binding, seconds: float = REOPEN_SECONDS) -> None:
        """Start reading from a sidecar that another worker has configured. It repeats its unanswered requests.

        SidecarUnhealthy when it is not ready within `seconds`.
        """
        self._serve(binding)
        self._thread.start()
        with suppress(EngineUnreachable):
            self._attachment.send(b"\n")  # ends a partial line of the other worker
            self._send_message({"type": "attached"})
        self.wait_ready(seconds, when="when its worker came back")

    def _serve(self, binding: Binding) -> None:
        self._events = EventForwarder(binding.record_event, self._run_id)
        self._binding = binding

    def wait_loaded(self, seconds: float = HEALTH_SECONDS) -> None:
        """Return when the sidecar waits for its configuration; SidecarUnhealthy when it ends or takes too long."""
        if not self._wait_for(self._loaded, seconds):
            hint = "" if self._ended.is_set() else " Its image may be an older one: run `manage.py images build`."
            raise self._build_error(f"was not loaded within {seconds:.0f} s", "before its configuration", hint)

    def start_server(self, seconds: float = HEALTH_SECONDS) -> None:
        """Start the server of a loaded sidecar before its configuration, and return when it answers.

        SidecarUnhealthy when it ends or takes too long.
        """
        with suppress(EngineUnreachable):
            self._send_message({"type": "listen"})
        if not self._wait_for(self._listening, seconds):
            raise self._build_error(f"did not listen within {seconds:.0f} s", "before its configuration")

    def wait_ready(self, seconds: float = HEALTH_SECONDS, *, when: str = "before the script began") -> None:
        """Return when the sidecar is ready; SidecarUnhealthy with its last output when it ends or takes too long."""
        if not self._wait_for(self._ready, seconds):
            raise self._build_error(f"was not healthy within {seconds:.0f} s", when)

    def _wait_for(self, event: threading.Event, seconds: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: event.is_set() or self._ended.is_set(), seconds)
        return event.is_set()

    def _build_error(self, late: str, when: str, hint: str = "") -> SidecarUnhealthy:
        failure = "ended" if self._ended.is_set() else late
        output = self._last_output.decode(errors="replace").strip()
        quoted = f" Its last lines:\n{output}" if output else " It said nothing."
        return SidecarUnhealthy(f"The runtime API's sidecar {failure} {when}.{hint}{quoted}")

    def close(self) -> None:
        self._closed.set()
        self._attachment.close()

    def drain(self, seconds: float = FINISH_SECONDS) -> None:
        """After the sidecar's end: handle its remaining messages, for at most `seconds`. Idempotent."""
        if self._thread.ident is not None:
            self._thread.join(seconds)  # it reads to the end, which `close` would cut off
        self.close()
        if self._events:
            self._events.close(seconds)

    def _send_message(self, message: Mapping[str, Any]) -> None:
        self._attachment.send(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def _read_messages(self) -> None:
        frames, buffer = FrameParser(), b""
        while (block := self._attachment.recv(256 * 1024, None)) != b"":
            # None: a concurrent `send` has set its timeout on the shared socket.
            for stream, data in frames.feed(block or b""):
                if stream != STDOUT:
                    self._last_output = (self._last_output + data)[-MAX_WORDS_BYTES:]
                    continue
                *complete, buffer = (buffer + data).split(b"\n")
                for line in complete:
                    self._receive_line(line)
                if len(buffer) > MAX_MESSAGE_BYTES:
                    self._last_output += b"\n(the sidecar sent a message over the size limit)"
                    self._attachment.close()
        self._attachment.close()
        self._set_event(self._ended)
        if self._binding and self._ready.is_set() and not self._closed.is_set():
            self._on_end(self._binding)

    def _set_event(self, event: threading.Event) -> None:
        with self._changed:
            event.set()
            self._changed.notify_all()

    def _receive_line(self, line: bytes) -> None:
        if len(line) > LARGE_BYTES:
            if self._closed.wait(self._rate.charge_request(len(line))):  # delays this run only
                return
            with large_request_lock:
                self._handle_line(line)
        else:
            self._handle_line(line)

    def _handle_line(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            kind = message.get("type")
        except (ValueError, AttributeError, RecursionError):
            return
        if kind == "loaded":
            self._set_event(self._loaded)
            if self._binding:
                self._binding.note_phase("sidecar_loaded")
        elif kind == "listening":
            self._set_event(self._listening)
        elif (binding := self._binding) is None or self._events is None:
            return  # a sidecar without a configuration has nothing to report
        elif kind == "ready":
            binding.note_phase("sidecar_ready")
            self._set_event(self._ready)
        elif kind == "request":
            self._serve_request(message, binding)
        elif kind == "event":
            self._events.put(message.get("kind"), message.get("message"))

    def _serve_request(self, message: dict[str, Any], binding: Binding) -> None:
        operation, body = str(message.get("op", "")), message.get("body")
        if isinstance(body, dict):
            # A write without a key gets its request number, so that a repeated request counts once.
            body.setdefault("idempotency_key", f"request:{message.get('id')}")
        try:
            reply = binding.answer_request(operation, body)
        except LeaseLost:
            self.close()  # no answer: the sidecar repeats the request to the run's new worker
            return
        except Exception:
            log.exception("the request %s of a script could not be answered", operation)
            reply = Reply(status=502, error="BACKEND_ERROR", message="Cronium failed. See its log for the error.")
        fine = not reply.error
        answer: dict[str, Any] = {"id": message.get("id"), "ok": fine}
        answer |= (
            {"data": reply.data} if fine else {"status": reply.status, "error": reply.error, "message": reply.message}
        )
        try:
            self._send_message(answer)
        except EngineUnreachable:
            self._attachment.close()
