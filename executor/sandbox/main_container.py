"""A run's main container: creates and starts it, and holds its input and output."""

from typing import Any

from executor import failpoints, naming
from executor.docker.attachment import Attachment
from executor.docker.models import parse_time
from executor.docker.protocol import EngineLike
from executor.sandbox.containers import Containers


class MainContainer:
    """`create` and `start`; then it waits for `send_payload`. The other methods may be called from any thread."""

    def __init__(self, engine: EngineLike, containers: Containers, run_id: str) -> None:
        self.name = naming.name_main(run_id)
        self.output: Attachment | None = None
        self.started_at = 0.0  # by the engine's clock
        self._engine = engine
        self._containers = containers
        self._stdin: Attachment | None = None

    def create(self, body: dict[str, Any]) -> None:
        self._containers.create(self.name, body)
        failpoints.hit("main-created")
        # Before the start: a later attach loses lines.
        self.output = self._engine.attach(self.name, stdin=False, output=True)
        self._stdin = self._engine.attach(self.name, stdin=True, output=False)

    def start(self) -> None:
        self._engine.start(self._containers.find_id(self.name), is_new=True)
        failpoints.hit("main-started")
        reported = self._containers.describe(self.name)
        self.started_at = parse_time(reported["State"]["StartedAt"])

    @property
    def has_ended(self) -> bool:
        """Whether a connection to it has ended. Asks no engine."""
        return any(attachment.is_at_end() for attachment in (self._stdin, self.output) if attachment)

    def send_payload(self, payload: bytes) -> None:
        assert self._stdin is not None
        half = len(payload) // 2
        self._stdin.send(payload[:half])
        failpoints.hit("payload-half")
        self._stdin.send(payload[half:])
        self._stdin.close_write()
        self._stdin.close()

    def close_input(self) -> None:
        """A main that still waits for its payload exits."""
        if self._stdin:
            self._stdin.close()

    def close_output(self) -> None:
        if self.output:
            self.output.close()
