"""Builds and validates the snapshot of a launch: every value that decides the run. Stores nothing."""

from typing import Any

from django.core.exceptions import ValidationError

from cronium_admin.accounts.models import User
from cronium_admin.images.reference import validate_reference
from cronium_admin.images.resolution import resolve_custom, resolve_image
from cronium_admin.jobs.concurrency import validate_priority
from cronium_admin.jobs.models import Job, Network
from cronium_admin.jobs.validation import validate_apart, validate_env
from cronium_admin.profiles.limits import CPU, LOG_LIMIT_MB, MEMORY_MB, PIDS, TIMEOUT, resolve_log_limit
from cronium_admin.profiles.models import Profile
from cronium_admin.registries.rules import check_use
from cronium_admin.runs.concurrency import compute_run_key
from cronium_admin.runs.input_check import check_input, collect_input_errors, complete_input
from cronium_admin.runs.overrides import UNSET, Overrides
from cronium_admin.runs.start_time import check_not_before


def find_launch_profile(job: Job, name: str) -> Profile | None:
    # The job's profile if `name` is empty; None if there is no such profile
    if name in ("", job.profile.name):
        return job.profile
    return Profile.objects.filter(name=name).first() if "\0" not in name else None


def build_snapshot(job: Job, overrides: Overrides, profile: Profile | None, by: User | None) -> dict[str, Any]:
    """Every value of the run. `profile` is None if the launch names an unknown profile; `by` is the launcher.

    Raises ValidationError by field. All values are validated, because a ceiling may have been lowered since the job
    was saved.
    """
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
        "input": complete_input(job, job.input if overrides.input is UNSET else overrides.input),
        "priority": job.priority if overrides.priority is None else overrides.priority,
    }
    problems |= collect_input_errors(check_input(job, values["input"], by))
    _check_values(values, problems, job, overrides, profile)
    choice = resolve_custom(resolve_image(job.language, run=overrides.image, job=job.image), job.project_id)
    check_use(choice.reference, job.project_id)
    return values | {
        "job_revision": job.revision,
        "language": job.language,
        "secrets": job.secrets,
        "image": choice.reference,
        "image_rule": choice.rule,
        "image_digest": choice.digest,
        "image_resolved": choice.resolved,
        "pull_policy": job.pull_policy,
        "profile_name": profile.name,
        "log_limit_mb": limits.log_limit_mb
        if overrides.log_limit_mb is None
        else resolve_log_limit(overrides.log_limit_mb),
        "on_log_limit": job.on_log_limit,
        "streams": job.streams,
        "network": job.network,
        "egress": job.egress if job.network == Network.EGRESS else [],
        "queue": job.queue,
        "concurrency_key": compute_run_key(job, values["input"]),
        "runtime": profile.runtime,
        "read_only_root": job.read_only_root,
        "retry": job.retry,
        "not_before": check_not_before(overrides.not_before),
    }


def _check_values(
    values: dict[str, Any], problems: dict[str, list[str]], job: Job, overrides: Overrides, profile: Profile
) -> None:
    checks: dict[str, Any] = {bound.field: bound.check_value for bound in (CPU, MEMORY_MB, PIDS, TIMEOUT)}
    checks |= {"env": validate_env, "priority": validate_priority}
    for name, check in checks.items():
        _collect_problems(problems, name, check, values[name])
    _add_profile_hints(problems, profile, job if profile is job.profile else None, overrides)
    _collect_problems(problems, "env", lambda env: validate_apart(env, job.secrets), values["env"])
    if overrides.log_limit_mb is not None:
        _collect_problems(problems, "log_limit_mb", LOG_LIMIT_MB.check_value, overrides.log_limit_mb)
    _collect_problems(problems, "not_before", check_not_before, overrides.not_before)
    if overrides.image:
        _collect_problems(problems, "image", validate_reference, overrides.image)
    if problems:
        raise ValidationError({name: [ValidationError(text) for text in texts] for name, texts in problems.items()})


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
