"""Runs of unsaved text and settings of a job, launched in its editor."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.revisions import ensure_revision
from cronium_admin.jobs.service import build_unsaved_job
from cronium_admin.runs.launch import Origin, create_queued_run, refuse_disabled
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import NO_OVERRIDES, SCRIPT
from cronium_admin.runs.snapshot import build_snapshot
from cronium_admin.runs.triggers import Trigger

# What a try takes from the stored job: its names, and what decides how its runs are counted.
_STORED = ("name", "slug", "tags", "concurrency")


def launch_try(stored: Job, data: Mapping[str, Any], by: User) -> Run:
    """Creates a queued run of the job with `data` (as of `save_job`) instead of its stored settings.

    The caller has checked that `by` may edit and run the job. The run has no retries. It counts in no statistic of the
    job. Raises the errors of `save_job` and `launch`.
    """
    unsaved = build_unsaved_job(stored, data, by)
    refuse_disabled(unsaved)
    for name in _STORED:
        setattr(unsaved, name, getattr(stored, name))
    snapshot = build_snapshot(unsaved, NO_OVERRIDES, unsaved.profile, by)
    # A rerun needs the permission to edit, as the try did.
    snapshot |= {"overridden": [SCRIPT], "retry": None}
    with transaction.atomic():
        if not stored.revisions.filter(number=stored.revision).exists():
            Job.objects.select_for_update(of=("self",)).get(pk=stored.pk)
            ensure_revision(stored)
        return create_queued_run(unsaved, by, snapshot, Origin(Trigger.TRY))
