"""The executor's RunHandler in the database: stores one run's log, events, status and result."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from django.db import DatabaseError

from cronium_admin.core import lease, metrics
from cronium_admin.core.database.outage import is_outage
from cronium_admin.logs import gaps
from cronium_admin.logs.run_error import find_run_error
from cronium_admin.logs.store import LogWriter, PendingWrite, RunLog
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run, RunEvent, StartKind, Status
from cronium_admin.runs.state_machine import Ending
from cronium_admin.runtime_api import handlers as runtime
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.gc.runs import mark_cleaned
from cronium_admin.workers.images.run_image import MOVED, RunImage
from cronium_admin.workers.run_trace import RunTrace
from cronium_admin.workers.warm.pool import UNKNOWN_START, Start
from executor.docker.errors import EngineUnreachable
from executor.run.outcome import CANCEL, DISK, GONE, LIMIT, SHUTDOWN, TIMEOUT
from executor.spec import Batch, LeaseLost, Reply, RunResult, RunSpec

log = logging.getLogger("cronium.host")
STOP_MESSAGES = {
    CANCEL: "Stopping: the run was cancelled",
    SHUTDOWN: "Stopping: the worker shuts down",
    TIMEOUT: "Stopping: the time limit is reached",
    LIMIT: "Stopping: the log limit is reached",
    DISK: "Stopping: the disk limit is reached",
}
MAX_STARTS = 3  # starts of a run whose engine stops answering before the script begins; worker crashes do not count
WITH_ERROR = (Status.FAILED, Status.ERRORED, Status.TIMED_OUT)  # ends whose error is looked for in the log
ENGINE_AWAY = "engine_away"  # kind of the event recorded for each


class DatabaseRunHandler:
    """The handler of one run that this host has claimed or adopted under lease epoch `epoch`."""

    def __init__(
        self,
        run_id: UUID,
        epoch: int,
        database: DatabaseThreads,
        writer: LogWriter,
        run_log: RunLog | None = None,  # of an adopted run: the log stored so far
        *,
        trace: RunTrace | None = None,
        image: RunImage | None = None,  # None for a run whose script has begun
        may_wait: bool = False,  # requeue the run if the engine stops answering before the script begins
        start: Start = UNKNOWN_START,
        on_begun: Callable[[Start], None] = lambda start: None,
    ) -> None:
        self._start, self._on_begun = start, on_begun
        self._may_wait = may_wait
        self._image = image
        self._run_id = run_id
        self._epoch = epoch
        self._database = database
        self._writer = writer
        self._log = run_log or RunLog(run_id, epoch)
        self._seal_gap = ""  # cause of the gap at the end of the log; see gaps
        self._trace = trace or RunTrace()

    def note_phase(self, phase: str) -> None:
        self._trace.note(phase)
        if phase == "payload_sent":  # now, because a script may be silent for hours
            self._trace.observe()

    def provide_image(
        self, spec: RunSpec, is_wanted: Callable[[], bool], *, is_prepared: bool = False, is_again: bool = False
    ) -> None:
        if self._image and self._image.provide(spec, is_wanted, is_prepared=is_prepared, is_again=is_again):
            self.note_phase("image_pulled")

    def mark_running(self, image_id: str, report: Mapping[str, Any], image_digests: tuple[str, ...] = ()) -> bool:
        is_running = self._database.call(self._mark_running, image_id, report, image_digests)
        if is_running:
            self._on_begun(self._start)
            if self._image:
                self._image.note_use()
        return is_running

    def _mark_running(self, image_id: str, report: Mapping[str, Any], digests: tuple[str, ...]) -> bool:
        trace, columns = self._trace.pack("begun"), self._start.columns
        notes = []
        if self._image:
            resolved, moved = self._image.describe_start(image_id, digests)
            columns = {**columns, "image_resolved": resolved}
            notes = [(MOVED, moved)] if moved else []
        if state_machine.mark_running(self._run_id, self._epoch, image_id, report, trace, columns, notes):
            return True
        # The answer to an earlier commit was lost: the row is running under this lease, and nothing was sent yet.
        running = Run.objects.filter(pk=self._run_id, status=Status.RUNNING, lease_epoch=self._epoch)
        return running.exists()

    def record_cold_start(self, reason: str, message: str) -> None:
        self._start = replace(self._start, kind=StartKind.COLD, sandbox=None, reason=reason)
        note = f"The waiting sandbox could not be used, so a new one is built: {message}"
        self._database.call(state_machine.record_note, self._run_id, "cold_start", note.replace("\0", ""))

    def append(self, batch: Batch) -> None:
        lines, size = self._log.lines, self._log.bytes
        self._write_log(self._log.prepare_write(batch))
        if not lines and self._log.lines:
            self._trace.note("first_line_stored")
            self._trace.observe()
        metrics.LOG_LINES.inc(self._log.lines - lines)
        metrics.LOG_BYTES.inc(self._log.bytes - size)

    def _write_log(self, write: PendingWrite) -> None:
        try:
            self._writer.write(write)
        except lease.LeaseLost as error:
            metrics.LEASE_LOSSES.labels("run").inc()
            raise LeaseLost from error
        except Exception:  # the prepared write is not stored: read the log again from its rows
            self._log, self._seal_gap = self._database.call(RunLog.resume, self._run_id, self._epoch), gaps.NOT_STORED
            raise

    def answer_request(self, operation: str, body: Any) -> Reply:
        return self._database.call(runtime.handle_request, self._run_id, operation, body, epoch=self._epoch)

    def record_event(self, kind: str, message: str) -> None:
        self._database.call(state_machine.record_note, self._run_id, kind, message)

    def record_sandbox(self, report: Mapping[str, Any]) -> None:
        self._database.call(state_machine.record_sandbox, self._run_id, self._epoch, report)

    def finish(self, result: RunResult) -> None:
        engine_away = self._may_wait and result.reason == EngineUnreachable.reason
        if engine_away and self._database.call(self._requeue_for_engine):
            return
        # A message may contain a container's output; PostgreSQL stores no NUL.
        message = result.message.replace("\0", "")
        try:
            self._write_log(self._log.prepare_seal(gaps.GONE if result.reason == GONE else self._seal_gap))
            trace = self._trace.pack("finished")
            used = {"peak_memory_bytes": result.peak_memory_bytes, "cpu_seconds": result.cpu_seconds}
            facts = {**self._log.totals, **used, "trace": trace, "error": self._find_error(result)}
            ending = Ending(Status(result.status), result.reason, message, result.exit_code, facts)
            if (
                not self._database.call(state_machine.finish, self._run_id, self._epoch, ending)
                and not self.holds_lease()
            ):
                raise LeaseLost
        except DatabaseError as error:
            if is_outage(error):  # the worker shuts down during an outage: the next worker settles the run
                raise
            # A result that the database refuses must not leave the run in status "running" forever.
            log.exception("run %s: the database refused the result", self._run_id)
            error_message = "The result could not be stored. The server's log has the cause."
            error_ending = Ending(Status.ERRORED, "internal_error", error_message, facts=self._log.totals)
            self._database.call(state_machine.finish, self._run_id, self._epoch, error_ending)

    def _find_error(self, result: RunResult) -> dict[str, Any] | None:
        if Status(result.status) not in WITH_ERROR or not self._log.lines or self._log.dropped[0]:
            return None  # after dropped lines, the stored ones are not the last
        try:
            by_itself = result.status == Status.FAILED and result.reason == "exit_code"
            return self._database.call(find_run_error, self._run_id, is_recognised_only=not by_itself)
        except Exception as error:
            if isinstance(error, DatabaseError) and is_outage(error):
                raise
            log.exception("run %s: its error was not found", self._run_id)
            return None

    def _requeue_for_engine(self) -> bool:
        if RunEvent.objects.filter(run_id=self._run_id, kind=ENGINE_AWAY).count() >= MAX_STARTS - 1:
            return False
        message = "The Docker Engine of the host did not answer before the script began"
        return state_machine.requeue(self._run_id, self._epoch, message, ENGINE_AWAY)

    def mark_cleaned(self) -> None:
        self._trace.note("taken_down")  # not after the row is changed, which is its last change
        self._database.call(partial(mark_cleaned, self._run_id, trace=self._trace.pack()))
        self._trace.observe()

    def record_stopping(self, reason: str) -> bool:
        is_recorded = self._database.call(
            state_machine.record_stop_reason, self._run_id, self._epoch, reason, STOP_MESSAGES[reason]
        )
        return is_recorded or self.holds_lease()

    def holds_lease(self) -> bool:
        held = Run.objects.filter(pk=self._run_id, lease_epoch=self._epoch)
        return self._database.call(held.exists)

    def requeue(self, message: str) -> None:
        self._database.call(state_machine.requeue, self._run_id, self._epoch, message)
