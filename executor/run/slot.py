"""Executes one run, from its spec or from an earlier process's state, until nothing of it is left on the engine."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from executor import failpoints, log_context
from executor.docker.errors import (
    EngineError,
    EngineUnreachable,
    ImageMissing,
    ImagePullAborted,
    SandboxDefect,
    SandboxDrift,
    SandboxGone,
    SandboxTampered,
    SidecarImageMissing,
)
from executor.docker.protocol import EngineLike
from executor.docker.retry import retry_while_away
from executor.output.follower import Follower
from executor.output.hints import ScriptEnvironment, find_hint
from executor.output.masking import Masker
from executor.output.resume import StoredLog
from executor.run import outcome
from executor.run.disk_watch import DiskWatch
from executor.run.ending import RunEnd
from executor.run.masked_handler import MaskedHandler
from executor.run.outcome import CANCEL, DISK, LIMIT, TIMEOUT, StopRequest
from executor.run.payload import build_payload
from executor.run.stop_state import StopState
from executor.run.vitals import Vitals
from executor.sandbox import inspection
from executor.sandbox.binding import Binding
from executor.sandbox.bootstrap import NOT_RECEIVED, NOT_RECEIVED_MESSAGE
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.subnets import SubnetPool
from executor.spec import MB, Completion, Cursor, LeaseLost, Resumption, RunHandler, RunResult, RunSpec

log = logging.getLogger("cronium.slot")
SETTLE_SECONDS = 0.5
DRAINED, RELEASE = "drained", "release"  # signals in addition to the stop reasons
STALL_SECONDS = 60.0  # without output of a container that has exited


def _list_delivered_tokens(spec: RunSpec) -> tuple[str, ...]:
    return () if spec.network == "none" else (spec.token,)


class Slot:
    """Executes one spec. `stop` and `release` may be called from any thread, at any time, repeatedly.

    With a `resumption` the script has already begun under another process. `prepared`: a sandbox that waits under the
    run's id and epoch; if it cannot be bound, it is removed and the run gets a new one. `completion` follows a
    script that has ended, before the result is stored. `on_ended` is called when the result is stored and the
    script does not run any more; then only the sandbox is removed.
    """

    def __init__(
        self,
        engine: EngineLike,
        spec: RunSpec,
        handler: RunHandler,
        subnets: SubnetPool,
        builds: AbstractContextManager[object],
        resumption: Resumption | None = None,
        prepared: Sandbox | None = None,
        *,
        removals: AbstractContextManager[object] | None = None,
        on_ended: Callable[[], None] = lambda: None,
        completion: Completion | None = None,
    ) -> None:
        self.spec = spec
        self._completion = completion
        self._engine = engine
        self._handler = handler
        self._subnets = subnets
        self._builds = builds
        self._resumption = resumption
        self._signals: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stop = StopState()
        self._released = threading.Event()
        masker = Masker((*spec.secrets.values(), *spec.masked, *_list_delivered_tokens(spec)))
        self._masked = MaskedHandler(handler, masker)
        self._vitals = Vitals(engine, handler, spec.run_id)
        self._disk = DiskWatch(engine, spec.disk_limit_bytes, lambda: self.stop(DISK))
        self._has_begun = resumption is not None
        self._log_error: Exception | None = None
        self._binding = Binding(spec, self._masked.answer_request, self._masked.record_event, handler.note_phase)
        self._is_prepared = prepared is not None
        self._sandbox = prepared or Sandbox(engine, spec.sandbox, subnets)
        self._follower = Follower(
            *(engine, spec, masker, self._masked.append, self._on_log_full),
            *(lambda: self._sandbox.reconnect(), lambda: self._sandbox.find_id(self._sandbox.main), handler.note_phase),
        )
        self._reader = log_context.make_thread(spec.run_id, "log", self._read_log)
        self._end = RunEnd(spec, handler, self._stop, self._released, removals or nullcontext(), on_ended)

    @property
    def may_run_on(self) -> bool:
        """The result is stored, or is about to be, although the engine did not stop the script."""
        return self._end.may_main_run

    def _on_log_full(self) -> None:
        if not self.spec.drop_past_limit:
            return self.stop(LIMIT)
        limit = self.spec.log_limit_bytes // MB
        return self._handler.record_event("log_full", f"The log is full at {limit} MB; further output is dropped")

    def stop(self, reason: str = CANCEL) -> None:
        """Stop the run. The first reason counts."""
        if not self._stop.add_request(reason):
            return
        self._signals.put(reason)
        if not self._has_begun:
            self._sandbox.abort()

    def release(self) -> None:
        """Release the run without stopping its script: another process adopts it."""
        self._released.set()
        self._signals.put(RELEASE)
        self._follower.release()
        if not self._has_begun:
            self._sandbox.abort()

    def measure(self) -> None:
        if self._has_begun and self._stop.request is None:
            self._vitals.measure(self._sandbox.find_id(self._sandbox.main))

    def run(self) -> None:
        """Execute the run to its end. Raises nothing."""
        try:
            result = self._resume_script(self._resumption) if self._resumption else self._execute_script()
            result = self._complete(result)
            self._end.finish(self._sandbox, result)
        except LeaseLost:
            log.info("run %s: lost lease; another process may adopt it", self.spec.run_id)
            self._sandbox.detach()
        except EngineError as error:
            self._end_failed(self._build_error_result(error))
        except Exception:
            log.exception("run %s: internal error", self.spec.run_id)
            self._end_failed(RunResult("errored", "internal_error", "Cronium failed. See its log for the error."))
        finally:
            self._sandbox.abandon()

    def _complete(self, result: RunResult) -> RunResult:
        if self._completion is None:
            return result
        return self._completion.complete(self._sandbox.find_id(self._sandbox.main), result, self._released.is_set)

    def _end_failed(self, result: RunResult) -> None:
        self._end.finish_failed(self._sandbox, result, has_begun=self._has_begun, reader=self._reader)

    def _build_error_result(self, error: EngineError) -> RunResult:
        if isinstance(error, SandboxGone):
            return outcome.build_gone_result(self.spec, is_watched=self._sandbox.has_seen_main)
        if isinstance(error, SandboxTampered):
            return outcome.build_tampered_result(self.spec)
        if not self._has_begun and self._sandbox.is_engine_restarted():
            cause = f"The Docker Engine of host {self.spec.host} was restarted while the run's sandbox was being built."
            error = EngineUnreachable(f"{cause} Run it again.")
        return outcome.build_error_result(error)

    def _is_wanted(self) -> bool:
        return not (self._stop.request or self._released.is_set())

    def _execute_script(self) -> RunResult:
        try:
            ended = self._provide_sandbox()
        except ImagePullAborted as error:
            if self._is_wanted():
                raise EngineUnreachable(f"{error} Run it again.") from error
            return self._end_unbegun()
        if ended:
            return ended
        self._handler.note_phase("bound")
        failpoints.hit("built")
        report = self._inspect_sandbox()
        if self._stop.request or self._released.is_set():
            return self._end_unbegun()
        if not self._handler.mark_running(self._sandbox.image_id, report, self._sandbox.image_digests):
            return self._end_unbegun()
        self._has_begun = True
        self._handler.note_phase("begun")
        failpoints.hit("begun")
        assert self._sandbox.output is not None
        self._follower.attach(self._sandbox.output, self._sandbox.booted_at)
        self._reader.start()
        self._sandbox.send_payload(build_payload(self.spec))
        self._handler.note_phase("payload_sent")
        failpoints.hit("payload-sent")
        self._watch_main(time.monotonic() + self.spec.timeout_seconds)
        return self._conclude_run()

    def _provide_sandbox(self) -> RunResult | None:
        """Bind the sandbox that waits, or build one. Returns the result if the run was stopped before."""
        self._handler.provide_image(self.spec, self._is_wanted, is_prepared=self._is_prepared)
        if self._is_prepared and self._bind_prepared():
            return None
        try:
            return self._build_sandbox()
        except SidecarImageMissing:
            raise
        except ImageMissing:
            # Removed from the host since it was provided, for example by `docker image prune`. Provided again once.
            if not self._handler.holds_lease():
                raise LeaseLost from None
            self._replace_sandbox()
            self._handler.provide_image(self.spec, self._is_wanted, is_again=True)
            return self._build_sandbox()

    def _build_sandbox(self) -> RunResult | None:
        with self._builds:
            if self._released.is_set():
                return self._end_unbegun()
            if self._stop.request:
                return outcome.build_stop_result(self.spec, self._stop.request, None)
            self._sandbox.prepare(self._binding)
            self._handler.note_phase("prepared")
        return None

    def _replace_sandbox(self) -> None:
        failed, self._sandbox = self._sandbox, Sandbox(self._engine, self.spec.sandbox, self._subnets)
        failed.take_down()  # `prepare` removes what is left: the names are the same
        failed.abandon()

    def _bind_prepared(self) -> bool:
        """False if the sandbox that waited was removed, so that a new one must be built."""
        self._handler.note_phase("taken")
        try:
            if defect := self._sandbox.find_defect():
                raise SandboxDefect(f"The sandbox cannot be used any more: {defect}.")
            self._sandbox.bind(self._binding)
            failpoints.hit("warm-bound")
            if broken := inspection.describe_violations(self._sandbox.build_report()):
                raise SandboxDrift(broken)
        except Exception as error:
            if not isinstance(error, EngineError):
                log.exception("run %s: its waiting sandbox cannot be used", self.spec.run_id)
            self._replace_prepared(error)
            return False
        return True

    def _replace_prepared(self, error: Exception) -> None:
        self._replace_sandbox()
        if self._is_wanted():  # else the stop made it unusable
            reason = error.reason if isinstance(error, EngineError) else "internal_error"
            self._handler.record_cold_start(reason, str(error))

    def _end_unbegun(self) -> RunResult:
        if self._released.is_set() or not self._handler.holds_lease():
            raise EngineUnreachable("The run was released before its script began.")
        self._sandbox.take_down()
        return outcome.build_stop_result(self.spec, self._stop.request or StopRequest(CANCEL), None)

    def _resume_script(self, resumption: Resumption) -> RunResult:
        if self._released.is_set():
            raise LeaseLost
        state = retry_while_away(lambda: self._sandbox.adopt(self._binding, resumption.begun_at), self._released)
        failpoints.hit("adopted")
        if resumption.stopped:
            self.stop(resumption.stopped)
        elif not state.is_running:
            self._stop.note_own_exit()
        stored = StoredLog(resumption.stdout, resumption.stderr, resumption.first_ns)
        self._follower.resume(stored, resumption.dropped)
        if self._released.is_set():  # `release` was called before the follower had a source
            raise LeaseLost
        self._reader.start()
        # No deadline if main exited while no worker watched: it ended in time.
        self._watch_main(time.monotonic() + resumption.seconds_left if state.is_running else None)
        result = self._conclude_run()
        size = len(NOT_RECEIVED_MESSAGE) + 1
        # Another process may have stored that line and died before it stored the result.
        nothing = resumption.stdout == Cursor() and resumption.stderr in (Cursor(), Cursor(1, size))
        if result.exit_code == NOT_RECEIVED and nothing and self._follower.total_bytes == size:
            return outcome.build_undelivered_result(self.spec)
        return result

    def _inspect_sandbox(self) -> dict[str, Any]:
        rows = self._sandbox.build_report()
        report = inspection.to_json(rows)
        if broken := inspection.describe_violations(rows):
            self._handler.record_sandbox(report)
            raise SandboxDrift(broken)
        return report

    def _read_log(self) -> None:
        try:
            self._follower.follow()
        except LeaseLost:
            self._released.set()
            self._signals.put(RELEASE)
        except Exception as error:
            if not isinstance(error, EngineError):
                log.exception("run %s: stopped, because its log cannot be stored", self.spec.run_id)
            self._log_error = error
            self._follower.release()  # with an unread attachment the engine cannot stop the container
        finally:
            self._signals.put(DRAINED)

    def _watch_main(self, deadline: float | None) -> None:
        """Wait until all output is stored; stop the container at the deadline or on request.

        The output is read during the stop, too: with an unread attachment the engine cannot stop the container.
        `deadline` is None if main has already exited.
        """
        with self._disk.watch(self._sandbox.find_id(self._sandbox.main)):
            signal = "" if deadline is None else self._wait_for_signal(deadline)
        self._refuse_released()
        if signal != DRAINED:
            if signal and (signal == LIMIT or not self._has_exited_by_itself()):
                self._stop_main()
            self._drain_output()
        self._refuse_released()
        self._handler.note_phase("exit_seen")  # unless the follower has seen it before
        self._handler.note_phase("drained")
        failpoints.hit("drained")
        if self._log_error:
            raise self._log_error
        if signal == DRAINED:
            self._stop.note_own_exit()

    def _has_exited_by_itself(self) -> bool:
        if self._resumption and self._resumption.stopped:
            return False  # an earlier process may have stopped it
        try:
            state = retry_while_away(self._sandbox.inspect_main, self._released)
        except (SandboxGone, SandboxTampered):
            return False
        if state.status != "exited":
            return False
        self._stop.note_own_exit()
        return True

    def _refuse_released(self) -> None:
        if self._released.is_set():
            raise LeaseLost

    def _stop_main(self) -> None:
        assert self._stop.request is not None
        if not self._handler.record_stopping(self._stop.request.why):
            raise LeaseLost
        failpoints.hit("stopping")
        retry_while_away(self._sandbox.stop_main, self._released)
        self._handler.note_phase("exit_seen")

    def _drain_output(self) -> None:
        # Main has exited: further stop signals, which a cancel repeats, are ignored.
        check_at = time.monotonic() + STALL_SECONDS
        while True:
            try:
                if self._signals.get(timeout=max(0.0, check_at - time.monotonic())) == DRAINED:
                    return
            except queue.Empty:
                self._follower.restart_if_stalled()
                check_at = time.monotonic() + STALL_SECONDS
            self._refuse_released()

    def _wait_for_signal(self, deadline: float | None) -> str:
        try:
            return self._signals.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            self.stop(TIMEOUT)
            return self._signals.get()

    def _conclude_run(self) -> RunResult:
        state = retry_while_away(self._sandbox.inspect_main, self._released)
        if state.exit_code in outcome.ENGINE_STOP_CODES and not self._stop.request:
            # A removal or restart from outside kills the container first and is visible a moment later.
            time.sleep(SETTLE_SECONDS)
            state = retry_while_away(self._sandbox.inspect_main, self._released)
        if outcome.is_removed_by_others(state, self._stop.request):
            raise SandboxGone(f"The container {self._sandbox.main} is being removed.")
        for cause in sorted(self._follower.gaps):
            self._handler.record_event("log_gap", outcome.GAPS[cause])
        if self._follower.has_replaced_bytes:
            self._handler.record_event("log_replaced", outcome.REPLACED)
        booted_at = 0.0
        if state.exit_code in outcome.ENGINE_STOP_CODES and not self._stop.request:
            # Waits for an engine that is shutting down.
            booted_at = retry_while_away(self._engine.read_boot_time, self._released)
        dropped, watched = self._follower.dropped.bytes, self._sandbox.booted_at
        result = outcome.build_exit_result(self.spec, state, self._stop.request, dropped, booted_at, watched)
        failpoints.hit("concluded")
        message = result.message
        if result.reason == "exit_code" and result.status == "failed":
            where = ScriptEnvironment(self.spec.image, self.spec.network, self.spec.read_only_root)
            message = f"{message} {find_hint(self._masked.last_output, where)}".rstrip()
        vitals = self._vitals
        used = vitals.peak_memory, vitals.cpu_seconds
        return RunResult(result.status, result.reason, message, result.exit_code, *used)
