"""The executor's input (`RunSpec`), its output (`Batch`, `RunResult`) and its protocol (`RunHandler`). Imports only the
standard library.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

MB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """The limits of one container. `memory_bytes` includes swap; `pids` counts processes and threads."""

    nano_cpus: int
    memory_bytes: int
    pids: int


@dataclass(frozen=True, kw_only=True)
class Shape:
    """All settings that decide the bodies of a sandbox's create calls. Many runs share one shape: it holds no secret,
    and nothing that belongs to one job or run."""

    instance: str
    host: str
    language: str  # bash, python or node
    image: str
    image_digest: str = ""  # the exact image, as an engine reported it; empty: any
    image_resolved: str = ""  # the same as repository@sha256:..., for engines that do not have it; empty: unknown
    sidecar_image: str
    limits: Limits
    log_limit_bytes: int
    read_only_root: bool = True
    network: str = "isolated"  # isolated, none, egress or open
    egress_dns: tuple[str, ...] = ()  # DNS servers of the proxy; empty: the engine's own
    runtime: str = ""  # the container runtime (runc, runsc, ...); empty: the engine's default
    joined_network: bool = True  # main may join the sidecar's network namespace (`sandbox.topology`)
    is_build: bool = False  # main gets the privileges `sandbox.options.BUILD`: its root becomes an image
    runs_dockerfile: bool = False  # of a build: the privileges are `sandbox.options.DOCKERFILE`

    def make_sandbox_spec(self, run_id: str, epoch: int) -> "SandboxSpec":
        settings = {item.name: getattr(self, item.name) for item in fields(Shape)}
        return SandboxSpec(**settings, run_id=run_id, epoch=epoch)


@dataclass(frozen=True, kw_only=True)
class SandboxSpec(Shape):
    """One sandbox: its shape, and the identity from which its names and labels follow."""

    run_id: str
    epoch: int = 0  # of the lease under which the run executes; a later epoch takes over

    @property
    def shape(self) -> Shape:
        return Shape(**{item.name: getattr(self, item.name) for item in fields(Shape)})


@dataclass(frozen=True, kw_only=True)
class RunSpec(SandboxSpec):
    """Everything that the executor needs to run one script.

    `env` and `secrets` values, `token`, `script` and `input` reach the containers over standard input only.
    """

    script: str
    timeout_seconds: float  # from the moment the payload is sent
    merge_streams: bool = False  # stderr goes to stdout's pipe: exact order
    drop_past_limit: bool = False  # drop output past the log's limit; do not stop the run
    token: str = field(repr=False)
    token_expires_at: int  # unix seconds
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # variables whose values are masked in the log
    masked: tuple[str, ...] = field(default=(), repr=False)  # more values to mask in the log
    egress: tuple[str, ...] = ()  # patterns `host:port`, for the network `egress`
    input: Any = field(default=None, repr=False)
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict, repr=False)  # path below `payload.HELPERS` -> text
    disk_limit_bytes: int = 0  # of what main writes to its root; 0: no limit

    @property
    def sandbox(self) -> SandboxSpec:
        return self.shape.make_sandbox_spec(self.run_id, self.epoch)


@dataclass(frozen=True)
class RunResult:
    """The end of a run: `status` is terminal, `reason` a code, `message` a sentence that says how to fix it."""

    status: str
    reason: str
    message: str
    exit_code: int | None = None
    peak_memory_bytes: int | None = None
    cpu_seconds: float | None = None  # at the last measurement, at most two seconds before the end


class LeaseLost(Exception):
    """This process no longer holds the run's lease: it must not write, stop or remove anything of the run."""


@dataclass(frozen=True)
class Segment:
    """Whole lines of one stream that were read together. `text` ends with a newline and holds `lines` lines."""

    stream: int  # 1 stdout, 2 stderr
    lines: int
    unix_ns: int
    text: bytes


@dataclass(frozen=True)
class Cursor:
    """How much of a stream was passed on as segments: newlines, and bytes before masking. Excludes a partial line."""

    lines: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Gap:
    """A place where the log differs from the script's output, before line `at` (from 0) of its batch."""

    at: int
    cause: str  # engine_lost, engine_restarted, rotated, uncounted; or split, which loses nothing


