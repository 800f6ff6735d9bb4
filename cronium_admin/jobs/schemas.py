"""Request and response bodies of the job routes. They check types only; the model validates values."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from cronium_admin.core.edit_versions import OMITTED
from cronium_admin.images.custom_choices import find_newer_reference
from cronium_admin.images.models import Language
from cronium_admin.jobs.expected_by import ExpectedByOut, ExpectedByPatch
from cronium_admin.jobs.input_schema import list_failing_schedules
from cronium_admin.jobs.job_fields import EXPECTED_FIELDS
from cronium_admin.jobs.models import Job, Network, OnLogLimit, Streams
from cronium_admin.profiles.models import DEFAULT_PROFILE
from cronium_admin.profiles.schemas import Cpu, LimitsOut

NETWORK = (
    "`isolated`: the runtime API only. `none`: no network, and so no runtime API. `egress`: the runtime API, and the "
    "hosts in `egress` through a proxy. `open`: an ordinary network; only an administrator may choose it, or change "
    "what runs with it."
)
EGRESS = (
    "With the network `egress`: the hosts that a run may connect to, up to 100 patterns `host:port`. The host is a "
    "name, `*.` and a name (all its subdomains), an IPv4 address or an IPv6 address in brackets; the port is a "
    "number or `*`. Kept, but ignored, with other networks."
)

ON_LOG_LIMIT = (
    "What happens when the log of a run reaches its limit. `stop`: the run is stopped and ends as `failed` with the "
    "reason `output_limit`. `drop`: further output is dropped and counted, and the script continues."
)
STREAMS = (
    "How stdout and stderr reach the log. `separate`: by one pipe each; every line has its stream, and the order of "
    "lines of different streams is not exact. `merged`: by one pipe; the order is exact, and all lines are stdout."
)
LAUNCH_ENV = (
    "The variables that every launch may set, even with only the permission to run. Every operator can then choose "
    "their values: list only variables that the script treats as data."
)
PULL_POLICY = (
    "When a host pulls the image: `missing`, `newer` or `never`; empty: as the administrator has set it for the image "
    "or its registry. Each is stricter than the one before, and only a policy stricter than the administrator's counts."
)
RETRY = (
    "When a run that did not succeed is followed by another attempt, which is a new run; null: never. "
    '`{"max": 3, "delay_seconds": 60, "backoff": "exponential", "max_delay_seconds": 3600, "total_seconds": null, '
    '"on": ["failed", "timed_out", "errored"], "exit_codes": []}`; all but `max` may be omitted. `on` has statuses '
    "(`failed`, `timed_out`, `errored`, `lost`) or reasons; `exit_codes` limits retries of scripts that exited."
)
DESCRIPTION = (
    "Markdown for people, up to 20,000 characters. The job's page renders it without raw HTML and without images."
)
PRIORITY = (
    "The order of its runs among all that wait: 1 (lowest) to 5. A run counts one level higher for every ten minutes "
    "that it waits; of equal runs the oldest is first."
)
CONCURRENCY = (
    'How many of its runs may run at once; null: no limit. `{"limit": 1, "key": "customer.id", "when_full": "queue"}`. '
    "`key` is a JMESPath expression over the input: the limit then counts for each of its values; empty: for all runs. "
    "`when_full`: `queue` (the run waits), `skip` (it ends at once as `cancelled`, with the reason "
    "`concurrency_skipped`) or `cancel_oldest` (the oldest live run is cancelled)."
)
INPUT_SCHEMA = (
    "The JSON Schema of its input; null: any JSON. A subset of JSON Schema 2020-12: an object whose properties are "
    "texts, numbers, booleans, choices, lists, dates, files or names of secrets; see the docs. Every launch is checked "
    "against it."
)
KEEP_DAYS = "Logs of its runs are removed this many days after the end; 0: never, null: CRONIUM_LOG_KEEP_DAYS."
KEEP_RUNS = "Only this many of its last ended runs keep their logs; 0: all, null: CRONIUM_LOG_KEEP_RUNS."

RUN_KEEP_DAYS = "Its runs are deleted this many days after the end; 0: never, null: CRONIUM_RUN_KEEP_DAYS."
RUN_KEEP_RUNS = "Only this many of its last ended runs are kept; 0: all, null: CRONIUM_RUN_KEEP_RUNS."


class JobItem(BaseModel):
    """A job in a list: without the fields that can be long."""

    slug: str
    name: str
    language: str
    profile: str
    image: str = Field(description="The job's own image; empty if it uses the image of its language.")
    pull_policy: str = Field(description=PULL_POLICY)
    enabled: bool
    tags: list[str]
    timeout_seconds: int
    network: Network
    queue: str = Field(description="Only workers that serve this queue take its runs.")
    priority: int = Field(description=PRIORITY)
    concurrency: dict[str, Any] | None = Field(description=CONCURRENCY)
    read_only_root: bool
    revision: int
    runs: int = Field(description="The number of runs launched so far.")
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def collect_fields(job: Job) -> dict[str, Any]:
        columns = ("slug", "name", "language", "image", "pull_policy", "enabled", "tags", "timeout_seconds", "network")
        more = ("queue", "priority", "concurrency", "read_only_root", "revision", "created_at", "updated_at")
        values = {name: getattr(job, name) for name in (*columns, *more)}
        return values | {"profile": job.profile.name, "runs": job.last_run_number}

    @classmethod
    def from_job(cls, job: Job) -> "JobItem":
        return cls(**cls.collect_fields(job))


class JobOut(JobItem, ExpectedByOut):
    description: str = Field(description=DESCRIPTION)
    script: str
    env: dict[str, str | None] = Field(description="Values are null for callers without the permission to edit jobs.")
    launch_env: list[str] = Field(description=LAUNCH_ENV)
    secrets: list[str] = Field(description="The names of the secrets that its runs get as environment variables.")
    egress: list[str] = Field(description=EGRESS)
    input: Any
    input_schema: dict[str, Any] | None = Field(description=INPUT_SCHEMA)
    input_problems: list[str] = Field(
        description="The schedules that are enabled and would fail, because their input does not fit `input_schema`, "
        "with the reason. Choices that come from data are not checked."
    )
    retry: dict[str, Any] | None = Field(description=RETRY)
    cpu: float | None = Field(description="The job's own limit; null: the profile's limit.")
    memory_mb: int | None
    pids: int | None
    log_limit_mb: int | None
    on_log_limit: OnLogLimit = Field(description=ON_LOG_LIMIT)
    streams: Streams = Field(description=STREAMS)
    log_keep_days: int | None = Field(description=KEEP_DAYS)
    log_keep_runs: int | None = Field(description=KEEP_RUNS)
    run_keep_days: int | None = Field(description=RUN_KEEP_DAYS)
    run_keep_runs: int | None = Field(description=RUN_KEEP_RUNS)
    limits: LimitsOut = Field(description="The limits of a run: the profile's, overridden by the job's own.")
    newer_image: str = Field(
        description="If `image` names a version of a custom image: the newest version that is ready, such as "
        "`cronium/custom/reports:4`; empty if that is the one that the job names."
    )
    created_by: str | None

    @classmethod
    def from_full_job(cls, job: Job, *, with_values: bool) -> "JobOut":
        return cls(
            **cls.collect_fields(job),
            description=job.description,
            script=job.script,
            env={name: value if with_values else None for name, value in job.env.items()},
            launch_env=job.launch_env,
            secrets=job.secrets,
            egress=job.egress,
            input=job.input,
            input_schema=job.input_schema,
            input_problems=list_failing_schedules(job),
            retry=job.retry,
            cpu=None if job.cpu is None else float(job.cpu),
            memory_mb=job.memory_mb,
            pids=job.pids,
            log_limit_mb=job.log_limit_mb,
            on_log_limit=OnLogLimit(job.on_log_limit),
            streams=Streams(job.streams),
            log_keep_days=job.log_keep_days,
            log_keep_runs=job.log_keep_runs,
            run_keep_days=job.run_keep_days,
            run_keep_runs=job.run_keep_runs,
            **{name: getattr(job, name) for name in EXPECTED_FIELDS},
            limits=LimitsOut.from_limits(job.limits),
            newer_image=find_newer_reference(job.project_id, job.image),
            created_by=job.created_by.get_username() if job.created_by else None,
        )


class JobPatch(ExpectedByPatch):
    """Changes only the given fields."""

    model_config = ConfigDict(extra="forbid", use_enum_values=True)
    name: StrictStr = OMITTED
    slug: StrictStr = OMITTED
    language: Language = OMITTED
    script: StrictStr = OMITTED
    image: StrictStr = OMITTED
    pull_policy: Annotated[Literal["", "missing", "newer", "never"], Field(description=PULL_POLICY)] = OMITTED
    profile: StrictStr = OMITTED
    cpu: Cpu | None = OMITTED
    memory_mb: StrictInt | None = OMITTED
    pids: StrictInt | None = OMITTED
    log_limit_mb: StrictInt | None = OMITTED
    on_log_limit: Annotated[OnLogLimit, Field(description=ON_LOG_LIMIT)] = OMITTED
    streams: Annotated[Streams, Field(description=STREAMS)] = OMITTED
    env: dict[str, StrictStr] = OMITTED
    launch_env: Annotated[list[StrictStr], Field(description=LAUNCH_ENV)] = OMITTED
    secrets: list[StrictStr] = OMITTED
    timeout_seconds: StrictInt = OMITTED
    network: Annotated[Network, Field(description=NETWORK)] = OMITTED
    egress: Annotated[list[StrictStr], Field(description=EGRESS)] = OMITTED
    queue: Annotated[StrictStr, Field(description="Only workers that serve this queue take its runs.")] = OMITTED
    priority: Annotated[StrictInt, Field(description=PRIORITY)] = OMITTED
    concurrency: Annotated[dict[str, Any] | None, Field(description=CONCURRENCY)] = OMITTED
    log_keep_days: Annotated[StrictInt | None, Field(description=KEEP_DAYS)] = OMITTED
    log_keep_runs: Annotated[StrictInt | None, Field(description=KEEP_RUNS)] = OMITTED
    run_keep_days: Annotated[StrictInt | None, Field(description=RUN_KEEP_DAYS)] = OMITTED
    run_keep_runs: Annotated[StrictInt | None, Field(description=RUN_KEEP_RUNS)] = OMITTED
    read_only_root: StrictBool = OMITTED
    input: Any = OMITTED
    input_schema: Annotated[dict[str, Any] | None, Field(description=INPUT_SCHEMA)] = OMITTED
    retry: Annotated[dict[str, Any] | None, Field(description=RETRY)] = OMITTED
    enabled: StrictBool = OMITTED
    tags: list[StrictStr] = OMITTED
    description: Annotated[StrictStr, Field(description=DESCRIPTION)] = OMITTED

    def get_given_fields(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True, exclude={"revision"})


class JobChange(JobPatch):
    revision: Annotated[
        StrictInt | None,
        Field(description="Change the job only if this is still its revision; else 409 `changed_meanwhile`."),
    ] = None


class JobIn(JobPatch):
    name: StrictStr = Field(examples=["Nightly report"])
    language: Language
    script: StrictStr = Field(examples=["echo hello"])
    profile: StrictStr = Field(default=DEFAULT_PROFILE)


class JobPage(BaseModel):
    items: list[JobItem]
    next: str | None = Field(description="The value of `after` for the next page; null on the last page.")
