"""One look at a run for all who watch it in this process: one subscription, and one read for who stand alike.

A nudge only means "read again", and a slow timer says the same: a lost nudge costs delay, never a line.
Whoever reads slowly holds back only itself: it keeps one window, and reads on from the store when it is ready.
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

log = logging.getLogger("cronium.live")
POLL_SECONDS = 2.0
LAYER_RETRY_SECONDS = 1.0  # before the channel layer is asked again after it failed
DISCARD_SECONDS = 1.0  # a subscription that is not ended expires in the layer
# Threads of our own keep their database connections; the shared one would queue every viewer behind one read.
reader_threads = DatabaseExecutor(4, "log-read")
permission_checks = SharedChecks(reader_threads)
# What has ended may lie in an archive that is slow: who watches a live run does not wait behind it.
archive_threads = DatabaseExecutor(4, "log-archive")
# Beyond so many watchers in this process each more makes all rounds so much rarer, so that pages have their turn.
UNTHROTTLED_WATCHERS, SECONDS_PER_WATCHER, MAX_WAKE_INTERVAL = 50, 0.001, 1.0
# So many watchers are served in one pass of the event loop, and other connections have the next.
WATCHERS_PER_PASS = 16
MAX_EMPTY_READS = 5  # at an ended run that has lines, and gives none


@dataclass(frozen=True)
class LogUpdate:
    """A run as it stands, and its lines past where the asker stood; `state` None: there is no such run."""

    state: read.LogState | None
    lines: list[Line]
    # What others made of the lines: once for all who get them.
    encoded: dict[object, "asyncio.Future[bytes]"] = field(default_factory=dict, compare=False)

    @cached_property
    def message(self) -> str:
        """The lines as the WebSocket sends them: made once for all who get them."""
        rows = [[seq, ns, read.STREAMS[stream], text.decode(errors="replace")] for seq, ns, stream, text in self.lines]
        return orjson.dumps({"type": "lines", "lines": rows}).decode()


def _read_update(run_id: UUID, after: int, slow: bool) -> LogUpdate | None:
    """State first, then lines: when it says "ended", the lines that follow are all there are. None where those may take
    long to come, and it may not be `slow`."""
    state = read.read_state(run_id)
    if state is None or state.pruned or state.lines <= after:
        return LogUpdate(state, [])
    if state.has_ended and not slow:
        return None
    news = LogUpdate(state, read.read_lines(run_id, after))
    if news.lines:
        news.message  # noqa: B018 - here, and not in the event loop
    return news


class Tail:
    """The watchers of one run. Made by `watching`; lives in one event loop."""

    def __init__(self, run_id: UUID) -> None:
        self._run_id = run_id
        self._pending_reads: dict[int, asyncio.Task[LogUpdate]] = {}  # by `after`: asked for, and not begun
        self.wake_events: set[asyncio.Event] = set()
        self.listener: asyncio.Task[None] | None = None
        self._woken_at = 0.0
        self._scheduled_wake: asyncio.TimerHandle | None = None

    async def read_update(self, after: int) -> LogUpdate:
        """What is there now. Who asks for the same before the reading has begun shares it."""
        if after not in self._pending_reads:
            self._pending_reads[after] = asyncio.create_task(self._read_shared(after))
        return await asyncio.shield(self._pending_reads[after])

    async def _read_shared(self, after: int) -> LogUpdate:
        del self._pending_reads[after]  # who asks from now on wants a newer look
        run = asyncio.get_running_loop().run_in_executor
        news = await run(reader_threads, _read_update, self._run_id, after, False)
        while news is None:
            news = await run(archive_threads, _read_update, self._run_id, after, True)
        return news

    async def relay_notifications(self) -> None:
        """Pass nudges on, for ever; a channel layer that fails is asked again."""
        while True:
            try:
                await self._relay_until_error()
            except Exception as error:  # noqa: BLE001 - whatever it is, the watchers look by themselves meanwhile
                words = "no nudges for run %s (%s); its readers look by themselves"
                log.warning(words, self._run_id, error, extra={"run_id": str(self._run_id)})
                await asyncio.sleep(LAYER_RETRY_SECONDS)

    async def _relay_until_error(self) -> None:
        layer, group = get_channel_layer(), notify.make_group_name(self._run_id)
        channel = await layer.new_channel()  # named as a consumer's own: of a process's names Redis' layer reads one
        await layer.group_add(group, channel)
        self.wake_watchers()  # what was stored before we were subscribed
        try:
            while True:
                await layer.receive(channel)
                self.wake_watchers()
        finally:
            with suppress(Exception):
                async with asyncio.timeout(DISCARD_SECONDS):
                    await layer.group_discard(group, channel)

    def wake_watchers(self) -> None:
        """All watchers read again: now, or soon where they have just done so and are many."""
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
    """Lets a few watchers a pass of the event loop go on, so that thousands who are woken together block nobody."""

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
            if not turn.done():  # a cancelled one has left
                turn.set_result(None)
        self._scheduled = loop.call_soon(self._release_batch, loop) if self._waiting else None


_throttles: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopThrottle] = WeakKeyDictionary()
_tails: dict[tuple[asyncio.AbstractEventLoop, UUID], Tail] = {}


def _compute_wake_interval() -> float:
    watchers = sum(len(tail.wake_events) for tail in _tails.values())
    return min(MAX_WAKE_INTERVAL, max(0, watchers - UNTHROTTLED_WATCHERS) * SECONDS_PER_WATCHER)


@asynccontextmanager
async def watch_run(run_id: UUID) -> AsyncIterator[tuple[Tail, asyncio.Event]]:
    """This process's tail of the run, and an event that is set whenever there may be news."""
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
    """News from `after` on, as soon as there are some and at least every LOOK_SECONDS, until the run has ended and
    all of it was given, its log is removed, or there is no such run. Raises Refused while the archive is away, and
    where the log has lines that are not there."""
    empty, turns = 0, _throttles.setdefault(asyncio.get_running_loop(), LoopThrottle())
    async with watch_run(run_id) as (tail, wake):
        while True:
            wake.clear()
            news = await tail.read_update(after)
            await turns.wait_turn()
            if news.lines:
                after = news.lines[-1].seq
            yield news
            if news.state is None or news.state.pruned or (news.state.has_ended and after >= news.state.lines):
                return
            if not news.lines or after >= news.state.lines:
                empty = empty + 1 if news.state.has_ended else 0
                if empty == MAX_EMPTY_READS:
                    raise LogDamaged
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), POLL_SECONDS)
