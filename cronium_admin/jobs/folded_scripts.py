"""The scripts of jobs without case, for searches. A column of the job's own row would be read by each launch."""

from django.db import models

from cronium_admin.core.line_text import fold_case


class FoldedScript(models.Model):
    """Derived from the job's script, because databases differ in case folding."""

    job = models.OneToOneField("jobs.Job", on_delete=models.CASCADE, primary_key=True, related_name="folded_script")
    text = models.TextField()

    def __str__(self) -> str:
        return f"script of job {self.pk}"


def store_folded_script(job_id: int, script: str) -> None:
    """Call it in the transaction that stores the script."""
    row = FoldedScript(job_id=job_id, text=fold_case(script))
    FoldedScript.objects.bulk_create([row], update_conflicts=True, unique_fields=["job"], update_fields=["text"])
