"""Launches, cancels and reruns runs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F

from cronium_admin.accounts.models import User
from cronium_admin.core.errors import ApiError
from cronium_admin.core.wakeup import wake_workers
from cronium_admin.images.reference import validate_reference
from cronium_admin.images.resolution import resolve_image
from cronium_admin.jobs.models import Job, Network
from cronium_admin.jobs.validation import validate_apart, validate_env, validate_input
from cronium_admin.profiles.limits import CPU, LOG_LIMIT_MB, MEMORY_MB, PIDS, TIMEOUT, resolve_log_limit
from cronium_admin.profiles.models import Profile
from cronium_admin.runs import events, state_machine
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import NO_OVERRIDES, UNSET, Overrides, check_overrides
from cronium_admin.runs.rerun import build_rerun, take_number_of_deleted
from cronium_admin.runs.shared_texts import store_script


def launch(
    job: Job,
    by: User | None,
    overrides: Overrides = NO_OVERRIDES,
    *,
    trigger: str = "api",
    idempotency_key: str = "",
) -> Run:
    """Creates a queued run of `job`, or returns the run that the same user created with the same key and request.

    Raises ApiError for a disabled job (409), for a key reused with another request (409), and for another image,
    environment or runtime without the permission (403); ValidationError by field for values out of bounds.
    """
    profile = _find_profile(job, overrides.profile)
    changed = overrides.changed_fields(job, profile)
    check_overrides(job, changed, by)
    receipt = IdempotencyRecord(idempotency_key, by, overrides.compute_digest()) if idempotency_key else None
    if receipt and (earlier := receipt.find_run(job)):
        return earlier
    _refuse_disabled(job)
    snapshot = _build_snapshot(job, overrides, profile) | {"overridden": changed}
    try:
        return _create_queued_run(job, by, snapshot, trigger, receipt)
    except IntegrityError:
        # A concurrent request with the same key was first: return its run.
        if receipt and (earlier := receipt.find_run(job)):
            return earlier
        raise


@dataclass(frozen=True)
class IdempotencyRecord:
    """An idempotency key of a user, and the digest of the request sent with it."""

    key: str
    by: User | None
    digest: str

    @property
    def columns(self) -> dict[str, Any]:
        return {"idempotency_key": self.key, "idempotency_by": self.by.pk if self.by else 0}

    def find_run(self, job: Job | None) -> Run | None:
        """The run of `job` created with this key. Raises ApiError 409 if another request created it.

        `job` is None for runs of deleted jobs.
        """
        earlier = Run.objects.filter(job=job, **self.columns).first()
        if earlier and earlier.request_digest not in ("", self.digest):
            text = (
                f"This Idempotency-Key already created the run {earlier.pk} (#{earlier.number}) from another request. "
                "Send the same body to get that run, or use a new key."
            )
            raise ApiError(409, "idempotency_key_reused", text, {"Idempotency-Key": [text]})
        return earlier


def rerun(run: Run, by: User | None, *, idempotency_key: str = "") -> Run:
    """Creates a run with the snapshot of `run`, which becomes its parent; works also if the job is disabled or
    deleted.

    Returns the existing run if the same user reran `run` with this key before. Raises the errors of `build_rerun`,
    and ApiError 409 for a reused key as `launch` does. The new run's first event lists the differences from `run`.
    """
    repeat = build_rerun(run, by)
    request = hashlib.sha256(f"rerun {run.pk}".encode()).hexdigest()
    receipt = IdempotencyRecord(idempotency_key, by, request) if idempotency_key else None
    if receipt and (earlier := receipt.find_run(run.job)):
        return earlier
    try:
        return _create_queued_run(run.job, by, repeat.values, "rerun", receipt, parent=run, notes=repeat.notes)
    except IntegrityError:
        if receipt and (earlier := receipt.find_run(run.job)):
            return earlier
        if Run.objects.filter(pk=run.pk).exists():
            raise
        raise _make_deleted_error(run) from None


def _make_deleted_error(run: Run) -> ApiError:
    return ApiError(404, "not_found", f"The run {run} was deleted a moment ago.")


def cancel(run: Run, by: User | None) -> None:
    """Ends a queued run at once; asks the host of a running one to stop its container. May be repeated.

    Raises ApiError 409 for a run that has already ended, and 404 for a run deleted in the meantime.
    """
    try:
        _request_cancel(run, by)
    except Run.DoesNotExist:
        raise _make_deleted_error(run) from None


def _request_cancel(run: Run, by: User | None) -> None:
    name = by.get_username() if by else "the system"
    while True:  # repeat: between the two updates the run may be claimed or requeued
        if state_machine.cancel_queued(run.pk, name):
            return
        if state_machine.request_cancel(run.pk, by.pk if by else None, name):
            host = Run.objects.values_list("host", flat=True).get(pk=run.pk)
            return wake_workers(str(run.pk), f"host.{host}")
        run.refresh_from_db()
        if not run.is_live:
            raise ApiError(
                409, "already_ended", f"This run has already ended with the status {run.get_status_display().lower()}."
            )
        if run.cancel_requested_at:
            return


def _refuse_disabled(job: Job) -> None:
    if not job.enabled:
        raise ApiError(409, "job_disabled", f"The job {job.slug} is disabled. Enable it in its settings to run it.")


def _find_profile(job: Job, name: str) -> Profile | None:
    # The job's profile if `name` is empty; None if there is no such profile
    if name in ("", job.profile.name):
        return job.profile
    return Profile.objects.filter(name=name).first() if "\0" not in name else None


def _build_snapshot(job: Job, overrides: Overrides, profile: Profile | None) -> dict[str, Any]:
    # All values that decide the run. They are validated together, because a ceiling may have been lowered since the
    # job was saved. `profile` is None if the launch names an unknown profile.
    problems: dict[str, list[str]] = {}
    if profile is None:
        names = ", ".join(Profile.objects.values_list("name", flat=True))
        problems["profile"] = [f"There is no profile {overrides.profile[:40]!r}. There are: {names}."]
        profile = job.profile
    limits = job.limits if profile is job.profile else profile.limits
    values: dict[str, Any] = {
        "cpu": overrides.cpu if overrides.cpu is not None else limits.cpu,
        "memory_mb": overrides.memory_mb if overrides.memory_mb is not None else limits.memory_mb,
        "pids": overrides.pids if overrides.pids is not None else limits.pids,
        "timeout_seconds": job.timeout_seconds if overrides.timeout_seconds is None else overrides.timeout_seconds,
        "env": {**job.env, **overrides.env},
        "input": job.input if overrides.input is UNSET else overrides.input,
    }
    checks: dict[str, Any] = {bound.field: bound.check_value for bound in (CPU, MEMORY_MB, PIDS, TIMEOUT)}
    checks |= {"env": validate_env, "input": validate_input}
    for name, check in checks.items():
        _collect_problems(problems, name, check, values[name])
    _add_profile_hints(problems, profile, job if profile is job.profile else None, overrides)
    _collect_problems(problems, "env", lambda env: validate_apart(env, job.secrets), values["env"])
    if overrides.log_limit_mb is not None:
        _collect_problems(problems, "log_limit_mb", LOG_LIMIT_MB.check_value, overrides.log_limit_mb)
    if overrides.image:
        _collect_problems(problems, "image", validate_reference, overrides.image)
    if problems:
        raise ValidationError({name: [ValidationError(text) for text in texts] for name, texts in problems.items()})
    choice = resolve_image(job.language, run=overrides.image, job=job.image)
    return values | {
        "job_revision": job.revision,
        "language": job.language,
        "secrets": job.secrets,
        "script": job.script,
        "image": choice.reference,
        "image_rule": choice.rule,
        "profile_name": profile.name,
        "log_limit_mb": limits.log_limit_mb
        if overrides.log_limit_mb is None
        else resolve_log_limit(overrides.log_limit_mb),
        "on_log_limit": job.on_log_limit,
        "streams": job.streams,
        "network": job.network,
        "egress": job.egress if job.network == Network.EGRESS else [],
        "queue": job.queue,
        "runtime": profile.runtime,
        "read_only_root": job.read_only_root,
    }


def _add_profile_hints(problems: dict[str, list[str]], profile: Profile, job: Job | None, overrides: Overrides) -> None:
    # Adds a hint to errors of limits that come from the profile. `job` is None if the launch chose another profile, so
    # that the job's own limits do not apply.
    for name in problems.keys() & {"cpu", "memory_mb", "pids"}:
        if getattr(overrides, name) is None and getattr(job, name, None) is None:
            hint = f"The profile {profile.name} sets this value: change the profile, or choose another one."
            problems[name].append(hint)


def _collect_problems(problems: dict[str, list[str]], name: str, check: Any, value: Any) -> None:
    try:
        check(value)
    except ValidationError as error:
        problems.setdefault(name, []).extend(error.messages)


def _create_queued_run(
    job: Job | None,
    by: User | None,
    snapshot: dict[str, Any],
    trigger: str,
    receipt: IdempotencyRecord | None = None,
    parent: Run | None = None,
    notes: Sequence[str] = (),
) -> Run:
    # `job` is None only for a rerun of a run whose job was deleted
    with transaction.atomic():
        if job is not None:
            names = {"job_name": job.name, "job_slug": job.slug, "number": _take_next_number(job)}
        else:
            assert parent is not None
            number = take_number_of_deleted(parent)
            # No constraint makes the keys of deleted jobs unique; the lock taken with the number does.
            if receipt and (earlier := receipt.find_run(None)):
                return earlier
            names = {"job_name": parent.job_name, "job_slug": parent.job_slug, "number": number}
            names |= {"run_keep_days": parent.run_keep_days, "log_keep_days": parent.log_keep_days}
        columns = {name: value for name, value in snapshot.items() if name != "script"}
        run = Run.objects.create(
            job=job,
            **names,
            parent=parent,
            trigger=trigger,
            created_by=by,
            request_digest=receipt.digest if receipt else "",
            **(receipt.columns if receipt else {}),
            script_text=store_script(snapshot["script"]),
            **columns,
        )
        name = by.get_username() if by else ""
        text = " ".join([f"Queued by {name or 'the system'}{'.' if notes else ''}", *notes])
        events.record_event(run.pk, "queued", text, name)
        transaction.on_commit(lambda: wake_workers(str(run.pk), run.queue))
    return run


def _take_next_number(job: Job) -> int:
    if not Job.objects.filter(pk=job.pk).update(last_run_number=F("last_run_number") + 1):
        raise ApiError(409, "job_deleted", f"The job {job.slug} was deleted a moment ago.")
    return int(Job.objects.values_list("last_run_number", flat=True).get(pk=job.pk))
