"""What goes into the executor and what comes out of it. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

MB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """The ceilings of one container: billionths of a CPU, bytes (swap included), processes and threads."""

    nano_cpus: int
    memory_bytes: int
    pids: int


@dataclass(frozen=True)
class RunSpec:
    """All that the executor must know to run one script; it looks up nothing else.

    `env` and `secrets` values, `token`, `script` and `input` reach the containers over standard input only.
    """

    run_id: str
    instance: str
    host: str
    epoch: int = field(default=0, kw_only=True)  # of the lease under which it runs: a later one outranks it
    language: str  # bash, python or node
    script: str
    image: str
    image_digest: str = field(default="", kw_only=True)  # exactly this image, as an engine called it; empty: any
    sidecar_image: str
    limits: Limits
    timeout_seconds: float  # from the moment the payload is sent
    log_limit_bytes: int
    merge_streams: bool = field(default=False, kw_only=True)  # stderr goes to stdout's pipe: exact order
    drop_past_limit: bool = field(default=False, kw_only=True)  # and let it run on, instead of stopping it
    token: str = field(repr=False)
    token_expires_at: int  # unix seconds
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # variables that no log may show
    masked: tuple[str, ...] = field(default=(), repr=False)  # further values that no log may show
    read_only_root: bool = True
    network: str = "isolated"  # isolated, none, egress or open
    egress: tuple[str, ...] = ()  # patterns `host:port`, for network egress
    egress_dns: tuple[str, ...] = ()  # addresses of who resolves their names; empty: whom the engine asks
    runtime: str = ""  # the engine's name for what runs the container (runc, runsc, ...); empty: its default
    input: Any = field(default=None, repr=False)
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict, repr=False)  # path below payload.HELPERS to text


@dataclass(frozen=True)
class RunResult:
    """How a run ended: a terminal status, its reason in a word and, with the mend, in a sentence."""

    status: str
    reason: str
    message: str
    exit_code: int | None = None
    peak_memory_bytes: int | None = None


class LeaseLost(Exception):
    """Somebody else holds this run now: nothing may be written of it, stopped or removed any more."""


@dataclass(frozen=True)
class Segment:
    """Whole lines of one stream that were read together: `text` ends with a newline and holds `lines` of them."""

    stream: int  # 1 stdout, 2 stderr
    lines: int
    unix_ns: int
    text: bytes


@dataclass(frozen=True)
class Cursor:
    """How much of a stream was given out as segments: newlines, and bytes before masking; no begun line."""

    lines: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Gap:
    """A place where a log is not as the script wrote it: before line `at` (from 0) of its batch, and why, in a word."""

    at: int
    cause: str  # engine_lost, engine_restarted, rotated, uncounted; or split, where nothing is lost


@dataclass(frozen=True)
class Dropped:
    """What came after a log was full and was not kept: newlines and bytes."""

    lines: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Batch:
    """What is to be stored in one transaction: segments in order, then where reading stands."""

    segments: tuple[Segment, ...]
    stdout: Cursor
    stderr: Cursor
    stdout_tail: bytes = b""  # the begun line of each stream
    stderr_tail: bytes = b""
    gaps: tuple[Gap, ...] = ()
    dropped: Dropped = Dropped()  # in all so far


@dataclass(frozen=True)
class Resumption:
    """Where a run stands that goes on after its worker went away: what is stored, and the time it has left."""

    stdout: Cursor
    stderr: Cursor
    seconds_left: float
    dropped: Dropped = Dropped()
    first_ns: int = 0  # when the first stored line was received, unix nanoseconds; 0 for none
    begun_at: float = 0.0  # when its script began, by time.monotonic; 0.0 for unknown
    stopped: str = ""  # why its worker was about to stop it: one of verdict's words


@dataclass(frozen=True)
class Reply:
    """The answer to a sidecar's request: `status` is HTTP's; `error` a code in capitals, empty when fine."""

    data: Any = None
    status: int = 200
    error: str = ""
    message: str = ""


class RunHandler(Protocol):
    """What the executor needs of whoever keeps the run's truth. Called from the executor's threads.

    `append` and `finish` raise LeaseLost, and change nothing, when another has taken the run over.
    """

    def mark_running(self, image_id: str) -> bool:
        """Asked once, right before the payload is sent. False: send nothing (lease lost, or cancelled)."""
        ...

    def append(self, batch: Batch) -> None:
        """Store a batch; returns when it is durable, which holds the container back if that takes long."""
        ...

    def answer_request(self, operation: str, body: Any) -> Reply:
        """Answer what the script asked of the runtime API."""
        ...

    def record_event(self, kind: str, message: str) -> None:
        """Something happened to the run that its timeline should tell: a word, and a sentence of up to 500."""
        ...

    def record_sandbox(self, report: Mapping[str, Any]) -> None:
        """The sandbox as the engine reports it, once, before `may_begin`; values JSON can hold."""
        ...

    def finish(self, result: RunResult) -> None:
        """The container has stopped and its log is stored."""
        ...

    def mark_cleaned(self) -> None:
        """Nothing of the run is left on the engine."""
        ...

    def record_stopping(self, why: str) -> bool:
        """Keep why it is about to be stopped, so that whoever takes it over knows; False: it is not ours any more."""
        ...

    def holds_lease(self) -> bool:
        """Whether this run is still ours: asked before its containers are stopped or removed."""
        ...

    def requeue(self, message: str) -> None:
        """It was given up before its script began: somebody may start it anew."""
        ...
