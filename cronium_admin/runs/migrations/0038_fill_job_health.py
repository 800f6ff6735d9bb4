"""Fills the health of existing jobs from their runs, a page of runs at a time; may be interrupted and repeated.

Runs are taken by number, which for runs of the past stands for the order of their ends.
"""

from django.db import migrations, transaction

JOBS, RUNS = 100, 200
_COUNTED = ("succeeded", "failed", "timed_out", "errored", "lost")
_COLUMNS = ("pk", "number", "status", "finished_at")


def _list_counted(runs, job_id):
    """The counted runs of a job, newest first."""
    below = None
    rows = runs.filter(job=job_id, status__in=_COUNTED, finished_at__isnull=False).exclude(trigger="build")
    while page := list(
        (rows if below is None else rows.filter(number__lt=below)).order_by("-number").values_list(*_COLUMNS)[:RUNS]
    ):
        yield from page
        below = page[-1][1]


def _describe(counted):
    """The columns of a job's row; None without a counted run."""
    last = good = None
    failures, since = 0, None
    for run in counted:
        last = last or run
        if run[2] == "succeeded":
            good = run
            break
        failures, since = failures + 1, run[3]
    if last is None:
        return None
    return {
        "last_run_id": last[0],
        "last_status": last[2],
        "last_ended_at": last[3],
        "failures": failures,
        "failing_since": since,
        "last_good_id": good[0] if good else None,
        "last_good_at": good[3] if good else None,
    }


def fill(apps, schema_editor):
    Job, JobHealth = apps.get_model("jobs", "Job"), apps.get_model("runs", "JobHealth")
    runs = apps.get_model("runs", "Run").objects
    jobs, last = Job.objects.filter(health__isnull=True).order_by("pk"), 0
    while batch := list(jobs.filter(pk__gt=last).values_list("pk", flat=True)[:JOBS]):
        found = [(job_id, _describe(_list_counted(runs, job_id))) for job_id in batch]
        rows = [JobHealth(job_id=job_id, **columns) for job_id, columns in found if columns]
        with transaction.atomic():
            JobHealth.objects.bulk_create(rows, ignore_conflicts=True)
        last = batch[-1]


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("runs", "0037_job_health")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
