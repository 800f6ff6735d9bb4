"""The stored log: chunks of whole lines, one head row a run with the cursor and the unfinished lines, and the objects
in the archive that hold the text of logs that were moved there."""

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
    data = models.BinaryField()  # empty where the run's LogObject has it, from `object_offset` on
    object_offset = models.BigIntegerField(null=True)
    object_length = models.PositiveIntegerField(null=True)
    # Where `read` found the object, and how many blocks it reads ahead there; no column.
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
    # How much of what each stream brought is stored as lines: its newlines and bytes, before anything is masked.
    # Whoever goes on with the log begins there, and reads the begun line again.
    stdout_lines = models.BigIntegerField(default=0)
    stdout_bytes = models.BigIntegerField(default=0)
    stderr_lines = models.BigIntegerField(default=0)
    stderr_bytes = models.BigIntegerField(default=0)
    # The line each stream has begun and not ended, so that a prompt shows.
    stdout_tail = models.BinaryField(default=b"")
    stderr_tail = models.BinaryField(default=b"")
    sealed = models.BooleanField(default=False)
    gaps = models.PositiveIntegerField(default=0)  # how many LogGap rows there are, lines that were split included
    # What came once the log was full.
    dropped_lines = models.BigIntegerField(default=0)
    dropped_bytes = models.BigIntegerField(default=0)
    archived_at = models.DateTimeField(null=True)  # no chunk has its text in the database any more
    pruning = models.BooleanField(default=False)  # the run's log_pruned_at is set, and what is left here goes

    class Meta:
        indexes = [
            models.Index(fields=["run"], name="log_head_pruning", condition=models.Q(pruning=True)),
            models.Index(fields=["run"], name="log_head_not_archived", condition=models.Q(archived_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.lines} lines"

    @property
    def stored_lines(self) -> tuple[int, int]:
        """How many stored lines are of stdout, and of stderr.

        A line that was split, or had no end, has no newline of its own in the cursors: of logs with both streams it
        counts as one of stdout.
        """
        if not self.stdout_bytes:
            return 0, self.lines
        stderr = max(self.stderr_lines, 1 if self.stderr_bytes else 0)
        return self.lines - stderr, stderr


class LogGap(models.Model):
    """A place, after line `after_seq`, where the engine itself lost output, or a long line was split; and why."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+", db_index=False)
    after_seq = models.BigIntegerField()
    cause = models.CharField(max_length=24)  # a key of gaps.WORDS

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "after_seq", "cause"], name="log_gap_once")]

    def __str__(self) -> str:
        return f"{self.run_id} after line {self.after_seq}: {self.cause}"


class LogObject(models.Model):
    """An object of the archive: made before anything is uploaded, gone after the object is, so that none is forgotten.

    Its name is its own. Who wakes up late and writes on under an old one spoils nothing that is read.
    """

    class State(models.TextChoices):
        WRITING = "writing"  # under a claim; nobody reads it
        STORED = "stored"  # whole and verified: chunks may point into it
        UNWANTED = "unwanted"  # nothing points to it; it is to be deleted

    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+")  # null: the run was deleted
    store = models.CharField(max_length=500)  # CRONIUM_LOG_STORAGE as it was
    name = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WRITING)
    claimed_until = models.DateTimeField(null=True)  # while it is being written
    bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True, default="")
    stored_at = models.DateTimeField(null=True)
    shared = models.BooleanField(default=False)  # another installation has it too, so it is not ours to delete

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run"], condition=models.Q(state__in=["writing", "stored"]), name="log_object_one_a_run"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.store}/{self.name}"
