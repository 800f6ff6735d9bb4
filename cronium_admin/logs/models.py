"""The stored log: chunks of complete lines, one head row per run with the cursors and the unfinished lines, and the
objects of the archive that contain the text of archived logs."""

from typing import TYPE_CHECKING

from django.db import models

from cronium_admin.runs.models import Run

if TYPE_CHECKING:
    from cronium_admin.logs.archive.block_cache import ObjectRef


class LogChunk(models.Model):
    """Whole lines `first_seq .. first_seq + lines - 1`, compressed; see `codec` for `index` and `data`."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+", db_index=False)
    first_seq = models.BigIntegerField()
    lines = models.PositiveIntegerField()
    byte_offset = models.BigIntegerField()  # where this chunk's text begins in logs.txt
    bytes = models.PositiveIntegerField()  # of text, before compression
    first_ns = models.BigIntegerField()  # when the first and last line were received, unix nanoseconds
    last_ns = models.BigIntegerField()
    index = models.BinaryField()
    data = models.BinaryField()  # empty if the text is in the run's LogObject, at `object_offset`
    object_offset = models.BigIntegerField(null=True)
    object_length = models.PositiveIntegerField(null=True)
    # Not a column. Set by `logs.read`: the object, and how many blocks to read ahead.
    archived: tuple["ObjectRef", int] | None = None

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "first_seq"], name="log_chunk_once")]

    def __str__(self) -> str:
        return f"{self.run_id} lines {self.first_seq}+{self.lines}"


class LogHead(models.Model):
    """How far a run's log has been read and stored; written in the same transaction as its chunks."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, primary_key=True, related_name="log_head")
    lines = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    # The cursor of each stream: the newlines and bytes that are stored as lines, counted before masking. A process that
    # resumes the log starts there and reads the unfinished line again.
    stdout_lines = models.BigIntegerField(default=0)
    stdout_bytes = models.BigIntegerField(default=0)
    stderr_lines = models.BigIntegerField(default=0)
    stderr_bytes = models.BigIntegerField(default=0)
    # The unfinished line of each stream, so that a prompt is shown.
    stdout_tail = models.BinaryField(default=b"")
    stderr_tail = models.BinaryField(default=b"")
    sealed = models.BooleanField(default=False)
    gaps = models.PositiveIntegerField(default=0)  # the number of LogGap rows, including split lines
    # Output after the log was full.
    dropped_lines = models.BigIntegerField(default=0)
    dropped_bytes = models.BigIntegerField(default=0)
    archived_at = models.DateTimeField(null=True)  # since then no chunk has text in the database
    pruning = models.BooleanField(default=False)  # the run's log_pruned_at is set; the remaining rows are deleted

    class Meta:
        indexes = [
            models.Index(fields=["run"], name="log_head_pruning", condition=models.Q(pruning=True)),
            models.Index(fields=["run"], name="log_head_not_archived", condition=models.Q(archived_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.lines} lines"

    @property
    def stored_lines(self) -> tuple[int, int]:
        """The number of stored lines of stdout and of stderr.

        The parts of a split line, and a last line without newline, are not counted in the cursors: in a log with both
        streams they count as lines of stdout.
        """
        if not self.stdout_bytes:
            return 0, self.lines
        stderr = max(self.stderr_lines, 1 if self.stderr_bytes else 0)
        return self.lines - stderr, stderr


class LogGap(models.Model):
    """A gap after line `after_seq`: the engine lost output there, or a long line was split."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+", db_index=False)
    after_seq = models.BigIntegerField()
    cause = models.CharField(max_length=24)  # a key of gaps.MESSAGES

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "after_seq", "cause"], name="log_gap_once")]

    def __str__(self) -> str:
        return f"{self.run_id} after line {self.after_seq}: {self.cause}"


class LogObject(models.Model):
    """An object of the archive. The row is created before the upload and deleted after the object, so that every object
    is known.

    Names are unique: a process that continues to write an expired upload cannot change an object that is read.
    """

    class State(models.TextChoices):
        WRITING = "writing"  # under a claim; not read
        STORED = "stored"  # complete and verified: chunks may refer to it
        UNWANTED = "unwanted"  # no chunk refers to it; it will be deleted

    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+")  # null: the run was deleted
    store = models.CharField(max_length=500)  # CRONIUM_LOG_STORAGE at the time of the upload
    name = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WRITING)
    claimed_until = models.DateTimeField(null=True)  # while it is being written
    bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True, default="")
    stored_at = models.DateTimeField(null=True)
    shared = models.BooleanField(default=False)  # another installation uses it too: never delete it

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run"], condition=models.Q(state__in=["writing", "stored"]), name="log_object_one_a_run"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.store}/{self.name}"
