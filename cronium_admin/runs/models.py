"""The run: its row, the snapshot of its settings, and its events."""

import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.functional import cached_property

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID
from cronium_admin.accounts.projects import InProject
from cronium_admin.core.database.clock import Now
from cronium_admin.core.json_text import JsonText, JsonTextField, parse_stored
from cronium_admin.images.models import Language
from cronium_admin.jobs.concurrency import COMMON_KEY, DEFAULT_PRIORITY, PRIORITY_NAMES
from cronium_admin.jobs.models import Job, JobRevision, OnLogLimit, Streams
from cronium_admin.jobs.retry import describe_retry
from cronium_admin.jobs.validation import DEFAULT_QUEUE
from cronium_admin.profiles.limits import Limits, default_log_limit_mb
from cronium_admin.runs import log_states, sandbox_report
from cronium_admin.runs.claim_order import CLAIM_ORDER
from cronium_admin.runs.health_models import JobHealth as JobHealth
from cronium_admin.runs.run_settings import get_revision_settings
from cronium_admin.runs.trace import unpack_offsets


class Status(models.TextChoices):
    QUEUED = "queued", "Queued"
    STARTING = "starting", "Starting"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    TIMED_OUT = "timed_out", "Timed out"
    CANCELLED = "cancelled", "Cancelled"
    ERRORED = "errored", "Errored"
    LOST = "lost", "Lost"


class StartKind(models.TextChoices):
    """How a run got its sandbox."""

    COLD = "cold", "Built for the run"
    STEM = "stem", "Networks and sidecar waited"
    WARM = "warm", "All of it waited"


BUILD_TRIGGER = "build"  # of runs that build a custom image; only `image_builds.launch` creates them
LIVE = (Status.QUEUED, Status.STARTING, Status.RUNNING)
ON_HOST = (Status.STARTING, Status.RUNNING)
TERMINAL = tuple(status for status in Status if status not in LIVE)
UNSEALED = models.Q(
    finished_at__isnull=False, started_at__isnull=False, log_pruned_at__isnull=True, log_digest__exact=""
)
_LOG_KEPT = models.Q(finished_at__isnull=False, log_pruned_at__isnull=True)


class SandboxTable(models.Model):
    """The requested settings of a kind of sandbox, and which of them are requirements; see `sandbox_report`."""

    digest = models.CharField(max_length=64, unique=True)
    rows = models.JSONField()

    def __str__(self) -> str:
        return self.digest[:12]


