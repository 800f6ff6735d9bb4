"""The stored log: chunks of whole lines, and one head row a run with the cursor and the unfinished lines."""

from django.db import models

from cronium_admin.runs.models import Run


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
    data = models.BinaryField()

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
    gaps = models.PositiveIntegerField(default=0)  # how many LogGap rows there are
    # What came once the log was full.
    dropped_lines = models.BigIntegerField(default=0)
    dropped_bytes = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.run_id}: {self.lines} lines"


class LogGap(models.Model):
    """A place where the engine itself lost output: after line `after_seq`, and why."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+", db_index=False)
    after_seq = models.BigIntegerField()
    cause = models.CharField(max_length=24)  # a key of gaps.WORDS

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "after_seq", "cause"], name="log_gap_once")]

    def __str__(self) -> str:
        return f"{self.run_id} after line {self.after_seq}: {self.cause}"
