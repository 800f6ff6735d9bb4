"""The job: a script and its settings."""

import json
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.functional import cached_property

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID, Project
from cronium_admin.accounts.projects import InProject
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.core.edit_versions import Edited
from cronium_admin.core.json_text import JsonTextField
from cronium_admin.core.line_text import make_sort_key
from cronium_admin.images.models import Language
from cronium_admin.images.reference import validate_reference
from cronium_admin.jobs.concurrency import (
    DEFAULT_PRIORITY,
    PRIORITY_NAMES,
    describe_concurrency,
    validate_concurrency,
    validate_priority,
)
from cronium_admin.jobs.egress_rules import validate_egress
from cronium_admin.jobs.expected_by import ExpectedBy, find_expected_problems
from cronium_admin.jobs.folded_scripts import FoldedScript, store_folded_script
from cronium_admin.jobs.input_schema import validate_input_schema
from cronium_admin.jobs.job_fields import DEFAULTS
from cronium_admin.jobs.list_models import JobPin, JobView, JobViewDefault
from cronium_admin.jobs.retry import describe_retry, validate_retry
from cronium_admin.jobs.search_text import make_search_text
from cronium_admin.jobs.validation import (
    DEFAULT_QUEUE,
    validate_description,
    validate_env,
    validate_input,
    validate_keep_days,
    validate_keep_runs,
    validate_names,
    validate_queue,
    validate_run_keep_days,
    validate_run_keep_runs,
    validate_script,
    validate_secrets,
    validate_tags,
)
from cronium_admin.profiles.limits import (
    CPU,
    LOG_LIMIT_MB,
    MEMORY_MB,
    PIDS,
    TIMEOUT,
    Limits,
    WithinBound,
    make_constraint,
    resolve_log_limit,
)
from cronium_admin.profiles.models import Profile
from cronium_admin.registries.models import PullPolicy

__all__ = [
    "FoldedScript",
    "Job",
    "JobPin",
    "JobRevision",
    "JobView",
    "JobViewDefault",
    "Network",
    "OnLogLimit",
    "QueueLimit",
    "RetiredSlug",
    "ScriptText",
    "Streams",
]


class Network(models.TextChoices):
    ISOLATED = "isolated", "Isolated"
    NONE = "none", "None"
    EGRESS = "egress", "Egress"
    OPEN = "open", "Open"


class OnLogLimit(models.TextChoices):
    """What happens when a run's log reaches its limit."""

    STOP = "stop", "Stop the run"
    DROP = "drop", "Drop the rest"


class Streams(models.TextChoices):
    """How stdout and stderr reach the log."""

    SEPARATE = "separate", "Separate"
    MERGED = "merged", "Merged"


class RetiredSlug(models.Model):
    """A slug that a job had until it was deleted or renamed, and the last run number under it."""

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, default=DEFAULT_PROJECT_ID, related_name="+", db_index=False
    )
    slug = models.SlugField(max_length=80, db_index=False)
    last_run_number = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "slug"], name="retired_slug_once_per_project")]

    def __str__(self) -> str:
        return self.slug