class Run(InProject):
    """One execution of a job. `status` changes only in `state_machine`, by conditional UPDATE.

    `project` is the job's; it stays when the job is deleted.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="runs", db_index=False)
    job_name = models.CharField(max_length=120)
    job_slug = models.CharField(max_length=80)
    job_revision = models.PositiveIntegerField()  # the number of `revision`, for lists without a join
    # The job's retention, copied when the job is deleted; null: the settings apply.
    run_keep_days = models.PositiveIntegerField(null=True)
    log_keep_days = models.PositiveIntegerField(null=True)
    number = models.PositiveIntegerField()  # counts the job's runs from 1
    parent = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="reruns", db_index=False)
    trigger = models.CharField(max_length=16, default="api")  # a value of Trigger
    caused_by = models.CharField(max_length=80, blank=True, default="", db_default="")  # such as schedule:12
    scheduled_for = models.DateTimeField(null=True)  # the nominal time of a run that a schedule launched
    # The attempts of one group: the first, and its retries, which name it. `retry` is the job's setting at the launch;
    # no attempt starts at `retry_until` or later.
    attempt = models.PositiveSmallIntegerField(default=1, db_default=1)
    retry_of = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="retries", db_index=False)
    retry: Any = models.JSONField(null=True)
    retry_until = models.DateTimeField(null=True)
    not_before = models.DateTimeField(null=True)  # no host claims it before this time
    # Live runs with the same key run one after the other, by `scheduled_for`; null: no such run.
    serial_key = models.CharField(max_length=40, null=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    idempotency_key = models.CharField(max_length=200, null=True)
    idempotency_by = models.BigIntegerField(null=True)  # the user's id
    request_digest = models.CharField(max_length=64, blank=True, default="")  # of the request sent with the key

    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    reason = models.CharField(max_length=40, blank=True, default="")
    message = models.TextField(blank=True, default="")
    exit_code = models.IntegerField(null=True)
    # The error in the log of a failed run, in the form of `RunError.to_json`; null: none was found or looked for.
    error: Any = models.JSONField(null=True)

    # All settings that decide what runs, fixed at launch: those of the revision, those in the columns below, and in
    # `differs` the other settings that are not the revision's, by name; null: none.
    revision = models.ForeignKey(JobRevision, on_delete=models.PROTECT, related_name="runs")
    differs: Any = JsonTextField(null=True)
    language = models.CharField(max_length=16, choices=Language.choices)
    image = models.CharField(max_length=255)
    image_rule = models.CharField(max_length=32)  # a key of `images.resolution.RULES`
    image_digest = models.CharField(max_length=80, blank=True, default="")  # what the engine ran, by its own name
    # The same as repository@sha256:...; empty for an image that no registry has.
    image_resolved = models.CharField(max_length=400, blank=True, default="", db_default="")
    # The restricted overrides of its launch: `image`, `env.NAME`, `runtime`; null: not recorded.
    overridden = models.JSONField(null=True)
    profile_name = models.CharField(max_length=40)
    cpu = models.DecimalField(max_digits=4, decimal_places=2)
    memory_mb = models.PositiveIntegerField()
    pids = models.PositiveIntegerField()
    log_limit_mb = models.PositiveIntegerField(default=default_log_limit_mb)
    on_log_limit = models.CharField(max_length=8, choices=OnLogLimit.choices, default=OnLogLimit.STOP)
    streams = models.CharField(max_length=8, choices=Streams.choices, default=Streams.SEPARATE)
    timeout_seconds = models.PositiveIntegerField()
    network = models.CharField(max_length=16)
    queue = models.CharField(max_length=40, default=DEFAULT_QUEUE)  # only workers that serve it may claim the run
    priority = models.PositiveSmallIntegerField(default=DEFAULT_PRIORITY, db_default=DEFAULT_PRIORITY)  # 5 is highest
    # The value of the job's key for this run's input, for the job's limit; see `jobs.concurrency`.
    concurrency_key = models.CharField(max_length=120, blank=True, default=COMMON_KEY, db_default=COMMON_KEY)
    runtime = models.CharField(max_length=64, blank=True, default="")  # empty: the engine's default
    read_only_root = models.BooleanField(default=True)

    # The declared values of its input, in short; null: none. See `input_values`.
    input_summary = models.TextField(null=True)

    # The result.
    # The engine's report before the script began: the run's own part, and the table shared by all runs of its kind.
    sandbox: Any = models.JSONField(null=True)
    sandbox_table = models.ForeignKey(SandboxTable, null=True, on_delete=models.PROTECT, related_name="+")
    output: Any = JsonTextField(null=True)
    output_at = models.DateTimeField(null=True)
    condition = models.BooleanField(null=True)  # read by follow-up rules; null: not set
    peak_memory_bytes = models.BigIntegerField(null=True)
    cpu_seconds = models.FloatField(null=True)  # at the last measurement, at most two seconds before the end
    log_lines = models.BigIntegerField(default=0)
    log_bytes = models.BigIntegerField(default=0)
    log_digest = models.CharField(max_length=64, blank=True, default="")
    # For a log that was not read to its end: failed attempts to seal it, and the time of the next attempt.
    log_seal_tries = models.PositiveSmallIntegerField(default=0)
    log_seal_after = models.DateTimeField(null=True)
    log_gaps = models.PositiveIntegerField(default=0)  # number of places where the engine lost output
    log_dropped_lines = models.BigIntegerField(default=0)  # output after the log was full
    log_dropped_bytes = models.BigIntegerField(default=0)
    log_pruned_at = models.DateTimeField(null=True)  # the log counts as removed, even if a part is still stored
    log_pruned_why = models.CharField(max_length=200, blank=True, default="")

    # When it reached its phases, in the form of `trace.pack_offsets`; empty: launched by an older version.
    trace = models.TextField(blank=True, default="")
    first_sent_ms = models.PositiveIntegerField(null=True)  # of the trace: its first line was sent to a client

    # Times, by the database's clock.
    created_at = models.DateTimeField(db_default=Now())
    claimed_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)  # the payload was sent, so user code began
    finished_at = models.DateTimeField(null=True)
    cleaned_at = models.DateTimeField(null=True)  # its containers and networks were removed from the engine

    # The waiting sandbox that its launch took; null: none. Until `warm_until` only that host may claim the run.
    warm_host = models.CharField(max_length=100, null=True)
    warm_until = models.DateTimeField(null=True)
    start_kind = models.CharField(max_length=8, choices=StartKind.choices, null=True)  # null until it starts
    cold_reason = models.CharField(max_length=40, null=True)  # a code: why no waiting sandbox was used; null: one was

    # The lease.
    stop_reason = models.CharField(max_length=16, blank=True, default="")  # why its host stops it
    host = models.CharField(max_length=100, blank=True, default="")
    lease_owner = models.CharField(max_length=250, blank=True, default="")
    lease_epoch = models.PositiveIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="run_newest"),
            # For members of other projects; without their projects it is empty, so that it costs nothing.
            models.Index(
                fields=["project", "-created_at", "-id"],
                name="run_of_project_newest",
                condition=~models.Q(project=DEFAULT_PROJECT_ID),
            ),
            models.Index(fields=["job", "-created_at", "-id"], name="run_of_job_newest"),
            models.Index(fields=["status", "-created_at", "-id"], name="run_by_status_newest"),
            models.Index(fields=["trigger", "-created_at", "-id"], name="run_by_trigger_newest"),
            models.Index(fields=["created_by", "-created_at", "-id"], name="run_by_user_newest"),
            models.Index(fields=["host", "-created_at", "-id"], name="run_of_host_newest"),
            models.Index(fields=["language", "-created_at", "-id"], name="run_of_language_newest"),
            # Only runs that did not succeed have a reason.
            models.Index(
                fields=["reason", "-created_at", "-id"], name="run_by_reason_newest", condition=~models.Q(reason="")
            ),
            models.Index(
                fields=["created_at", "id"],
                name="run_live",
                condition=models.Q(status__in=[s.value for s in LIVE]),
            ),
            models.Index("status", *CLAIM_ORDER, name="run_waiting", condition=models.Q(status=Status.QUEUED.value)),
            # The live runs of each job, for its limit.
            models.Index(
                fields=["job", "concurrency_key"],
                name="run_live_of_job",
                condition=models.Q(status__in=[s.value for s in LIVE]),
            ),
            # Runs with a log, for the retention of each job.
            models.Index(fields=["job", "-finished_at", "-id"], name="run_log_of_job", condition=_LOG_KEPT),
            # Runs of deleted jobs that had their own retention.
            models.Index(
                fields=["run_keep_days", "created_at"],
                name="run_keeping_of_no_job",
                condition=models.Q(job__isnull=True, run_keep_days__isnull=False),
            ),
            models.Index(
                fields=["log_keep_days", "finished_at"],
                name="run_log_of_no_job",
                condition=_LOG_KEPT & models.Q(job__isnull=True, log_keep_days__isnull=False),
            ),
            # Partial indexes of foreign keys that few runs have. `job` is the first column of other indexes.
            models.Index(fields=["parent"], name="run_of_parent", condition=models.Q(parent__isnull=False)),
            models.Index(
                fields=["cancel_requested_by"],
                name="run_cancelled_by",
                condition=models.Q(cancel_requested_by__isnull=False),
            ),
            models.Index(
                fields=["not_before"],
                name="run_starts_later",
                condition=models.Q(not_before__isnull=False, status="queued"),
            ),
            models.Index(
                fields=["caused_by"],
                name="run_live_caused_by",
                condition=models.Q(status__in=[s.value for s in LIVE]) & ~models.Q(caused_by=""),
            ),
            models.Index(
                fields=["serial_key", "scheduled_for"],
                name="run_serial_live",
                condition=models.Q(serial_key__isnull=False, status__in=[s.value for s in LIVE]),
            ),
            # For periodic tasks; these indexes are small in a healthy installation.
            models.Index(fields=["created_at"], name="run_with_key", condition=models.Q(idempotency_key__isnull=False)),
            models.Index(
                fields=["host", "finished_at"],
                name="run_not_clean",
                condition=models.Q(finished_at__isnull=False, cleaned_at__isnull=True),
            ),
            models.Index(
                fields=["log_seal_after", "finished_at"],
                name="run_log_unsealed",
                condition=UNSEALED,
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["job", "idempotency_by", "idempotency_key"], name="run_once_per_idempotency_key"
            ),
            models.UniqueConstraint(fields=["job", "number"], name="run_number_once_per_job"),
            models.UniqueConstraint(
                fields=["retry_of", "attempt"],
                name="run_attempt_once_per_group",
                condition=models.Q(retry_of__isnull=False),
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=[s.value for s in Status]), name="run_status_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_slug} #{self.number}"

    @property
    def limits(self) -> Limits:
        return Limits(cpu=self.cpu, memory_mb=self.memory_mb, pids=self.pids, log_limit_mb=self.log_limit_mb)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        return get_revision_settings(self.revision.values) | (self.differs or {})

    def remember_settings(self, settings: dict[str, Any]) -> None:
        """Call it for a new run, to avoid a read of its revision."""
        self._settings = settings
        if isinstance(self.differs, JsonText):  # the text that was stored
            self.differs = parse_stored(self.differs)

    @property
    def env(self) -> dict[str, str]:
        return dict(self._settings["env"])

    @property
    def secrets(self) -> list[str]:
        """Names only."""
        return list(self._settings["secrets"])

    @property
    def pull_policy(self) -> str:
        """The job's; empty: the administrator's."""
        return str(self._settings.get("pull_policy") or "")

    @property
    def egress(self) -> list[str]:
        """Patterns host:port, for the network egress."""
        return list(self._settings["egress"])

    @property
    def input(self) -> Any:
        return self._settings["input"]

    @property
    def script(self) -> str:
        own = (self.differs or {}).get("script")
        return self.revision.script.text if own is None else str(own)

    @cached_property
    def sandbox_report(self) -> dict[str, Any] | None:
        if self.sandbox is None or self.sandbox_table is None:
            return None
        return sandbox_report.unpack_report(str(self.pk), self.sandbox_table.rows, self.sandbox)

    @property
    def trace_offsets(self) -> dict[str, float]:
        """Milliseconds by phase; see `trace`."""
        offsets = unpack_offsets(self.trace)
        if self.first_sent_ms is not None:
            offsets["first_line_at_socket"] = float(self.first_sent_ms)
        return offsets

    @property
    def began_at(self) -> datetime:
        # When the script began; if it has not begun, when the run was launched
        return self.started_at or self.created_at

    @property
    def is_warm(self) -> bool | None:
        """Whether it began in a sandbox that waited; None: unknown, or it has not begun."""
        return None if self.start_kind is None else self.start_kind != StartKind.COLD

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def max_attempts(self) -> int:
        return 1 + int(self.retry["max"]) if self.retry else 1

    @property
    def retry_words(self) -> str:
        """Empty without retries."""
        return describe_retry(self.retry) if self.retry else ""

    @property
    def priority_name(self) -> str:
        return PRIORITY_NAMES.get(self.priority, str(self.priority))

    @property
    def group_id(self) -> uuid.UUID:
        """The id of the first attempt."""
        return self.retry_of_id or self.pk

    @property
    def schedule_id(self) -> int | None:
        kind, _, number = self.caused_by.partition(":")
        return int(number) if kind == "schedule" else None

    @property
    def log_pruned(self) -> str:
        return log_states.describe_pruned_log(self.log_pruned_at, self.log_pruned_why)


class RunInput(models.Model):
    """A declared value of a run's input, as text that may be cut; for filters."""

    MAX_VALUE = 100  # characters

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="input_values", db_index=False)
    name = models.CharField(max_length=60)
    value = models.CharField(max_length=MAX_VALUE)
    created_at = models.DateTimeField(db_default=Now())  # at the run's launch, or just after it

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="run_input_once_per_name")]
        indexes = [models.Index(fields=["name", "value", "created_at", "run"], name="run_input_newest")]

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


class RunEvent(models.Model):
    """An event that the run's own columns do not record: `kind` is a code, `message` a sentence.

    `timeline` combines both.
    """

    LONGEST = 500  # characters of `message`

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=32)
    message = models.CharField(max_length=LONGEST, blank=True, default="")
    by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}"


class OutboxEvent(models.Model):
    """A change of a run, for the consumers of `outbox`. Without a key to the run, so it outlives a deleted run."""

    run_id = models.UUIDField()
    at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=32)
    status = models.CharField(max_length=16, blank=True, default="")  # after the change; empty: it did not change
    reason = models.CharField(max_length=40, blank=True, default="")
    position = models.BigIntegerField(null=True, unique=True)  # null until a consumer reads; see `outbox`

    def __str__(self) -> str:
        return f"{self.kind} of {self.run_id}"


class OutboxConsumer(models.Model):
    """A consumer of `outbox`, which has handled all events up to `position`."""

    name = models.CharField(max_length=100, primary_key=True)
    position = models.BigIntegerField()
    moved_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name
