"""Follows a run's log for all its watchers in this process: one subscription per run, and one read of the store for all
watchers that wait for the same line.

A notification only means "read again", and so does a slow timer: a lost notification costs delay, never a line. A slow
client delays only itself: it keeps one window of lines and continues to read from the store when it is ready.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID
from weakref import WeakKeyDictionary

import orjson
from channels.layers import get_channel_layer

from cronium_admin.accounts.session_guard import SharedChecks
from cronium_admin.core import notify
from cronium_admin.core.database.threads import DatabaseExecutor
from cronium_admin.logs import read
from cronium_admin.logs.codec import Line, LogDamaged
from cronium_admin.logs.live.first_line import FirstLine

log = logging.getLogger("cronium.live")
POLL_SECONDS = 2.0
LAYER_RETRY_SECONDS = 1.0  # pause after an error of the channel layer
DISCARD_SECONDS = 1.0  # to unsubscribe; a subscription that is left expires in the channel layer
# Separate threads keep their database connections; in asgiref's shared thread every viewer would wait for one read.
reader_threads = DatabaseExecutor(4, "log-read")
permission_checks = SharedChecks(reader_threads)
# Logs of ended runs may be in a slow archive: viewers of live runs must not wait for it.
archive_threads = DatabaseExecutor(4, "log-archive")
# Each watcher above UNTHROTTLED_WATCHERS makes the wake-ups rarer, so that pages still get CPU time.
UNTHROTTLED_WATCHERS, SECONDS_PER_WATCHER, MAX_WAKE_INTERVAL = 50, 0.001, 1.0
# Watchers that continue in one pass of the event loop; then other connections run.
WATCHERS_PER_PASS = 16
MAX_EMPTY_READS = 5  # reads without a line from an ended run whose lines are not all read


@dataclass(frozen=True)
class LogUpdate:
    """The state of a run, and its lines after the caller's last line. `state` is None if the run does not exist."""

    state: read.LogState | None
    lines: list[Line]
    # Other encodings of the lines, made once for all clients that get them.
    encoded: dict[object, "asyncio.Future[bytes]"] = field(default_factory=dict, compare=False)

    @cached_property
    def message(self) -> str:
        rows = [[seq, ns, read.STREAMS[stream], text.decode(errors="replace")] for seq, ns, stream, text in self.lines]
        return orjson.dumps({"type": "lines", "lines": rows}).decode()


def _read_update(run_id: UUID, after: int, may_be_slow: bool) -> LogUpdate | None:
    """Reads the state before the lines: if the state says "ended", the lines read after it are complete. None if the
    lines may come from a slow archive and `may_be_slow` is False."""
    state = read.read_state(run_id)
    if state is None or state.pruned or state.lines <= after:
        return LogUpdate(state, [])
    if state.has_ended and not may_be_slow:
        return None
    update = LogUpdate(state, read.read_lines(run_id, after))
    if update.lines:
        update.message  # noqa: B018 - encode here, not in the event loop
    return update


