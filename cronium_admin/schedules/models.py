"""The schedule, and its ledger: one row for each nominal time (or for several in a row with the same reason)."""

from typing import Any

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from cronium_admin.accounts.projects import InProject
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.core.edit_versions import Edited
from cronium_admin.core.json_text import JsonTextField
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run


class Kind(models.TextChoices):
    CRON = "cron", "Cron rule"
    INTERVAL = "interval", "Interval"
    CALENDAR = "calendar", "Calendar rule"
    ONCE = "once", "Once"


class DstGap(models.TextChoices):
    """A time of day that doesn't exist, because the clock goes forward."""

    RUN_AFTER = "run_after", "Run at the end of the gap"
    SKIP = "skip", "Skip"


class DstRepeat(models.TextChoices):
    """A time of day that comes twice, because the clock goes back."""

    FIRST = "first", "Run the first time"
    BOTH = "both", "Run both times"


class DayMatch(models.TextChoices):
    """A cron rule with a day of the month and a day of the week."""

    ANY = "any", "Either one"
    ALL = "all", "Both"


class Missed(models.TextChoices):
    """Times that passed while no process of Cronium ran."""

    NONE = "none", "None"
    LATEST = "latest", "The latest"
    ALL = "all", "All"


class Overlap(models.TextChoices):
    """What happens at a time while a run of the schedule is live."""

    SKIP = "skip", "Skip this time"
    QUEUE_ONE = "queue_one", "Queue one run"
    QUEUE_ALL = "queue_all", "Queue all runs"
    CANCEL_RUNNING = "cancel_running", "Cancel the live run"
    ALLOW = "allow", "Run beside it"


class OnClosed(models.TextChoices):
    """A time on a closed day of the calendar."""

    SKIP = "skip", "Skip this time"
    NEXT_WORKING_DAY = "next_working_day", "Run on the next open day"


class ActsAs(models.TextChoices):
    OWNER = "owner", "Its owner"
    PROJECT = "project", "The project"


class State(models.TextChoices):
    """What became of a nominal time."""

    RAN = "ran", "Ran"
    LATE = "late", "Ran late"
    CAUGHT_UP = "caught_up", "Caught up"
    MERGED = "merged", "Merged"
    OVERLAPPED = "overlapped", "Overlapped"
    MISSED = "missed", "Missed"
    BLACKOUT = "blackout", "Blackout"
    DISABLED = "disabled", "Disabled"
    GAP = "gap", "No such time"
    NOT_READY = "not_ready", "Not ready"


LAUNCHED = (State.RAN, State.LATE, State.CAUGHT_UP)


class Calendar(Edited):
    """A named list of closed days, for schedules of all projects. Administrators edit it."""

    name = models.CharField(
        max_length=40,
        unique=True,
        validators=[
            RegexValidator(r"\A[a-z][a-z0-9-]*\Z", "Lower-case letters, digits and hyphens, beginning with a letter.")
        ],
    )
    weekdays = models.CharField(max_length=27, blank=True, default="")  # as sat,sun
    dates = models.TextField(blank=True, default="")  # a date or a range a line, with its text
    country = models.CharField(max_length=2, blank=True, default="")  # ISO 3166, with its national holidays
    subdivision = models.CharField(max_length=40, blank=True, default="")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def list_weekdays(self) -> list[str]:
        return self.weekdays.split(",") if self.weekdays else []


