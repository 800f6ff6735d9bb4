"""Request and response bodies of the run routes."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from cronium_admin.core.timestamps import UtcDatetime
from cronium_admin.images.resolution import RULES
from cronium_admin.profiles.schemas import Cpu, LimitsOut
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import UNSET, Overrides
from cronium_admin.runs.timeline import build_timeline
from cronium_admin.runs.triggers import Trigger

_EDIT = (
    "A value that differs from the job's needs the permission to edit, except for variables in the job's `launch_env`."
)

_PRIORITY = "1 (lowest) to 5. A priority higher than the job's needs the permission to edit."


class JobRef(BaseModel):
    slug: str
    name: str


class ImageRef(BaseModel):
    reference: str
    rule: str = Field(description="The source of the choice: run, job, override, environment or default.")
    why: str
    digest: str = Field(
        description="The digest of the image that ran, as the host's engine names it; empty until the container "
        "exists, except in a rerun."
    )
    resolved: str = Field(
        description="The same image in its registry, as repository@sha256:...; empty if it was in none."
    )


class ErrorOut(BaseModel):
    """The error in the log of a failed run."""

    text: str = Field(description="At most 300 characters.")
    line: int = Field(description="The number of the log's line.")
    script_line: int | None = Field(description="The line of the script that ran; null: unknown.")
    file: str = Field(description="The script's file, such as script.py, or the path of another; empty: unknown.")


class RunItem(BaseModel):
    """A run in a list: without the fields that can be long."""

    id: UUID
    number: int = Field(description="Counts the job's runs from 1.")
    job: JobRef | None = Field(description="null if the job was deleted.")
    job_revision: int
    language: str
    status: str
    reason: str
    message: str
    exit_code: int | None
    error: ErrorOut | None = Field(
        description="Of a run that failed, could not finish or timed out: the error in its log; null: none was found, "
        "or the run is of an older version."
    )
    condition: bool | None = Field(description="The value that the script set for follow-up rules; null: not set.")
    trigger: str = Field(description=f"What launched it: {', '.join(Trigger.values)}.")
    scheduled_for: datetime | None = Field(description="The planned time, of a run that a schedule launched.")
    caused_by: str = Field(
        description="What launched it, such as schedule:12; empty for a user's request. Of a later attempt: what "
        "launched the first one, or run: and the id of that."
    )
    attempt: int = Field(description="1, or more for an attempt that followed a failed one.")
    max_attempts: int = Field(description="How many attempts the job's setting `retry` allowed at the launch.")
    retry_of: UUID | None = Field(description="The first attempt of its group; null for a first attempt.")
    not_before: datetime | None = Field(description="No host starts the run before this time.")
    image: ImageRef
    profile: str
    limits: LimitsOut
    input_summary: str | None = Field(
        description="The declared values of its input, in short, such as `region=eu · dry_run=true`; null: none."
    )
    on_log_limit: str = Field(description="The action when its log reaches the limit: stop or drop.")
    streams: str = Field(description="separate, or merged: stderr goes to stdout, in the exact order.")
    timeout_seconds: int
    network: str = Field(description="isolated, none, egress or open.")
    queue: str = Field(description="Only workers that serve this queue take the run.")
    priority: int = Field(
        description="1 (lowest) to 5. It counts one level higher for every ten minutes that the run waits."
    )
    concurrency_key: str = Field(
        description="The value of the key of the job's limit, or its digest if it is long; empty: the limit counts all "
        "runs of the job."
    )
    runtime: str = Field(description="The requested container runtime (runc, runsc, ...); empty: the engine's default.")
    read_only_root: bool
    parent: UUID | None = Field(description="The run of which this is a rerun, or the attempt before this one.")
    created_by: str | None
    host: str
    warm: bool | None = Field(
        description="true: it started in a waiting sandbox, or on a waiting network and sidecar; false: in a new "
        "sandbox; null: it has not started, or is of an older version."
    )
    cold_reason: str = Field(
        description="A code: why it started in a new sandbox (`warm` is false); the docs list them. Else empty."
    )
    created_at: datetime
    claimed_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    peak_memory_bytes: int | None
    cpu_seconds: float | None = Field(description="CPU time, at most two seconds before the end.")
    log_lines: int
    log_bytes: int
    log_digest: str
    log_gaps: int
    log_dropped_lines: int
    log_dropped_bytes: int
    log_pruned_at: datetime | None = Field(description="When retention removed the log; the other log fields are kept.")

    @staticmethod
    def collect_fields(run: Run) -> dict[str, Any]:
        columns = [
            *("id", "number", "job_revision", "language", "status", "reason", "message", "exit_code", "trigger"),
            *("scheduled_for", "caused_by", "attempt", "max_attempts", "not_before"),
            *("on_log_limit", "streams", "timeout_seconds", "network", "queue", "read_only_root", "host"),
            *("created_at", "claimed_at", "started_at"),
            *(
                "finished_at",
                "cancel_requested_at",
                "peak_memory_bytes",
                "cpu_seconds",
                "log_lines",
                "log_bytes",
                "log_digest",
            ),
            *("log_gaps", "log_dropped_lines", "log_dropped_bytes"),
            *("condition", "runtime", "log_pruned_at", "priority", "concurrency_key", "input_summary"),
        ]
        return {name: getattr(run, name) for name in columns} | {
            "job": JobRef(slug=run.job.slug, name=run.job.name) if run.job else None,
            "image": ImageRef(
                reference=run.image,
                rule=run.image_rule,
                why=RULES.get(run.image_rule, ""),
                digest=run.image_digest,
                resolved=run.image_resolved,
            ),
            "profile": run.profile_name,
            "warm": run.is_warm,
            "cold_reason": run.cold_reason or "",
            "limits": LimitsOut.from_limits(run.limits),
            "error": ErrorOut(**run.error) if run.error else None,
            "parent": run.parent_id,
            "retry_of": run.retry_of_id,
            "created_by": run.created_by.get_username() if run.created_by else None,
        }

    @classmethod
    def from_run(cls, run: Run) -> "RunItem":
        return cls(**cls.collect_fields(run))


class RunOut(RunItem):
    env: list[str] = Field(description="The names of its environment variables; values are not shown.")
    overridden: list[str] | None = Field(
        description="The overrides of its launch that decide which code runs or its isolation: image, env.NAME, "
        "runtime (through the profile), script (a try); null: not recorded."
    )
    secrets: list[str] = Field(description="The names of its secrets.")
    egress: list[str] = Field(description="The allowed hosts, as host:port, with the network egress; else empty.")
    input: Any
    output: Any
    output_at: datetime | None = Field(description="When the output was last set; null: not set.")

    @staticmethod
    def collect_detail_fields(run: Run) -> dict[str, Any]:
        columns = ("overridden", "secrets", "egress", "input", "output", "output_at")
        return {"env": sorted(run.env), **{name: getattr(run, name) for name in columns}}

    @classmethod
    def from_run(cls, run: Run) -> "RunOut":
        return cls(**cls.collect_fields(run), **cls.collect_detail_fields(run))


class EventOut(BaseModel):
    at: datetime
    kind: str
    message: str
    by: str


class TraceOut(BaseModel):
    """When the run reached its phases, in milliseconds since `accepted`, or since `queued` if no request launched it.

    null: not reached, or not measured.
    """

    accepted: float | None = Field(None, description="The server received the request that launched the run.")
    queued: float | None = Field(None, description="The run was stored.")
    claimed: float | None = Field(None, description="A host claimed the run.")
    network_made: float | None = Field(None, description="Part of `prepared`: the networks exist.")
    main_started: float | None = Field(None, description="Part of `prepared`: the container of the script is started.")
    sidecar_loaded: float | None = Field(None, description="Part of `prepared`: the sidecar waits for its settings.")
    sidecar_ready: float | None = Field(None, description="The sidecar serves the run.")
    taken: float | None = Field(None, description="The host took the sandbox that waited for the run.")
    prepared: float | None = Field(None, description="A new sandbox was built.")
    bound: float | None = Field(None, description="The sandbox belongs to the run, and its sidecar is ready.")
    begun: float | None = Field(None, description="The sandbox was verified and the start was stored.")
    payload_sent: float | None = Field(None, description="The script was sent to its container.")
    first_byte: float | None = Field(None, description="The first output of the script arrived.")
    first_line_stored: float | None = Field(None, description="The first line of the log was stored.")
    first_line_at_socket: float | None = Field(
        None, description="The first line was sent to a client that waited for it, by the database's clock."
    )
    exit_seen: float | None = Field(None, description="The container of the script has stopped.")
    image_pulled: float | None = Field(None, description="Its image was pulled; absent if that was not necessary.")
    drained: float | None = Field(None, description="All output was stored.")
    finished: float | None = Field(None, description="The result was stored.")
    taken_down: float | None = Field(None, description="Nothing of the sandbox is left on the engine.")
    adopted: float | None = Field(
        None,
        description="Another worker took the run over and measured the later phases, from the start of the script "
        "by the database's clock.",
    )

    @classmethod
    def from_run(cls, run: Run) -> "TraceOut | None":
        offsets = run.trace_offsets
        return cls(**offsets) if offsets else None


class RunDetail(RunOut):
    script: str
    events: list[EventOut]
    trace: TraceOut | None = Field(description="null for a run of an older version.")

    @classmethod
    def from_full_run(cls, run: Run) -> "RunDetail":
        events = [
            EventOut(at=event.at, kind=event.kind, message=event.message, by=event.by) for event in build_timeline(run)
        ]
        return cls(
            **cls.collect_fields(run),
            **cls.collect_detail_fields(run),
            script=run.script,
            events=events,
            trace=TraceOut.from_run(run),
        )


class SandboxRow(BaseModel):
    of: str = Field(description="main, sidecar, network, or way out (the sidecar's second network, with egress)")
    what: str
    asked: str
    reported: str
    drift: bool = Field(description="The reported value differs from the requested value.")
    promise: bool = Field(description="The setting is required: with drift, the script is not started.")


class SandboxOut(BaseModel):
    reported: bool = Field(description="false until the sandbox is built, and for a run that never had one.")
    version: str = Field(
        default="", description="The version of the table of settings: equal for sandboxes of one kind."
    )
    count: int = 0
    drifted: int = 0
    rows: list[SandboxRow] = []


class RunPage(BaseModel):
    items: list[RunItem]
    next: str | None = Field(description="The value of `after` for the next page; null on the last page.")


class LaunchIn(BaseModel):
    """The values that one launch changes; all are optional."""

    model_config = ConfigDict(extra="forbid")
    input: Any = None
    env: Annotated[dict[str, StrictStr] | None, Field(description=_EDIT)] = None
    image: Annotated[StrictStr | None, Field(description=_EDIT)] = None
    profile: StrictStr | None = None
    timeout_seconds: StrictInt | None = None
    cpu: Cpu | None = None
    memory_mb: StrictInt | None = None
    pids: StrictInt | None = None
    log_limit_mb: StrictInt | None = None
    not_before: Annotated[
        UtcDatetime | None,
        Field(description="Start the run at this time, at most 366 days ahead, such as 2027-03-28T18:00:00+02:00."),
    ] = None
    priority: Annotated[StrictInt | None, Field(description=_PRIORITY)] = None

    def to_overrides(self) -> Overrides:
        return Overrides(
            input=self.input if "input" in self.model_fields_set else UNSET,
            env=self.env or {},
            image=(self.image or "").strip(),
            profile=self.profile or "",
            timeout_seconds=self.timeout_seconds,
            cpu=self.cpu,
            memory_mb=self.memory_mb,
            pids=self.pids,
            log_limit_mb=self.log_limit_mb,
            not_before=self.not_before,
            priority=self.priority,
        )