class Tail:
    """The watchers of one run in one event loop. Created by `watch_run`."""

    def __init__(self, run_id: UUID) -> None:
        self._run_id = run_id
        self._pending_reads: dict[int, asyncio.Task[LogUpdate]] = {}  # by `after`: requested reads that have not begun
        self.wake_events: set[asyncio.Event] = set()
        self.listener: asyncio.Task[None] | None = None
        self.first_line = FirstLine(run_id, reader_threads)
        self._woken_at = 0.0
        self._scheduled_wake: asyncio.TimerHandle | None = None

    async def read_update(self, after: int) -> LogUpdate:
        """Callers with the same `after` share one read if they call before it begins."""
        if after not in self._pending_reads:
            self._pending_reads[after] = asyncio.create_task(self._read_shared(after))
        return await asyncio.shield(self._pending_reads[after])

    async def _read_shared(self, after: int) -> LogUpdate:
        del self._pending_reads[after]  # later callers need a newer read
        run_in_executor = asyncio.get_running_loop().run_in_executor
        update = await run_in_executor(reader_threads, _read_update, self._run_id, after, False)
        while update is None:
            update = await run_in_executor(archive_threads, _read_update, self._run_id, after, True)
        return update

    async def relay_notifications(self) -> None:
        while True:
            try:
                await self._relay_until_error()
            except Exception as error:  # noqa: BLE001 - the watchers poll meanwhile
                message = "no notifications for run %s (%s); its viewers poll"
                log.warning(message, self._run_id, error, extra={"run_id": str(self._run_id)})
                await asyncio.sleep(LAYER_RETRY_SECONDS)

    async def _relay_until_error(self) -> None:
        layer, group = get_channel_layer(), notify.make_group_name(self._run_id)
        channel = await layer.new_channel()  # one channel per subscription, as a consumer has
        await layer.group_add(group, channel)
        self.wake_watchers()  # lines may have been stored before the subscription
        try:
            while True:
                await layer.receive(channel)
                self.wake_watchers()
        finally:
            with suppress(Exception):
                async with asyncio.timeout(DISCARD_SECONDS):
                    await layer.group_discard(group, channel)

    def wake_watchers(self) -> None:
        loop = asyncio.get_running_loop()
        wait = self._woken_at + _compute_wake_interval() - loop.time()
        if wait <= 0:
            self._wake_all()
        elif self._scheduled_wake is None:
            self._scheduled_wake = loop.call_later(wait, self._wake_all)

    def _wake_all(self) -> None:
        self._woken_at, self._scheduled_wake = asyncio.get_running_loop().time(), None
        for event in self.wake_events:
            event.set()


class LoopThrottle:
    """Lets WATCHERS_PER_PASS watchers continue per pass of the event loop: thousands woken at once would block it."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._scheduled: asyncio.Handle | None = None

    async def wait_turn(self) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if self._scheduled is None:
            self._scheduled = loop.call_soon(self._release_batch, loop)
        await turn

    def _release_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(WATCHERS_PER_PASS, len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():  # cancelled: the watcher has left
                turn.set_result(None)
        self._scheduled = loop.call_soon(self._release_batch, loop) if self._waiting else None


_throttles: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopThrottle] = WeakKeyDictionary()
_tails: dict[tuple[asyncio.AbstractEventLoop, UUID], Tail] = {}


def _compute_wake_interval() -> float:
    watchers = sum(len(tail.wake_events) for tail in _tails.values())
    return min(MAX_WAKE_INTERVAL, max(0, watchers - UNTHROTTLED_WATCHERS) * SECONDS_PER_WATCHER)


@asynccontextmanager
async def watch_run(run_id: UUID) -> AsyncIterator[tuple[Tail, asyncio.Event]]:
    """Yields this process's tail of the run, and an event that is set when there may be new lines."""
    key, wake = (asyncio.get_running_loop(), run_id), asyncio.Event()
    tail = _tails.setdefault(key, Tail(run_id))
    tail.wake_events.add(wake)
    if tail.listener is None:
        tail.listener = asyncio.create_task(tail.relay_notifications())
    try:
        yield tail, wake
    finally:
        tail.wake_events.discard(wake)
        if not tail.wake_events:
            tail.listener.cancel()
            if _tails.get(key) is tail:
                del _tails[key]


async def follow_log(run_id: UUID, after: int) -> AsyncGenerator[LogUpdate, None]:
    """Yields an update when there are lines after `after`, and at least every POLL_SECONDS. Ends when the run has ended
    and all lines were yielded, when the log is removed, or when the run does not exist. Raises ApiError if the archive
    is not available or lines are missing."""
    empty_reads, has_waited, throttle = 0, False, _throttles.setdefault(asyncio.get_running_loop(), LoopThrottle())
    async with watch_run(run_id) as (tail, wake):
        while True:
            wake.clear()
            update = await tail.read_update(after)
            await throttle.wait_turn()
            if update.lines:
                after = update.lines[-1].seq
            yield update
            if update.lines:
                tail.first_line.note_sent(update.lines[0], has_waited=has_waited)
            has_waited = True
            if update.state is None or update.state.pruned or (update.state.has_ended and after >= update.state.lines):
                return
            if not update.lines or after >= update.state.lines:
                empty_reads = empty_reads + 1 if update.state.has_ended else 0
                if empty_reads == MAX_EMPTY_READS:
                    raise LogDamaged
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), POLL_SECONDS)
