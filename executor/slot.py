"""One run from its spec to an empty engine: what one slot of the supervisor does."""

import hashlib
import logging
import queue
import threading
import time
from typing import Any

from executor import report, verdict
from executor.errors import EngineError, EngineUnreachable, RuntimeMissing, SandboxDrift
from executor.mask import Masker
from executor.sandbox import MAIN_GRACE, EngineLike, Sandbox
from executor.spec import Reply, RunHandler, RunResult, RunSpec
from executor.stream import LineAssembler, follow
from executor.subnets import SubnetPool
from executor.verdict import CANCEL, LIMIT, TIMEOUT, Stopped

log = logging.getLogger("cronium.slot")
DRAINED = "drained"  # the reader's signal; all others are reasons to stop
CONFIRM_SECONDS = 10.0
READER_SECONDS = 10.0  # for what was read before an error to be stored
CLEAN_TRIES = 5


class Slot:
    """Runs one spec. `stop` may be called from any thread, at any moment, more than once."""

    def __init__(
        self,
        engine: EngineLike,
        spec: RunSpec,
        handler: RunHandler,
        subnets: SubnetPool,
        builds: threading.Semaphore,
    ) -> None:
        self.spec = spec
        self._engine = engine
        self._handler = handler
        self._builds = builds
        self._signals: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stopped: Stopped | None = None
        self._masker = Masker(spec.secrets.values())
        self._lines = LineAssembler(spec.log_limit_bytes, self._masker)
        self._peak: int | None = None
        self._began = False
        self._log_failed = False
        self._reader = threading.Thread(target=self._read, name=f"log-{spec.run_id[:8]}", daemon=True)
        sha256 = hashlib.sha256(spec.token.encode()).hexdigest()
        self._sandbox = Sandbox(engine, spec, subnets, self._request, self._tell, sha256)

    def _request(self, operation: str, body: Any) -> Reply:
        """What a script hands out as its result is shown to people, as its log is."""
        if operation == "output" and isinstance(body, dict) and "output" in body:
            body = {**body, "output": self._masker.mask_json(body["output"])}
        return self._handler.request(operation, body)

    def _tell(self, kind: str, message: str) -> None:
        """The names of a connection are the script's words, as its log is."""
        self._handler.event(kind, str(self._masker.mask_json(message)))

    def stop(self, why: str = CANCEL) -> None:
        """End the run: the first reason given is the one that counts."""
        if self._stopped is None:
            self._stopped = Stopped(why)
        self._signals.put(why)
        if not self._began:
            self._sandbox.abort()

    def measure(self) -> None:
        """Take note of the memory used so far; called now and then while the script runs."""
        if self._began and self._stopped is None:
            try:
                used = self._engine.memory_peak(self._sandbox.main)
            except EngineError:
                return
            self._peak = max(self._peak or 0, used) if used else self._peak

    def run(self) -> None:
        """The whole way. Raises nothing."""
        try:
            result = self._execute()
        except EngineError as error:
            self._give_up()
            result = verdict.of_stop(self.spec, self._stopped, None) if self._stopped else verdict.of_error(error)
        except Exception:
            log.exception("run %s failed inside Cronium", self.spec.run_id)
            self._give_up()
            result = RunResult("errored", "internal_error", "Cronium itself failed; its own log tells more.")
        try:
            self._handler.finish(result)
        except Exception:
            log.exception("run %s: its result could not be told", self.spec.run_id)
        self._clean_up()

    def _give_up(self) -> None:
        """A status that says "stopped" must be true when it is written, and the log at its end."""
        self._sandbox.take_down()
        if self._began:
            self._reader.join(READER_SECONDS)

    def _clean_up(self) -> None:
        for attempt in range(CLEAN_TRIES):
            if self._sandbox.take_down():
                self._handler.cleaned()
                return
            time.sleep(0.2 * 2**attempt)
        log.error("run %s: something is left on the engine; the reaper goes on", self.spec.run_id)

    def _execute(self) -> RunResult:
        with self._builds:
            if self._stopped:
                return verdict.of_stop(self.spec, self._stopped, None)
            self._refuse_unknown_runtime()
            self._sandbox.build()
        self._refuse_drift()
        if self._stopped or not self._handler.may_begin(self._sandbox.image_id):
            self._sandbox.take_down()  # main waits for its payload: it must be gone when we say so
            return verdict.of_stop(self.spec, self._stopped or Stopped(CANCEL), None)
        self._began = True
        self._reader.start()
        self._sandbox.send_payload()
        self._watch(time.monotonic() + self.spec.timeout_seconds)
        self._reader.join()
        if self._log_failed:
            raise RuntimeError("the log could not be stored")
        return self._conclude()

    def _refuse_unknown_runtime(self) -> None:
        wanted = self.spec.runtime
        if wanted and wanted not in (offered := self._engine.runtimes()):
            raise RuntimeMissing(
                f"The engine of {self.spec.host} does not offer the runtime {wanted!r}; it offers "
                f"{', '.join(offered) or 'none by name'}. Choose another in the profile, or add it to the engine's "
                "daemon.json and restart the engine."
            )

    def _refuse_drift(self) -> None:
        """Tell what the engine says of the sandbox; SandboxDrift when it did not keep a promise."""
        sandbox = self._sandbox
        rows = report.rows(self.spec, sandbox.asked, sandbox.found, self._engine.default_runtime, sandbox.image_id)
        self._handler.built(report.as_json(rows))
        if broken := report.broken(rows):
            raise SandboxDrift(broken)

    def _read(self) -> None:
        assert self._sandbox.output is not None
        try:
            follow(self._sandbox.output, self._handler.append, self._lines, lambda: self.stop(LIMIT))
        except Exception:
            log.exception("run %s: its log can't be stored, so it is stopped", self.spec.run_id)
            self._log_failed = True
            self._sandbox.output.close()  # an output that nobody reads keeps the engine from stopping it
        finally:
            self._signals.put(DRAINED)

    def _watch(self, deadline: float) -> None:
        """Wait for the end of the stream; stop the container when the time is over or somebody asks.

        The reader goes on while we stop: an engine whose output nobody reads can't stop a container.
        """
        while True:
            try:
                signal = self._signals.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.stop(TIMEOUT)
                continue
            if signal == DRAINED:
                return
            self._engine.stop(self._sandbox.main, MAIN_GRACE)
            while self._signals.get() != DRAINED:
                pass  # further reasons to stop change nothing
            return

    def _conclude(self) -> RunResult:
        """The end of the stream came; the engine must also say that the container has exited."""
        give_up = time.monotonic() + CONFIRM_SECONDS
        state = self._engine.inspect(self._sandbox.main)
        while state.running and time.monotonic() < give_up:
            self._engine.wait(self._sandbox.main, 1)
            state = self._engine.inspect(self._sandbox.main)
        if state.running:
            self._engine.stop(self._sandbox.main, MAIN_GRACE)
            raise EngineUnreachable("The engine cut the log off while the script ran, so the script was stopped.")
        result = verdict.of_exit(self.spec, state, self._stopped, self._lines.dropped_bytes)
        return RunResult(result.status, result.reason, result.message, result.exit_code, self._peak)
