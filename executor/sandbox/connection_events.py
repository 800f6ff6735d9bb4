"""What a sidecar tells of its run's connections: checked, counted, and passed on by a thread of its own."""

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from executor import log_context

log = logging.getLogger("cronium.events")
KINDS = ("network_allowed", "network_refused")
MAX_EVENTS = 1000  # of one run, each passed on by itself; those after them are counted
MAX_MESSAGE = 500


class EventForwarder:
    """`put` never blocks, so that the channel's reader doesn't wait for a database. One thread puts."""

    def __init__(self, tell: Callable[[str, str], None], run_id: str) -> None:
        self._tell = tell
        self._queue: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._passed = 0
        self._more: Counter[str] = Counter()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = log_context.make_thread(run_id, "events", self._forward_events)

    def put(self, kind: Any, message: Any) -> None:
        """Take one event of a sidecar; what is none is dropped, for its words are not trusted."""
        if kind not in KINDS or not isinstance(message, str):
            return
        with self._lock:
            if self._closed:
                return
            if self._passed == MAX_EVENTS:
                self._more[kind] += 1
                return
            self._passed += 1
            if self._passed == 1:
                self._thread.start()
            self._queue.put((kind, "".join(one for one in message[:MAX_MESSAGE] if one.isprintable())))

    def close(self, seconds: float) -> None:
        """Add the line on those that were only counted, and wait for all to be passed on. Twice does no harm."""
        with self._lock:
            began, first, self._closed = bool(self._passed), not self._closed, True
        if first and began:
            if self._more:
                self._queue.put(self._build_summary())
            self._queue.put(None)
        if began:
            self._thread.join(seconds)

    def _build_summary(self) -> tuple[str, str]:
        allowed, refused = (self._more[kind] for kind in KINDS)
        message = f"{allowed + refused:,} more connections, not listed one by one: {allowed:,} allowed, "
        return KINDS[bool(refused)], f"{message}{refused:,} refused"

    def _forward_events(self) -> None:
        while (event := self._queue.get()) is not None:
            try:
                self._tell(*event)
            except Exception:
                log.exception("the event %s could not be told", event[0])  # its words are the script's
