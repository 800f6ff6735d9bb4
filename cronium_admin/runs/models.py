"""One execution of a job: its row, the snapshot it ran from, and its events."""

import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.functional import cached_property

from cronium_admin.core.database.clock import Now
from cronium_admin.core.json_text import JsonTextField
from cronium_admin.images.models import Language
from cronium_admin.jobs.models import Job, OnLogLimit, Streams
from cronium_admin.jobs.validation import DEFAULT_QUEUE
from cronium_admin.profiles.limits import Limits, default_log_limit_mb
from cronium_admin.runs import log_states, sandbox_report


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


LIVE = (Status.QUEUED, Status.STARTING, Status.RUNNING)
ON_HOST = (Status.STARTING, Status.RUNNING)
TERMINAL = tuple(status for status in Status if status not in LIVE)
UNSEALED = models.Q(
    finished_at__isnull=False, started_at__isnull=False, log_pruned_at__isnull=True, log_digest__exact=""
)
_LOG_KEPT = models.Q(finished_at__isnull=False, log_pruned_at__isnull=True)


class ScriptText(models.Model):
    """A script, once for all runs that have it; `shared` keeps it."""

    digest = models.CharField(max_length=64, unique=True)  # SHA-256 of its UTF-8, in hex
    text = models.TextField()

    def __str__(self) -> str:
        return self.digest[:12]


class SandboxTable(models.Model):
    """What was asked for of a kind of sandbox, and which of it is a promise; `sandbox_report` reads it."""

    digest = models.CharField(max_length=64, unique=True)
    rows = models.JSONField()

    def __str__(self) -> str:
        return self.digest[:12]


