"""Jobs as the API says them. Only types are checked here: the rules are the model's."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from cronium_admin.images.models import Language
from cronium_admin.jobs.models import Job, Network, OnLogLimit, Streams
from cronium_admin.profiles.models import DEFAULT_PROFILE
from cronium_admin.profiles.schemas import OMITTED, Cpu, LimitsOut

NETWORK = (
    "`isolated`: the runtime API only. `none`: no network, and so no runtime API. `egress`: the runtime API, and the "
    "hosts in `egress` through a proxy. `open`: an ordinary network; only an administrator may choose it, or change "
    "what a job that has it runs."
)
EGRESS = (
    "With the network `egress`: what a run may reach, up to 100 patterns `host:port`. The host is a name, `*.` and a "
    "name (every name below it), an IPv4 address or an IPv6 address in brackets; the port a number or `*`. Kept, "
    "but of no use, with other networks."
)

ON_LOG_LIMIT = (
    "What happens to a run whose log reaches its limit. `stop`: it is stopped and ends as `failed`, `output_limit`. "
    "`drop`: the rest of the log is dropped and counted, and the script runs on."
)
STREAMS = (
    "How stdout and stderr reach the log. `separate`: by a pipe each; every line has its stream, the order of lines "
    "of different streams is not exact. `merged`: by one pipe; the order is exact, and all lines are of stdout."
)
LAUNCH_ENV = (
    "The variables that a launch may set with the right to run only. Everybody who may run the job decides their "
    "values: list only names that the script reads as data."
)
KEEP_DAYS = "Logs of its runs are removed this many days after the end; 0 never, null as CRONIUM_LOG_KEEP_DAYS says."
KEEP_RUNS = "Only its last so many ended runs keep their logs; 0 all, null as CRONIUM_LOG_KEEP_RUNS says."

RUN_KEEP_DAYS = "Its runs are deleted this many days after the end; 0 never, null as CRONIUM_RUN_KEEP_DAYS says."
RUN_KEEP_RUNS = "Only its last so many ended runs are kept; 0 all, null as CRONIUM_RUN_KEEP_RUNS says."


class JobItem(BaseModel):
    """A job in a list: without what can be long."""

    slug: str
    name: str
    language: str
    profile: str
    image: str = Field(description="The job's own image; empty when it takes its language's.")
    enabled: bool
    tags: list[str]
    timeout_seconds: int
    network: Network
    queue: str = Field(description="Which hosts may take its runs.")
    read_only_root: bool
    revision: int
    runs: int = Field(description="How many runs it has had.")
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def collect_fields(job: Job) -> dict[str, Any]:
        same = ("slug", "name", "language", "image", "enabled", "tags", "timeout_seconds", "network")
        more = ("queue", "read_only_root", "revision", "created_at", "updated_at")
        values = {name: getattr(job, name) for name in (*same, *more)}
        return values | {"profile": job.profile.name, "runs": job.last_run_number}

    @classmethod
    def from_job(cls, job: Job) -> "JobItem":
        return cls(**cls.collect_fields(job))


class JobOut(JobItem):
    script: str
    env: dict[str, str | None] = Field(description="Values are null for those who may not edit jobs.")
    launch_env: list[str] = Field(description=LAUNCH_ENV)
    secrets: list[str] = Field(description="The names of the secrets its runs get as variables.")
    egress: list[str] = Field(description=EGRESS)
    input: Any
    cpu: float | None = Field(description="The job's own limit; null when it is the profile's.")
    memory_mb: int | None
    pids: int | None
    log_limit_mb: int | None
    on_log_limit: OnLogLimit = Field(description=ON_LOG_LIMIT)
    streams: Streams = Field(description=STREAMS)
    log_keep_days: int | None = Field(description=KEEP_DAYS)
    log_keep_runs: int | None = Field(description=KEEP_RUNS)
    run_keep_days: int | None = Field(description=RUN_KEEP_DAYS)
    run_keep_runs: int | None = Field(description=RUN_KEEP_RUNS)
    limits: LimitsOut = Field(description="What a run gets: the profile's limits with the job's own over them.")
    created_by: str | None

    @classmethod
    def from_full_job(cls, job: Job, *, with_values: bool) -> "JobOut":
        return cls(
            **cls.collect_fields(job),
            script=job.script,
            env={name: value if with_values else None for name, value in job.env.items()},
            launch_env=job.launch_env,
            secrets=job.secrets,
            egress=job.egress,
            input=job.input,
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
            limits=LimitsOut.from_limits(job.limits),
            created_by=job.created_by.get_username() if job.created_by else None,
        )


class JobPatch(BaseModel):
    """What is given changes; what is not stays."""

    model_config = ConfigDict(extra="forbid", use_enum_values=True)
    name: StrictStr = OMITTED
    slug: StrictStr = OMITTED
    language: Language = OMITTED
    script: StrictStr = OMITTED
    image: StrictStr = OMITTED
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
    queue: Annotated[StrictStr, Field(description="Which hosts may take its runs: those whose worker serves it.")] = (
        OMITTED
    )
    log_keep_days: Annotated[StrictInt | None, Field(description=KEEP_DAYS)] = OMITTED
    log_keep_runs: Annotated[StrictInt | None, Field(description=KEEP_RUNS)] = OMITTED
    run_keep_days: Annotated[StrictInt | None, Field(description=RUN_KEEP_DAYS)] = OMITTED
    run_keep_runs: Annotated[StrictInt | None, Field(description=RUN_KEEP_RUNS)] = OMITTED
    read_only_root: StrictBool = OMITTED
    input: Any = OMITTED
    enabled: StrictBool = OMITTED
    tags: list[StrictStr] = OMITTED

    def get_given_fields(self) -> dict[str, Any]:
        """What the body holds, ready for the service."""
        return self.model_dump(exclude_unset=True, exclude={"revision"})


class JobChange(JobPatch):
    revision: Annotated[
        StrictInt | None,
        Field(description="Change it only while this is its revision; else 409 `changed_meanwhile`."),
    ] = None


class JobIn(JobPatch):
    name: StrictStr = Field(examples=["Nightly report"])
    language: Language
    script: StrictStr = Field(examples=["echo hello"])
    profile: StrictStr = Field(default=DEFAULT_PROFILE)


class JobPage(BaseModel):
    items: list[JobItem]
    next: str | None = Field(description="Give it as `after` to get the next page; null on the last.")
