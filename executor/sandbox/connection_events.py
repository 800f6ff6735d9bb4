"""Checks, counts and forwards the connection events of a run's sidecar, in a separate thread."""

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from executor import log_context

log = logging.getLogger("cronium.events")
KINDS = ("network_allowed", "network_refused")
MAX_EVENTS = 1000  # of one run; later events are only counted
MAX_MESSAGE = 500


class EventForwarder:
    """Forwards events to a callback. `put` never blocks, so the channel's reader does not wait for the database. Only
    one thread may call `put`."""

    def __init__(self, tell: Callable[[str, str], None], run_id: str) -> None:
        self._tell = tell
        self._queue: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._forwarded = 0
        self._unlisted: Counter[str] = Counter()
        self._is_closed = False
        self._lock = threading.Lock()
        self._thread = log_context.make_thread(run_id, "events", self._forward_events)

    def put(self, kind: Any, message: Any) -> None:
        if kind not in KINDS or not isinstance(message, str):
            return
        with self._lock:
            if self._is_closed:
                return
            if self._forwarded == MAX_EVENTS:
                self._unlisted[kind] += 1
                return
            self._forwarded += 1
            if self._forwarded == 1:
                self._thread.start()
            self._queue.put(
                (kind, "".join(character for character in message[:MAX_MESSAGE] if character.isprintable()))
            )

    def close(self, seconds: float) -> None:
        """Add a summary of the events that were only counted, and wait until all are forwarded. Idempotent."""
        with self._lock:
            began, first, self._is_closed = bool(self._forwarded), not self._is_closed, True
        if first and began:
            if self._unlisted:
                self._queue.put(self._build_summary())
            self._queue.put(None)
        if began:
            self._thread.join(seconds)

    def _build_summary(self) -> tuple[str, str]:
        allowed, refused = (self._unlisted[kind] for kind in KINDS)
        message = f"{allowed + refused:,} more connections, not listed one by one: {allowed:,} allowed, "
        return KINDS[bool(refused)], f"{message}{refused:,} refused"

    def _forward_events(self) -> None:
        while (event := self._queue.get()) is not None:
            try:
                self._tell(*event)
            except Exception:
                log.exception("the event %s could not be recorded", event[0])  # no message: its text is the script's