@dataclass(frozen=True)
class Dropped:
    """Newlines and bytes that were dropped because the log was full."""

    lines: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Batch:
    """The data of one transaction: segments in order, and the cursors after them."""

    segments: tuple[Segment, ...]
    stdout: Cursor
    stderr: Cursor
    stdout_tail: bytes = b""  # the partial line of each stream
    stderr_tail: bytes = b""
    gaps: tuple[Gap, ...] = ()
    dropped: Dropped = Dropped()  # in total so far


@dataclass(frozen=True)
class Resumption:
    """The state of a run that is adopted from another worker: the stored cursors and the remaining time."""

    stdout: Cursor
    stderr: Cursor
    seconds_left: float
    dropped: Dropped = Dropped()
    first_ns: int = 0  # when the first stored line was received, unix nanoseconds; 0 for none
    begun_at: float = 0.0  # when its script began, by time.monotonic; 0.0 if unknown
    stopped: str = ""  # why the earlier worker was stopping it: CANCEL, SHUTDOWN, TIMEOUT or LIMIT of `run.outcome`


@dataclass(frozen=True)
class Reply:
    """The answer to a sidecar's request. `status` is the HTTP status; `error` is a code, empty on success."""

    data: Any = None
    status: int = 200
    error: str = ""
    message: str = ""


class Completion(Protocol):
    """Work on the container of a script that has ended, before the result is stored: a build makes its image."""

    def complete(self, container: str, result: RunResult, is_released: Callable[[], bool]) -> RunResult:
        """The result to store. The process that adopts the run repeats it, so it must be idempotent.

        Raises LeaseLost once `is_released` or if another process holds the run; EngineError as the engine does.
        """
        ...


class RunHandler(Protocol):
    """Stores the state of one run. Called from the executor's threads.

    `append` and `finish` raise LeaseLost and change nothing when another process holds the run.
    """

    def note_phase(self, phase: str) -> None:
        """Note the time at which the run reached `phase` (see `run.trace`). Only the first call for a phase counts."""
        ...

    def provide_image(
        self, spec: RunSpec, is_wanted: Callable[[], bool], *, is_prepared: bool = False, is_again: bool = False
    ) -> None:
        """Return when the engine has the run's image; pull it before, if that is allowed and necessary.

        Raises EngineError; ImagePullAborted soon after `is_wanted` is False. `is_prepared`: a sandbox waits for it.
        `is_again`: the image was removed from the host after the first call.
        """
        ...

    def mark_running(self, image_id: str, report: Mapping[str, Any], image_digests: tuple[str, ...] = ()) -> bool:
        """Mark the run as running and store the inspection of its sandbox, right before the payload is sent.

        `report` is JSON; `image_digests` are the image's names of the form repository@sha256:... False: send nothing
        (lost lease or cancelled).
        """
        ...

    def record_cold_start(self, reason: str, message: str) -> None:
        """The sandbox that waited for the run cannot be used, for `reason` (a code); a new one is built."""
        ...

    def append(self, batch: Batch) -> None:
        """Store a batch. Returns when it is durable; a slow store slows the container down."""
        ...

    def answer_request(self, operation: str, body: Any) -> Reply:
        """Answer the script's request to the runtime API."""
        ...

    def record_event(self, kind: str, message: str) -> None:
        """Add an event to the run's timeline; `message` has up to 500 characters."""
        ...

    def record_sandbox(self, report: Mapping[str, Any]) -> None:
        """Store the inspection of a sandbox that is refused, instead of `mark_running`."""
        ...

    def finish(self, result: RunResult) -> None:
        """Store the result. The container has stopped and its log is stored."""
        ...

    def mark_cleaned(self) -> None:
        """Record that no container or network of the run is left on the engine."""
        ...

    def record_stopping(self, reason: str) -> bool:
        """Store the reason for the coming stop, for a process that adopts the run. False: the lease is lost."""
        ...

    def holds_lease(self) -> bool:
        """Whether this process still holds the run. Called before its containers are stopped or removed."""
        ...

    def requeue(self, message: str) -> None:
        """Queue the run again; its script has not begun."""
        ...
