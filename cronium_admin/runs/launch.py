"""Launches and reruns runs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, FilteredRelation, Q, QuerySet

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import Now
from cronium_admin.core.database.compiled import CompiledQuery
from cronium_admin.core.errors import ApiError
from cronium_admin.core.request_clock import read_request_age
from cronium_admin.core.wakeup import wake_workers
from cronium_admin.jobs.models import Job, JobRevision
from cronium_admin.jobs.revisions import canonicalize_job, digest_script, ensure_revision
from cronium_admin.runs import events, outbox, trace
from cronium_admin.runs.concurrency import find_full_limit, settle_launch
from cronium_admin.runs.errors import make_deleted_error
from cronium_admin.runs.idempotency import IdempotencyRecord
from cronium_admin.runs.input_values import list_input_values, store_input_values, summarize_values
from cronium_admin.runs.models import BUILD_TRIGGER, OutboxConsumer, Run
from cronium_admin.runs.overrides import NO_OVERRIDES, Overrides, check_overrides, check_priority
from cronium_admin.runs.rerun import build_rerun, take_number_of_deleted
from cronium_admin.runs.run_settings import SETTINGS, find_differences, get_revision_settings
from cronium_admin.runs.snapshot import build_snapshot, find_launch_profile
from cronium_admin.runs.triggers import Trigger
from cronium_admin.warm import rows as warm


@dataclass(frozen=True)
class Origin:
    """What launched a run, if it is more than a user's request. `text` names it in the run's first event.

    `caused_by` is its kind and id, such as "schedule:12". `scheduled_for` is the nominal time. `must_wait`: another
    run with the same `serial_key` is live, so this one takes no waiting sandbox.
    """

    trigger: str
    text: str = ""
    caused_by: str = ""
    scheduled_for: datetime | None = None
    serial_key: str | None = None
    must_wait: bool = False

    @property
    def columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("trigger", "caused_by", "scheduled_for", "serial_key")}


def launch(
    job: Job,
    by: User | None,
    overrides: Overrides = NO_OVERRIDES,
    *,
    trigger: str = Trigger.API,
    idempotency_key: str = "",
    origin: Origin | None = None,
) -> Run:
    """Creates a queued run of `job`, or returns the run that the same user created with the same key and request.

    `origin` replaces `trigger`. Without `by` the project launches: the caller has checked the overrides.

    Raises ApiError for a disabled job (409), for a key reused with another request (409), and for another image,
    environment or runtime, or a higher priority, without the permission (403); ValidationError by field for values out
    of bounds. If the job's limit allows no further run, the run waits, or has ended already: see `concurrency`.
    """
    if (origin.trigger if origin else trigger) == BUILD_TRIGGER:
        raise ValueError("A job's run can't be a build.")
    profile = find_launch_profile(job, overrides.profile)
    changed = overrides.changed_fields(job, profile)
    if by is not None:
        check_overrides(job, changed, by)
        check_priority(job, overrides, by)
    receipt = IdempotencyRecord(idempotency_key, by, overrides.compute_digest()) if by and idempotency_key else None
    if receipt and (earlier := receipt.find_run(job)):
        return earlier
    refuse_disabled(job)
    snapshot = build_snapshot(job, overrides, profile, by) | {"overridden": changed}
    try:
        return create_queued_run(job, by, snapshot, origin or Origin(trigger), receipt)
    except IntegrityError:
        # A concurrent request with the same key was first: return its run.
        if receipt and (earlier := receipt.find_run(job)):
            return earlier
        raise


def rerun(run: Run, by: User, *, idempotency_key: str = "") -> Run:
    """Creates a run with the snapshot of `run`, its parent; works also if the job is disabled or deleted.

    Returns the existing run if the same user reran `run` with this key before. Raises the errors of `build_rerun`,
    and ApiError 409 for a reused key as `launch` does. The new run's first event lists the differences from `run`.
    """
    repeat = build_rerun(run, by)
    trigger = Trigger.TRY if run.trigger == Trigger.TRY else Trigger.RERUN  # counts as little as the try
    request = hashlib.sha256(f"rerun {run.pk}".encode()).hexdigest()
    receipt = IdempotencyRecord(idempotency_key, by, request) if idempotency_key else None
    if receipt and (earlier := receipt.find_run(run.job)):
        return earlier
    try:
        return create_queued_run(run.job, by, repeat.values, Origin(trigger), receipt, parent=run, notes=repeat.notes)
    except IntegrityError:
        if receipt and (earlier := receipt.find_run(run.job)):
            return earlier
        if Run.objects.filter(pk=run.pk).exists():
            raise
        raise make_deleted_error(run) from None


def refuse_disabled(job: Job) -> None:
    if not job.enabled:
        raise ApiError(409, "job_disabled", f"The job {job.slug} is disabled. Enable it in its settings to run it.")


def create_queued_run(
    job: Job | None,
    by: User | None,
    snapshot: dict[str, Any],
    origin: Origin,
    receipt: IdempotencyRecord | None = None,
    parent: Run | None = None,
    notes: Sequence[str] = (),
) -> Run:
    """Stores a run with the values of `snapshot`. `parent` is the run that it repeats, if it does.

    `job` is None only for a rerun of a run whose job was deleted.
    """
    with transaction.atomic():
        if job is not None:
            number, has_consumer, revision_id, digest = _take_next_number(job)
            names = {"job_name": job.name, "job_slug": job.slug, "number": number}
        else:
            assert parent is not None
            number, has_consumer = take_number_of_deleted(parent), OutboxConsumer.objects.exists()
            # No constraint makes the keys of deleted jobs unique; the lock taken with the number does.
            if receipt and (earlier := receipt.find_run(None)):
                return earlier
            names = {"job_name": parent.job_name, "job_slug": parent.job_slug, "number": number}
            names |= {"run_keep_days": parent.run_keep_days, "log_keep_days": parent.log_keep_days}
        source = job or parent
        assert source is not None
        columns = {name: value for name, value in snapshot.items() if name not in (*SETTINGS, "script")}
        of_run = {name: snapshot[name] for name in (*SETTINGS, "script") if name in snapshot}
        if parent is not None:
            columns["revision_id"] = parent.revision_id
            columns["differs"] = find_differences(get_revision_settings(parent.revision.values), of_run)
        elif job is not None:
            columns |= _refer_to_revision(job, of_run, revision_id, digest)
        shown = list_input_values(job, of_run["input"]) if job is not None else {}
        columns["input_summary"] = summarize_values(shown)
        full = find_full_limit(job, {**columns, "trigger": origin.trigger})
        must_wait = origin.must_wait or full or columns.get("not_before")
        columns |= {} if must_wait else _take_sandbox(columns)
        run = Run.objects.create(
            project_id=source.project_id,
            job=job,
            **names,
            parent=parent,
            created_by=by,
            request_digest=receipt.digest if receipt else "",
            trace=trace.pack_launch(read_request_age()),
            **origin.columns,
            **(receipt.columns if receipt else {}),
            **columns,
        )
        run.remember_settings(of_run)
        store_input_values(run, shown)
        if has_consumer:
            outbox.insert_event(run.pk, "queued", {"status": run.status})
        actor = by.get_username() if by else ""
        queued_by = " for ".join(name for name in (origin.text, actor) if name)
        events.record_event(run.pk, "queued", " ".join([f"Queued by {queued_by}{'.' if notes else ''}", *notes]), actor)
        if full:
            settle_launch(run, full)
        if run.is_live:
            # All others leave a run with a waiting sandbox to its host.
            to = f"host.{run.warm_host}" if run.warm_host else run.queue
            transaction.on_commit(lambda: wake_workers(str(run.pk), to))
    return run


def _take_sandbox(columns: dict[str, Any]) -> dict[str, Any]:
    """The columns of a run that takes a waiting sandbox: its id, because the names of the containers contain it."""
    taken = warm.take(columns)
    if taken is None:
        return {}
    return {"id": taken.id, "warm_host": taken.host, "warm_until": Now() + warm.PROMISE_DURATION}


def _take_next_number(job: Job) -> tuple[int, bool, int | None, str | None]:
    """Number of the job's next run; whether the outbox has a consumer; id and digest of the revision of `job`.

    Locks the job's row.
    """
    if not Job.objects.filter(pk=job.pk).update(last_run_number=F("last_run_number") + 1):
        raise ApiError(409, "job_deleted", f"The job {job.slug} was deleted a moment ago.")
    [(number, has_consumer, revision, digest)] = _READ_NUMBER.fetch(job=job.pk, revision=job.revision)
    return int(number), bool(has_consumer), revision, digest


def _select_number(job: int, revision: int) -> "QuerySet[Job, tuple[int, bool, int | None, str | None]]":
    # The revision that the job was loaded with: the row may have a newer one by now.
    loaded = FilteredRelation("revisions", condition=Q(revisions__number=revision))
    names = ("last_run_number", outbox.HAS_CONSUMER, "loaded__id", "loaded__digest")
    return Job.objects.annotate(loaded=loaded).filter(pk=job).values_list(*names)


_READ_NUMBER = CompiledQuery(_select_number, job=Job._meta.pk, revision=JobRevision._meta.get_field("number"))


def _refer_to_revision(job: Job, of_run: dict[str, Any], revision_id: int | None, digest: str | None) -> dict[str, Any]:
    """The columns of a run that refer to the job's revision; its id and digest are None if it is not stored.

    The run has the settings of `job` as it was loaded, even if its row was changed without the service.
    """
    if digest == canonicalize_job(job).digest:
        settings = {name: getattr(job, name) for name in (*SETTINGS, "network")}
        return {"revision_id": revision_id, "differs": find_differences(get_revision_settings(settings), of_run)}
    rows = JobRevision.objects.select_related("script")
    stored = ensure_revision(job) if revision_id is None else rows.get(pk=revision_id)
    if stored.script.digest != digest_script(job.script):
        of_run = {**of_run, "script": job.script}
    return {"revision": stored, "differs": find_differences(get_revision_settings(stored.values), of_run)}
