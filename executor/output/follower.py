"""Reads one container's output to its true end: from its attachment, and wherever that broke, from the engine's log."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from executor.docker.attachment import Attachment
from executor.docker.errors import EngineError, LogCut, NotFound, SandboxGone
from executor.docker.retry import retry_while_away
from executor.output.masking import Masker
from executor.output.resume import ResumedLog, StoredLog
from executor.output.stream import ENGINE_RESTARTED, SPLIT, AttachedSource, LineAssembler, Source, follow_output
from executor.sandbox.options import name_main
from executor.sandbox.sandbox import EngineLike
from executor.spec import Batch, Dropped, LeaseLost, RunSpec

log = logging.getLogger("cronium.follower")
AGAIN_SECONDS, LONGEST_PAUSE = 0.2, 2.0  # the first pause between two readings; it doubles while nothing comes
FAILING_TRIES = 20  # readings without a new byte, after which the engine is taken to be unable to bring the rest
EXIT_SECONDS = 5  # between the end of a container's output and the engine's word that it has exited


class Follower:
    """`attach` or `resume`, then `follow` in a thread of its own; `release` from any thread ends that."""

    def __init__(
        self,
        engine: EngineLike,
        spec: RunSpec,
        masker: Masker,
        store: Callable[[Batch], None],
        over_limit: Callable[[], None],
        reconnected: Callable[[], None],
        find_main: Callable[[], str],
    ) -> None:
        """`find_main` says what the engine finds the container by, once it is there."""
        self._engine = engine
        self._name = name_main(spec.run_id)
        self._find_main = find_main
        self._limit = spec.log_limit_bytes
        self._masker = masker
        self._store_batch = store
        self._over_limit = over_limit
        self._reconnected = reconnected
        self._released = threading.Event()
        self._stored = StoredLog()
        self._lines = LineAssembler(self._limit, masker)
        self._source: Source | None = None
        self._attachment: Attachment | None = None
        self._booted_at = 0.0
        self._pause, self._failures, self._reached = AGAIN_SECONDS, 0, 0
        self._is_storing = False
        self._checked: object = None  # how far the reading was at the last `restart_if_stalled`
        self.gaps: set[str] = set()  # why the engine has lost output, where it has
        self.has_replaced_bytes = False  # bytes that are not UTF-8 may have been replaced in what was read again

    @property
    def total_bytes(self) -> int:
        """What the container wrote, as far as it was kept."""
        return self._lines.total_bytes

    @property
    def dropped(self) -> Dropped:
        """What it wrote past its limit."""
        return self._lines.dropped

    def attach(self, attachment: Attachment, engine_booted_at: float) -> None:
        """Read from a connection that was there before the container's start, and was made after this boot."""
        self._attachment, self._booted_at = attachment, engine_booted_at
        self._source = AttachedSource(attachment, self._confirm_exit)

    def resume(self, known: StoredLog, dropped: Dropped) -> None:
        """Read what comes after what is known from the engine's own log."""
        self._stored = known
        self._lines = LineAssembler(self._limit, self._masker, known.stdout, known.stderr, dropped)
        self._source = ResumedLog(self._engine, self._find_main(), replace(known, full=self._lines.is_full))

    def follow(self) -> None:
        """Return when all is stored. LeaseLost after `release`; SandboxGone when there is no such container.

        Raises what `reconnected` raises, and the engine's own error where reading fails again and again.
        """
        while True:
            assert self._source is not None
            try:
                follow_output(self._source, self._store_and_note, self._lines, self._over_limit)
                return self._note_losses()
            except NotFound as error:
                raise SandboxGone(f"The container {self._name} is not there any more.") from error
            except EngineError as error:
                cut_ns = time.time_ns()
                log.debug("%s: %s", self._name, error)
                if self._released.is_set():
                    raise LeaseLost from error
                if not isinstance(error, LogCut):
                    log.warning("%s: %s", self._name, error)
                self._source.close()  # first: an engine whose output nobody reads answers nothing about the container
                self._note_failure(error)
            self._note_losses()
            self._released.wait(self._pause)
            away = self._is_away()
            retry_while_away(self._engine.ping, self._released)
            retry_while_away(self._reconnected, self._released)
            self.resume(replace(self._stored, cut_ns=cut_ns if away else self._stored.cut_ns), self._lines.dropped)
            if self._released.is_set():  # while there was nothing for `release` to close
                raise LeaseLost

    def _note_failure(self, error: EngineError) -> None:
        """Raise it when too many readings have failed. A cut one counts once main has ended: until then its output may
        be silent, and something on the way may end silent connections."""
        reached = self.total_bytes + self.dropped.bytes
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        if reached > self._reached:
            self._pause, self._failures, self._reached = AGAIN_SECONDS, 0, reached
        if not isinstance(error, LogCut) or self._has_ended():
            self._failures += 1
        if self._failures >= FAILING_TRIES:
            raise error

    def _has_ended(self) -> bool:
        try:
            return not self._engine.inspect(self._find_main()).is_running
        except EngineError:
            return False

    def _is_away(self) -> bool:
        """Whether it was the engine that went, with what it held in its memory, and not only the connection."""
        try:
            self._engine.ping()
            return self._booted_at not in (0.0, self._engine.read_boot_time())
        except EngineError:
            return True

    def _note_losses(self) -> None:
        if isinstance(self._source, ResumedLog):
            self.has_replaced_bytes = self.has_replaced_bytes or self._source.has_replaced_bytes

    def release(self) -> None:
        """End the reading where it stands."""
        self._released.set()
        if self._source:
            self._source.close()

    def restart_if_stalled(self) -> None:
        """Read from the engine's log instead when nothing has come since the last call; from any thread.

        For a container that has exited: the connection may be dead, and a dead connection tells nothing. A slow
        store is no stall.
        """
        source = self._source
        progress = source, source and source.received
        if source and progress == self._checked and not self._is_storing:
            log.warning("%s: its output brings neither bytes nor an end; its log is read instead", self._name)
            source.close()
        self._checked = progress

    def _store_and_note(self, batch: Batch) -> None:
        self._is_storing = True
        try:
            self._store_batch(batch)
        finally:
            self._is_storing = False
        told = {gap.cause for gap in batch.gaps} - {SPLIT}
        self.gaps |= told
        known = self._stored
        first = known.first_ns or next((segment.unix_ns for segment in batch.segments), 0)
        cut = 0 if ENGINE_RESTARTED in told else known.cut_ns  # told once
        self._stored = StoredLog(batch.stdout, batch.stderr, first, cut)

    def _confirm_exit(self) -> bool:
        """Whether the container's output ended because it did, and not because the connection or the engine did.

        A doubt costs a second reading, where a cut that passes for an end would cost lines.
        """
        assert self._attachment is not None
        try:
            ended_at = self._engine.read_clock()  # the clock that says when a container has finished
            for _ in range(EXIT_SECONDS):
                if self._released.is_set() or self._attachment.is_broken:
                    return False
                if not (state := self._engine.inspect(self._find_main())).is_running:
                    return state.finished_at <= ended_at and self._engine.read_boot_time() == self._booted_at
                if state.is_restarted:
                    return False
                self._engine.wait(self._find_main(), 1)
        except EngineError:
            return False
        return False
