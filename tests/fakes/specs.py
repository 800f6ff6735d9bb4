"""Run specs and a recording handler, for tests of the executor."""

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from executor.run import tokens
from executor.sandbox.binding import Binding
from executor.spec import MB, Batch, Limits, Reply, RunResult, RunSpec

SECRET = "a secret for tests that is long enough"
SMALL = Limits(nano_cpus=500_000_000, memory_bytes=512 * MB, pids=100)


def make_spec(**changes: Any) -> RunSpec:
    """A bash run that prints hello; keywords replace fields."""
    run_id = changes.get("run_id") or str(uuid.uuid4())
    token = tokens.mint_token(tokens.derive_signing_key(SECRET), run_id, 60)
    values: dict[str, Any] = {
        "run_id": run_id,
        "instance": "test-instance",
        "host": "test-host",
        "language": "bash",
        "script": "echo hello",
        "image": "runner:bash",
        "sidecar_image": "sidecar:latest",
        "limits": SMALL,
        "timeout_seconds": 30.0,
        "log_limit_bytes": 50 * MB,
        "token": token.text,
        "token_expires_at": token.expires_at,
    }
    return RunSpec(**(values | changes))


def make_binding(spec: RunSpec, answer: Callable[[str, Any], Reply] = lambda operation, body: Reply()) -> Binding:
    """A binding that records no event."""
    return Binding(spec, answer, lambda kind, message: None)


@dataclass
class Remembering:
    """A RunHandler that records all calls; `events` has them in order."""

    begin: bool = True
    ours: bool = True
    answer: Callable[[str, Any], Reply] = lambda operation, body: Reply(data={"echo": body})
    batches: list[Batch] = field(default_factory=list)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    cold: list[tuple[str, str]] = field(default_factory=list)  # reasons why a waiting sandbox was not used
    phases: dict[str, float] = field(default_factory=dict)
    provided: list[bool] = field(default_factory=list)  # `is_again` of each call of `provide_image`
    result: RunResult | None = None
    on_event: Callable[[str], None] = lambda event: None
    provide: Callable[[RunSpec, Callable[[], bool], bool], None] = lambda spec, is_wanted, is_prepared: None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def _note(self, event: str) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()
        self.on_event(event)

    def note_phase(self, phase: str) -> None:
        self.phases.setdefault(phase, time.monotonic())

    def provide_image(
        self, spec: RunSpec, is_wanted: Callable[[], bool], *, is_prepared: bool = False, is_again: bool = False
    ) -> None:
        self.provided.append(is_again)
        self.provide(spec, is_wanted, is_prepared)

    def mark_running(self, image_id: str, report: Mapping[str, Any], image_digests: tuple[str, ...] = ()) -> bool:
        self.report = dict(report)
        self._note("may_begin")
        return self.begin

    def record_cold_start(self, reason: str, message: str) -> None:
        self.cold.append((reason, message))
        self._note("cold")

    def append(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._note("append")

    def answer_request(self, operation: str, body: Any) -> Reply:
        self.requests.append((operation, body))
        return self.answer(operation, body)

    def record_event(self, kind: str, message: str) -> None:
        self.told.append((kind, message))
        self._note(kind)

    def record_sandbox(self, report: Mapping[str, Any]) -> None:
        self.report = dict(report)

    def finish(self, result: RunResult) -> None:
        assert self.result is None, "a run ends once"
        self.result = result
        self._note("finish")

    def mark_cleaned(self) -> None:
        self._note("cleaned")

    def record_stopping(self, why: str) -> bool:
        return self.ours

    def holds_lease(self) -> bool:
        return self.ours

    def requeue(self, message: str) -> None:
        self._note("requeue")

    def wait_for(self, event: str, seconds: float = 40) -> None:
        """Returns when `event` has happened."""
        with self._changed:
            assert self._changed.wait_for(lambda: event in self.events, seconds), f"no {event!r} in {self.events}"

    def wait_for_text(self, text: bytes, seconds: float = 40) -> None:
        """Returns when the log contains `text`."""
        end = time.monotonic() + seconds
        with self._changed:
            while text not in self.log():
                assert self._changed.wait(end - time.monotonic()), f"no {text!r} in {self.log()[-500:]!r}"

    def log(self, *streams: int) -> bytes:
        """The text of these streams (default: all), in order of arrival."""
        parts = [segment for batch in self.batches for segment in batch.segments]
        return b"".join(part.text for part in parts if not streams or part.stream in streams)