class Run(models.Model):
    """The truth about one execution. `status` changes in `transitions` only, by conditional UPDATE."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="runs", db_index=False)
    job_name = models.CharField(max_length=120)
    job_slug = models.CharField(max_length=80)
    job_revision = models.PositiveIntegerField()
    # Of a run whose job was deleted: the job's own retention; null where the settings decide.
    run_keep_days = models.PositiveIntegerField(null=True)
    log_keep_days = models.PositiveIntegerField(null=True)
    number = models.PositiveIntegerField()  # counts the job's runs from 1
    parent = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="reruns", db_index=False)
    trigger = models.CharField(max_length=16, default="api")  # ui, api, rerun
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    idempotency_key = models.CharField(max_length=200, null=True)
    idempotency_by = models.BigIntegerField(null=True)  # whose key it is: a person's id, 0 for the system
    request_digest = models.CharField(max_length=64, blank=True, default="")  # of what came with the key

    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    reason = models.CharField(max_length=40, blank=True, default="")
    message = models.TextField(blank=True, default="")
    exit_code = models.IntegerField(null=True)

    # The snapshot: all that decides what runs, fixed at launch.
    language = models.CharField(max_length=16, choices=Language.choices)
    script_text = models.ForeignKey(ScriptText, on_delete=models.PROTECT, related_name="+")
    image = models.CharField(max_length=255)
    image_rule = models.CharField(max_length=32)  # run, job, override, environment, default
    image_digest = models.CharField(max_length=80, blank=True, default="")
    env = models.JSONField(default=dict)
    # What of image and environment its launch changed: `image`, `env.NAME`; null where that was not recorded.
    overridden = models.JSONField(null=True)
    secrets = models.JSONField(default=list)  # names only
    profile_name = models.CharField(max_length=40)
    cpu = models.DecimalField(max_digits=4, decimal_places=2)
    memory_mb = models.PositiveIntegerField()
    pids = models.PositiveIntegerField()
    log_limit_mb = models.PositiveIntegerField(default=default_log_limit_mb)
    on_log_limit = models.CharField(max_length=8, choices=OnLogLimit.choices, default=OnLogLimit.STOP)
    streams = models.CharField(max_length=8, choices=Streams.choices, default=Streams.SEPARATE)
    timeout_seconds = models.PositiveIntegerField()
    network = models.CharField(max_length=16)
    egress = models.JSONField(default=list)  # patterns host:port, for network egress
    queue = models.CharField(max_length=40, default=DEFAULT_QUEUE)  # which hosts may take it
    runtime = models.CharField(max_length=64, blank=True, default="")  # empty: the engine's default
    read_only_root = models.BooleanField(default=True)
    input: Any = JsonTextField(null=True)

    # What came of it.
    # As the engine reported it before the script began: what the run has of its own, and the table that it shares.
    sandbox: Any = models.JSONField(null=True)
    sandbox_table = models.ForeignKey(SandboxTable, null=True, on_delete=models.PROTECT, related_name="+")
    output: Any = JsonTextField(null=True)
    output_at = models.DateTimeField(null=True)
    condition = models.BooleanField(null=True)  # what follow-up rules read; null when the script set none
    peak_memory_bytes = models.BigIntegerField(null=True)
    log_lines = models.BigIntegerField(default=0)
    log_bytes = models.BigIntegerField(default=0)
    log_digest = models.CharField(max_length=64, blank=True, default="")
    # A log that nobody could read to its end: how often to seal it failed, and when it is tried again.
    log_seal_tries = models.PositiveSmallIntegerField(default=0)
    log_seal_after = models.DateTimeField(null=True)
    log_gaps = models.PositiveIntegerField(default=0)  # places where the engine lost output
    log_dropped_lines = models.BigIntegerField(default=0)  # what came once the log was full
    log_dropped_bytes = models.BigIntegerField(default=0)
    log_pruned_at = models.DateTimeField(null=True)  # from then on nobody reads the log, whatever is left of it
    log_pruned_why = models.CharField(max_length=200, blank=True, default="")

    # When, on the database's clock.
    created_at = models.DateTimeField(db_default=Now())
    claimed_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)  # the payload was sent: user code began
    finished_at = models.DateTimeField(null=True)
    cleaned_at = models.DateTimeField(null=True)  # nothing of it is left on the engine

    # Who holds it.
    stop_reason = models.CharField(max_length=16, blank=True, default="")  # why its host is about to stop it
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
            models.Index(fields=["job", "-created_at", "-id"], name="run_of_job_newest"),
            models.Index(fields=["status", "-created_at", "-id"], name="run_by_status_newest"),
            models.Index(
                fields=["created_at", "id"],
                name="run_live",
                condition=models.Q(status__in=[s.value for s in LIVE]),
            ),
            # Whose logs are there: retention looks at each job's.
            models.Index(fields=["job", "-finished_at", "-id"], name="run_log_of_job", condition=_LOG_KEPT),
            # Runs of deleted jobs that had a retention of their own.
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
            # Keys that few runs have. That of `job` begins other indexes.
            models.Index(fields=["parent"], name="run_of_parent", condition=models.Q(parent__isnull=False)),
            models.Index(
                fields=["cancel_requested_by"],
                name="run_cancelled_by",
                condition=models.Q(cancel_requested_by__isnull=False),
            ),
            # What timed work looks for among all runs; empty or short in a healthy installation.
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
            models.CheckConstraint(
                condition=models.Q(status__in=[s.value for s in Status]), name="run_status_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_slug} #{self.number}"

    @property
    def limits(self) -> Limits:
        return Limits(cpu=self.cpu, memory_mb=self.memory_mb, pids=self.pids, log_limit_mb=self.log_limit_mb)

    @property
    def script(self) -> str:
        return self.script_text.text

    @cached_property
    def sandbox_report(self) -> dict[str, Any] | None:
        """All rows of the report, as `sandbox_report` says them; None while there is none."""
        if self.sandbox is None or self.sandbox_table is None:
            return None
        return sandbox_report.unpack_report(str(self.pk), self.sandbox_table.rows, self.sandbox)

    @property
    def began_at(self) -> datetime:
        """When its script began; of a run that has not come so far, when it was launched."""
        return self.started_at or self.created_at

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def log_pruned(self) -> str:
        """Why there is no log any more, in a sentence; empty while there is one."""
        return log_states.describe_pruned_log(self.log_pruned_at, self.log_pruned_why)


class RunEvent(models.Model):
    """One thing that happened to a run and that its row does not record: `kind` a word, `message` a sentence.
    `timeline` has both."""

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
