"""Reads one container's output to its end: from its attachment, and from the engine's log after a lost connection."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from executor.docker.attachment import Attachment
from executor.docker.errors import EngineError, LogCut, NotFound, SandboxGone
from executor.docker.protocol import EngineLike
from executor.docker.retry import retry_while_away
from executor.naming import name_main
from executor.output.masking import Masker
from executor.output.resume import ResumedLog, StoredLog
from executor.output.source import ENGINE_RESTARTED, SPLIT, AttachedSource, Source
from executor.output.stream import LineAssembler, follow_output
from executor.spec import Batch, Dropped, LeaseLost, RunSpec

log = logging.getLogger("cronium.follower")
AGAIN_SECONDS, LONGEST_PAUSE = 0.2, 2.0  # the first pause between two readings; it doubles while no data arrives
FAILING_TRIES = 20  # readings without a new byte, after which reading the log has failed
EXIT_SECONDS = 5  # between the end of a container's output and the engine's report that it has exited


class Follower:
    """Call `attach` or `resume`, then `follow` in a separate thread. `release`, from any thread, ends it."""

    def __init__(
        self,
        engine: EngineLike,
        spec: RunSpec,
        masker: Masker,
        store: Callable[[Batch], None],
        over_limit: Callable[[], None],
        reconnected: Callable[[], None],
        find_main: Callable[[], str],
        note_phase: Callable[[str], None] = lambda phase: None,
    ) -> None:
        """`find_main` returns the container's id, or its name while the id is unknown.

        `note_phase` is called with "first_byte" and "exit_seen".
        """
        self._engine = engine
        self._name = name_main(spec.run_id)
        self._find_main = find_main
        self._note_phase = note_phase
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
        self._checked: object = None  # the reading's progress at the last `restart_if_stalled`
        self.gaps: set[str] = set()  # the causes of lost output
        self.has_replaced_bytes = False  # bytes that are not UTF-8 may have been replaced in output read again

    @property
    def total_bytes(self) -> int:
        return self._lines.total_bytes

    @property
    def dropped(self) -> Dropped:
        return self._lines.dropped

    def attach(self, attachment: Attachment, engine_booted_at: float) -> None:
        """Read from a connection that was opened before the container's start and after this start of the engine."""
        self._attachment, self._booted_at = attachment, engine_booted_at
        self._source = AttachedSource(attachment, self._confirm_exit, lambda: self._note_phase("first_byte"))

    def resume(self, stored: StoredLog, dropped: Dropped) -> None:
        self._stored = stored
        self._lines = LineAssembler(self._limit, self._masker, stored.stdout, stored.stderr, dropped)
        self._source = ResumedLog(self._engine, self._find_main(), replace(stored, full=self._lines.is_full))

    def follow(self) -> None:
        """Return when all output is stored. LeaseLost after `release`; SandboxGone when the container does not exist.

        Also raises the errors of `reconnected`, and the engine's error after FAILING_TRIES failed readings.
        """
        while True:
            assert self._source is not None
            try:
                follow_output(self._source, self._store_and_note, self._lines, self._over_limit)
                return self._note_losses()
            except NotFound as error:
                raise SandboxGone(f"The container {self._name} does not exist any more.") from error
            except EngineError as error:
                cut_ns = time.time_ns()
                log.debug("%s: %s", self._name, error)
                if self._released.is_set():
                    raise LeaseLost from error
                if not isinstance(error, LogCut):
                    log.warning("%s: %s", self._name, error)
                self._source.close()  # first: with an unread attachment the engine answers no call about the container
                self._note_failure(error)
            self._note_losses()
            self._released.wait(self._pause)
            away = self._is_away()
            retry_while_away(self._engine.ping, self._released)
            retry_while_away(self._reconnected, self._released)
            self.resume(replace(self._stored, cut_ns=cut_ns if away else self._stored.cut_ns), self._lines.dropped)
            if self._released.is_set():  # `release` was called before the new source existed
                raise LeaseLost

    def _note_failure(self, error: EngineError) -> None:
        # A lost connection counts only once main has ended: before that, a proxy may close that of a silent script.
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
        try:
            self._engine.ping()
            return self._booted_at not in (0.0, self._engine.read_boot_time())
        except EngineError:
            return True

    def _note_losses(self) -> None:
        if isinstance(self._source, ResumedLog):
            self.has_replaced_bytes = self.has_replaced_bytes or self._source.has_replaced_bytes

    def release(self) -> None:
        self._released.set()
        if self._source:
            self._source.close()

    def restart_if_stalled(self) -> None:
        """Switch to the engine's log if no data arrived and none was stored since the last call. From any thread.

        For a container that has exited: its connection may be dead without an error. A slow store is no stall.
        """
        source = self._source
        progress = source, source and source.received, self._stored
        if source and progress == self._checked and not self._is_storing:
            log.warning("%s: its output is stalled; reading the engine's log instead", self._name)
            source.close()
        self._checked = progress

    def _store_and_note(self, batch: Batch) -> None:
        self._is_storing = True
        try:
            self._store_batch(batch)
        finally:
            self._is_storing = False
        causes = {gap.cause for gap in batch.gaps} - {SPLIT}
        self.gaps |= causes
        stored = self._stored
        first_ns = stored.first_ns or next((segment.unix_ns for segment in batch.segments), 0)
        cut_ns = 0 if ENGINE_RESTARTED in causes else stored.cut_ns  # reported once
        self._stored = StoredLog(batch.stdout, batch.stderr, first_ns, cut_ns)

    def _confirm_exit(self) -> bool:
        """Whether the output ended because the container exited, and not because the connection or the engine failed.

        In doubt False: that costs a second reading, while a wrong True would lose lines.
        """
        assert self._attachment is not None
        try:
            ended_at = self._engine.read_clock()  # the engine's clock, as for `finished_at`
            for _ in range(EXIT_SECONDS):
                if self._released.is_set() or self._attachment.is_broken:
                    return False
                if not (state := self._engine.inspect(self._find_main())).is_running:
                    self._note_phase("exit_seen")
                    return state.finished_at <= ended_at and self._engine.read_boot_time() == self._booted_at
                if state.is_restarted:
                    return False
                self._engine.wait(self._find_main(), 1)
        except EngineError:
            return False
        return False
