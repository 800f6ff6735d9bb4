"""Limits repeated log records, such as those of a server without descriptors, which fails at every accept."""

import asyncio
import logging
import time
from typing import Any

log = logging.getLogger("cronium.process")
LOG_INTERVAL_SECONDS = 10.0


class LoopErrorLog:
    """An exception handler of event loops; logs each kind of error at most every LOG_INTERVAL_SECONDS, with a count."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[float, int]] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        kind = f"{context.get('message')} {type(error).__name__}"
        logged_at, suppressed = self._kinds.get(kind, (-LOG_INTERVAL_SECONDS, 0))
        if time.monotonic() - logged_at < LOG_INTERVAL_SECONDS:
            self._kinds[kind] = logged_at, suppressed + 1
            return
        self._kinds[kind] = time.monotonic(), 0
        trace = error if error and not isinstance(error, OSError) else None
        message = "%s: %s (%d more such errors since the last such line)"
        log.error(message, context.get("message"), error, suppressed, exc_info=trace)


class ClientErrorFilter(logging.Filter):
    """Drops the traceback of requests that Django refuses: unauthenticated clients can cause them, and no code is
    wrong."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security"):
            record.exc_info = record.exc_text = None
        return True


class RateLimitFilter(logging.Filter):
    """Passes at most MAX_RECORDS records of a kind per LOG_INTERVAL_SECONDS, so that unauthenticated clients can't fill
    the disk."""

    MAX_RECORDS = 5

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = f"{record.name} {str(record.msg)[:40]}"
        began, count = self._kinds.get(kind, (0.0, 0))
        now = time.monotonic()
        if now - began >= LOG_INTERVAL_SECONDS:
            if count > self.MAX_RECORDS:
                record.msg = f"{record.msg} ({count - self.MAX_RECORDS} more such lines were suppressed)"
            began, count = now, 0
            if len(self._kinds) > 1000:
                self._kinds.clear()
        self._kinds[kind] = began, count + 1
        return count < self.MAX_RECORDS
