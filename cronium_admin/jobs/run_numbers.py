"""Run numbers of slugs whose job was deleted or renamed: no number is used twice."""

from django.db.models import F, Value
from django.db.models.functions import Greatest

from cronium_admin.accounts.permissions import ProjectId
from cronium_admin.jobs.models import RetiredSlug


def retire_slug(project_id: ProjectId, slug: str, last_run_number: int) -> None:
    """Stores the last run number of the slug. Call it in the transaction in which the job loses this slug."""
    _raise_last_number(project_id, slug, last_run_number)


def take_number(project_id: ProjectId, slug: str, used: int) -> int:
    """The next run number of a slug without a job; `used` is the highest stored number.

    Locks the slug's row until the caller's transaction ends.
    """
    _raise_last_number(project_id, slug, used)
    row = RetiredSlug.objects.filter(project=project_id, slug=slug)
    row.update(last_run_number=F("last_run_number") + 1)
    return int(row.values_list("last_run_number", flat=True).get())


def _raise_last_number(project_id: ProjectId, slug: str, at_least: int) -> None:
    RetiredSlug.objects.bulk_create([RetiredSlug(project_id=project_id, slug=slug)], ignore_conflicts=True)
    number = Greatest(F("last_run_number"), Value(at_least))
    RetiredSlug.objects.filter(project=project_id, slug=slug).update(last_run_number=number)