class Schedule(InProject, Edited):
    """`cursor_at`: the fate of all nominal times up to it is decided. The next times follow from it and the rule.

    `planned_after`: nominal times up to it do not count, though they may move past the cursor.
    `next_at` and `due_at` are caches: the next time that runs, and when the next time is handled, which may be closed.
    They are valid for the rule's number and the zone data in `computed_for`.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="schedules", db_index=False)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.CRON)
    rule = models.CharField(max_length=500, blank=True, default="")  # of a cron rule or a calendar rule
    every_seconds = models.PositiveBigIntegerField(null=True, blank=True)
    anchor = models.DateTimeField(null=True, blank=True)  # of an interval and a calendar rule
    at = models.DateTimeField(null=True, blank=True)  # of a schedule that runs once
    timezone = models.CharField(max_length=64, default="UTC")
    dst_gap = models.CharField(max_length=12, choices=DstGap.choices, default=DstGap.RUN_AFTER)
    dst_repeat = models.CharField(max_length=8, choices=DstRepeat.choices, default=DstRepeat.FIRST)
    day_match = models.CharField(max_length=4, choices=DayMatch.choices, default=DayMatch.ANY)
    blackouts = models.TextField(blank=True, default="", db_default="")  # a window a line
    calendar = models.ForeignKey(Calendar, null=True, blank=True, on_delete=models.PROTECT, related_name="schedules")
    on_closed = models.CharField(
        max_length=16, choices=OnClosed.choices, default=OnClosed.SKIP, db_default=OnClosed.SKIP
    )
    enabled = models.BooleanField(default=True)
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    missed = models.CharField(max_length=8, choices=Missed.choices, default=Missed.LATEST)
    # null: the shorter of an hour and the time to the next nominal time.
    missed_within_seconds = models.PositiveIntegerField(null=True, blank=True)
    missed_max = models.PositiveSmallIntegerField(default=10)
    overlap = models.CharField(max_length=16, choices=Overlap.choices, default=Overlap.SKIP)
    jitter_seconds = models.PositiveIntegerField(default=0)
    input: Any = JsonTextField(null=True, blank=True, default=None)  # null: the job's input
    acts_as = models.CharField(max_length=8, choices=ActsAs.choices, default=ActsAs.OWNER)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(default=database_now)

    rule_number = models.PositiveIntegerField(default=1)  # counts the changes of the times
    cursor_at = models.DateTimeField(default=database_now)
    planned_after = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    computed_for = models.CharField(max_length=40, blank=True, default="")
    problem = models.CharField(max_length=500, blank=True, default="")  # why it could not run at its last time

    class Meta:
        ordering = ["name", "id"]
        indexes = [
            models.Index(fields=["due_at"], name="schedule_due", condition=models.Q(enabled=True, due_at__isnull=False))
        ]
        constraints = [models.UniqueConstraint(fields=["job", "name"], name="schedule_name_once_per_job")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_at_start(self) -> bool:
        """It runs once each time the installation starts."""
        return self.kind == Kind.CRON and self.rule.strip().lower() == "@reboot"


class Occurrence(models.Model):
    """A row of the ledger, written in the transaction that creates the run. Changed only if a user runs a missed time.

    A row with `count` > 1 stands for the nominal times from `nominal_at` to `last_nominal_at`.
    """

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="occurrences", db_index=False)
    nominal_at = models.DateTimeField()
    last_nominal_at = models.DateTimeField()
    # The local time of a rule with times of day, so that new zone data fires no time of day twice; else null.
    label = models.CharField(max_length=24, null=True)
    rule_number = models.PositiveIntegerField()
    state = models.CharField(max_length=12, choices=State.choices)
    reason = models.CharField(max_length=300, blank=True, default="")
    run = models.OneToOneField(Run, null=True, on_delete=models.SET_NULL, related_name="occurrence")
    count = models.PositiveIntegerField(default=1)
    late_by_seconds = models.PositiveIntegerField(null=True)
    decided_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-nominal_at", "-id"]
        indexes = [models.Index(fields=["schedule", "nominal_at"], name="occurrence_of_schedule")]
        constraints = [
            # A label that doesn't exist has the instant of an hour later, which can be a nominal time too.
            models.UniqueConstraint(
                fields=["schedule", "nominal_at"], name="occurrence_once_per_time", condition=~models.Q(state="gap")
            ),
            models.UniqueConstraint(
                fields=["schedule", "rule_number", "label"],
                name="occurrence_once_per_label",
                condition=models.Q(label__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.schedule_id} {self.nominal_at:%Y-%m-%dT%H:%M:%SZ}"


class Heartbeat(models.Model):
    """When a process last looked for due schedules, and the last time that none did for long. One row."""

    ticked_at = models.DateTimeField()
    down_from = models.DateTimeField(null=True)
    down_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.ticked_at:%Y-%m-%dT%H:%M:%SZ}"


class InstallationStart(models.Model):
    """A process started while no other was alive. A time of the schedules with the rule @reboot."""

    at = models.DateTimeField(unique=True)  # whole seconds

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%dT%H:%M:%SZ}"


class ZoneDataReport(models.Model):
    """A process that looks for due schedules, and its time-zone data. Processes that end leave their row for a day."""

    process = models.CharField(max_length=250, primary_key=True)
    tzdata = models.CharField(max_length=20)
    seen_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)  # null: it lives, or was killed

    def __str__(self) -> str:
        return f"{self.process} {self.tzdata}"