class Job(InProject, ExpectedBy):
    """A script and all settings that decide how it runs. `slug` identifies it in its project."""

    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=80)
    # Derived from name, slug, tags and description, because databases differ in case folding and ordering.
    search_text = models.TextField(default="", editable=False)
    order_key = models.BinaryField(default=b"")
    language = models.CharField(max_length=16, choices=Language.choices)
    script = models.TextField(validators=[validate_script])
    image = models.CharField(max_length=255, blank=True, default="", validators=[validate_reference])
    # When hosts pull the image, if that is stricter than the administrator's policy; empty: the administrator's.
    pull_policy = models.CharField(max_length=8, choices=PullPolicy.choices, blank=True, default="", db_default="")
    profile = models.ForeignKey(Profile, on_delete=models.PROTECT, related_name="jobs")
    # Override the profile's limits; empty means the profile's value.
    cpu = models.DecimalField(max_digits=4, decimal_places=2, null=True, blank=True, validators=[WithinBound("cpu")])
    memory_mb = models.PositiveIntegerField(null=True, blank=True, validators=[WithinBound("memory_mb")])
    pids = models.PositiveIntegerField(null=True, blank=True, validators=[WithinBound("pids")])
    log_limit_mb = models.PositiveIntegerField(null=True, blank=True, validators=[WithinBound("log_limit_mb")])
    on_log_limit = models.CharField(max_length=8, choices=OnLogLimit.choices, default=OnLogLimit.STOP)
    streams = models.CharField(max_length=8, choices=Streams.choices, default=Streams.SEPARATE)
    env = models.JSONField(default=dict, blank=True, validators=[validate_env])
    # Variables that every launch may set, even with only the permission to run.
    launch_env = models.JSONField(default=list, blank=True, validators=[validate_names])
    # Names only: the values are read when a run is claimed.
    secrets = models.JSONField(default=list, blank=True, validators=[validate_secrets])
    timeout_seconds = models.PositiveIntegerField(default=3600, validators=[WithinBound("timeout_seconds")])
    network = models.CharField(max_length=16, choices=Network.choices, default=Network.ISOLATED)
    # Patterns host:port for the network `egress`; kept, but ignored, with other networks.
    egress = models.JSONField(default=list, blank=True, validators=[validate_egress])
    queue = models.CharField(max_length=40, default=DEFAULT_QUEUE, validators=[validate_queue])
    # Of its runs among all that wait: 1 (lowest) to 5.
    priority = models.PositiveSmallIntegerField(
        default=DEFAULT_PRIORITY, db_default=DEFAULT_PRIORITY, validators=[validate_priority]
    )
    # How many of its runs may run at once, in the form of `concurrency.normalize_concurrency`; null: no limit.
    concurrency: Any = models.JSONField(null=True, blank=True, default=None, validators=[validate_concurrency])
    concurrency_limit = models.PositiveSmallIntegerField(null=True, editable=False)  # derived, for the claims of hosts
    read_only_root = models.BooleanField(default=True)
    input: Any = JsonTextField(null=True, blank=True, default=None, validators=[validate_input])
    # The JSON Schema of the input, in the subset of `inputs`; null: any JSON.
    input_schema: Any = JsonTextField(null=True, blank=True, default=None, validators=[validate_input_schema])
    # When a failed run is followed by another attempt, in the form of `retry.normalize_retry`; null: never.
    retry: Any = models.JSONField(null=True, blank=True, default=None, validators=[validate_retry])
    # Retention of its runs' logs; empty means CRONIUM_LOG_KEEP_*, 0 means for ever.
    log_keep_days = models.PositiveIntegerField(null=True, blank=True, validators=[validate_keep_days])
    log_keep_runs = models.PositiveIntegerField(null=True, blank=True, validators=[validate_keep_runs])
    # Retention of its runs; empty means CRONIUM_RUN_KEEP_*, 0 means for ever.
    run_keep_days = models.PositiveIntegerField(null=True, blank=True, validators=[validate_run_keep_days])
    run_keep_runs = models.PositiveIntegerField(null=True, blank=True, validators=[validate_run_keep_runs])
    enabled = models.BooleanField(default=True)
    tags = models.JSONField(default=list, blank=True, validators=[validate_tags])
    # Markdown, for people who read the job's page.
    description = models.TextField(blank=True, default="", db_default="", validators=[validate_description])
    revision = models.PositiveIntegerField(default=1)  # incremented by every save that changes a field
    last_run_number = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=database_now)
    updated_at = models.DateTimeField(default=database_now)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["order_key", "id"]
        # For counters; few jobs are disabled.
        # The others for lists: the order by name, with what a state needs; the tags to choose from.
        indexes = [
            models.Index(fields=["id"], name="job_disabled", condition=models.Q(enabled=False)),
            models.Index(fields=["order_key", "id", "enabled"], name="job_by_name"),
            models.Index(fields=["tags"], name="job_tags"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["project", "slug"], name="job_slug_once_per_project"),
            *(make_constraint(bound, "job", nullable=True) for bound in (CPU, MEMORY_MB, PIDS)),
            make_constraint(LOG_LIMIT_MB, "job", nullable=True),
            make_constraint(TIMEOUT, "job"),
            models.CheckConstraint(
                condition=models.Q(on_log_limit__in=[each.value for each in OnLogLimit]),
                name="job_on_log_limit_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(streams__in=[each.value for each in Streams]),
                name="job_streams_is_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.set_derived()
        super().save(*args, **kwargs)
        store_folded_script(self.pk, self.script)

    def set_derived(self) -> None:
        self.search_text = make_search_text(self.name, self.slug, self.tags, self.description)
        self.order_key = make_sort_key(self.name)
        self.concurrency_limit = self.concurrency["limit"] if self.concurrency else None

    def clean(self) -> None:
        problems = find_expected_problems(self)
        if self.network == Network.EGRESS and not self.egress:
            text = "List at least one host:port, such as api.example.com:443, or choose the network isolated."
            problems["egress"] = [ValidationError(text, code="required")]
        if problems:
            raise ValidationError(problems)

    @property
    def retry_words(self) -> str:
        return describe_retry(self.retry)

    @property
    def concurrency_words(self) -> str:
        return describe_concurrency(self.concurrency)

    @property
    def priority_name(self) -> str:
        return PRIORITY_NAMES.get(self.priority, str(self.priority))

    @property
    def limits(self) -> Limits:
        profile = self.profile
        return Limits(
            cpu=self.cpu if self.cpu is not None else profile.cpu,
            memory_mb=self.memory_mb if self.memory_mb is not None else profile.memory_mb,
            pids=self.pids if self.pids is not None else profile.pids,
            log_limit_mb=resolve_log_limit(
                self.log_limit_mb if self.log_limit_mb is not None else profile.log_limit_mb
            ),
        )


class QueueLimit(Edited):
    """How many runs of a queue may run at once, on all hosts together. A queue without a row has no limit."""

    queue = models.CharField(max_length=40, unique=True, validators=[validate_queue])
    max_running = models.PositiveIntegerField(null=True)  # null: no limit

    def __str__(self) -> str:
        return f"the queue {self.queue}"


class ScriptText(models.Model):
    """A script, stored once for all revisions that have it."""

    digest = models.CharField(max_length=64, unique=True)  # SHA-256 of its UTF-8, in hex
    text = models.TextField()

    class Meta:
        db_table = "runs_scripttext"

    def __str__(self) -> str:
        return self.digest[:12]


class JobRevision(models.Model):
    """All settings of a job after one save. Never changed; `revisions` creates it.

    It outlives its job and its author, as long as a run refers to it.
    """

    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="revisions", db_index=False)
    number = models.PositiveIntegerField()  # the job's `revision` after the save
    at = models.DateTimeField(db_default=Now())
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    by_name = models.CharField(max_length=150, blank=True, default="")
    # Canonical JSON of all settings except the script; the digest is SHA-256 of the same with the script, in hex.
    settings = models.TextField()
    script = models.ForeignKey(ScriptText, on_delete=models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64)
    changed: Any = models.JSONField(null=True)  # names of the settings that this save changed; null: not recorded
    restored_from = models.PositiveIntegerField(null=True)  # the number of the revision that this save restored
    is_partial = models.BooleanField(default=False)  # has only the settings that a run of an older version recorded

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="job_revision_number_once_per_job")]

    def __str__(self) -> str:
        return f"revision {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("A revision is never changed. Save the job, which creates the next one.")
        super().save(*args, **kwargs)

    @cached_property
    def values(self) -> dict[str, Any]:
        """The settings by name, without the script."""
        return {**({} if self.is_partial else DEFAULTS), **json.loads(self.settings)}
