"""Builds the snapshot of a rerun: the values of the first run, reduced to what the job and the caller may use today."""

from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Max, Q

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.concurrency import COMMON_KEY
from cronium_admin.jobs.egress_rules import intersect_patterns
from cronium_admin.jobs.models import Job, Network
from cronium_admin.jobs.network_policy import can_use_open_network
from cronium_admin.jobs.run_numbers import take_number
from cronium_admin.jobs.validation import validate_env
from cronium_admin.profiles.limits import BOUNDS
from cronium_admin.profiles.models import Profile
from cronium_admin.registries.rules import check_use
from cronium_admin.runs.concurrency import compute_run_key
from cronium_admin.runs.input_check import check_rerun_input
from cronium_admin.runs.models import BUILD_TRIGGER, Run
from cronium_admin.runs.overrides import RUNTIME, Overrides, check_overrides
from cronium_admin.secrets.service import find_missing

SNAPSHOT_FIELDS = (
    *(
        "job_revision",
        "language",
        "image",
        "image_rule",
        "image_digest",
        "image_resolved",
        "env",
        "profile_name",
        "cpu",
    ),
    *("pull_policy", "memory_mb", "pids", "log_limit_mb", "on_log_limit", "streams"),
    *("timeout_seconds", "network", "egress", "queue", "runtime", "read_only_root", "input", "secrets", "retry"),
    *("priority", "concurrency_key"),
)
_CAPPED_LIMITS = ("cpu", "memory_mb", "pids", "timeout_seconds")


@dataclass
class RerunSnapshot:
    """The values of the new run, and sentences about its differences from the first run."""

    values: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def build_rerun(run: Run, by: User | None) -> RerunSnapshot:
    """The snapshot of `run` as `by` may run it today.

    The image is the same, by digest. Secrets and network are reduced to those that the job still has. If the job was
    deleted, `by` needs the permission to edit, and secrets are reduced to those that are still stored. Without `by`
    the project repeats a run that it launched.

    Raises ApiError 403 without the permission; ValidationError if a variable's name or value is no longer allowed,
    or if the input does not fit the job's schema of today.
    """
    if run.trigger == BUILD_TRIGGER:
        text = "This run built a custom image and can't be repeated. Build the image again instead."
        raise ApiError(409, "is_build", text)
    job = run.job
    overridden = _list_overridden(run, job)
    if by is None:
        assert job is not None
    elif job is not None:
        check_overrides(job, overridden, by)
    elif not can(by, Permission.EDIT, run):
        text = f"The job {run.job_slug} was deleted. A rerun of its runs needs the role Editor or higher."
        raise ApiError(403, "forbidden", text)
    try:
        validate_env(run.env)
    except ValidationError as error:
        raise ValidationError({"env": error.messages}) from error
    check_use(run.image, run.project_id)
    if job is not None:
        check_rerun_input(job, run.input, by)
    repeat = RerunSnapshot({name: getattr(run, name) for name in SNAPSHOT_FIELDS} | {"overridden": overridden})
    if "script" in (run.differs or {}):
        repeat.values["script"] = run.script
    if run.image_digest and "@" not in run.image:
        repeat.notes.append(f"With the image that run #{run.number} had, even if {run.image} names another one today.")
    _cut_secrets(repeat, run)
    _cut_network(repeat, run, by)
    _cut_limits(repeat)
    _update_runtime(repeat, job)
    repeat.values["priority"] = run.priority if job is None else job.priority
    repeat.values["concurrency_key"] = COMMON_KEY if job is None else compute_run_key(job, run.input)
    return repeat


def take_number_of_deleted(run: Run) -> int:
    """The next number among the runs of a deleted job. Call it in the transaction that stores the new run."""
    rows = Run.objects.filter(project=run.project_id, job__isnull=True, job_slug=run.job_slug)
    return take_number(run.project_id, run.job_slug, int(rows.aggregate(last=Max("number"))["last"] or run.number))


def _list_overridden(run: Run, job: Job | None) -> list[str]:
    # The restricted overrides of `run`; for runs of older versions, which did not record them, today's differences
    if run.overridden is not None:
        return list(run.overridden)
    image = run.image if run.image_rule == "run" else ""
    return Overrides(env=run.env, image=image).changed_fields(job) if job else []


def _cut_secrets(repeat: RerunSnapshot, run: Run) -> None:
    job = run.job
    names = list(repeat.values["secrets"])
    lost = [name for name in names if name not in job.secrets] if job else find_missing(names, run.project_id)
    if lost:
        repeat.values["secrets"] = [name for name in names if name not in lost]
        why = "the job no longer has" if job else "are no longer stored"
        repeat.notes.append(f"Without the secrets that {why}: {', '.join(lost)}.")


def _cut_network(repeat: RerunSnapshot, run: Run, by: User | None) -> None:
    job = run.job
    before, hosts = repeat.values["network"], repeat.values["egress"]
    if job is not None:
        network, egress = _intersect_networks(before, hosts, job.network, job.egress)
    else:
        network, egress = (
            (Network.ISOLATED, [])
            if before == Network.OPEN and not (by and can_use_open_network(by, run))
            else (before, hosts)
        )
    repeat.values |= {"network": network, "egress": egress}
    if network != before:
        why = "its job allows less today" if job else "the open network needs the role Administrator"
        repeat.notes.append(f"With the network {network} instead of {before}: {why}.")
    elif lost := [pattern for pattern in hosts if pattern not in egress]:
        repeat.notes.append(f"Without the hosts that the job no longer lists: {', '.join(lost)}.")


def _intersect_networks(
    network: str, egress: list[str], other_network: str, other_egress: list[str]
) -> tuple[str, list[str]]:
    if Network.NONE in (network, other_network):
        return Network.NONE, []
    if Network.ISOLATED in (network, other_network):
        return Network.ISOLATED, []
    if network == other_network == Network.OPEN:
        return Network.OPEN, []
    if network == Network.OPEN:
        return Network.EGRESS, list(other_egress)
    hosts = list(egress) if other_network == Network.OPEN else intersect_patterns(egress, other_egress)
    return (Network.EGRESS, hosts) if hosts else (Network.ISOLATED, [])


def _cut_limits(repeat: RerunSnapshot) -> None:
    for name in _CAPPED_LIMITS:
        high = BOUNDS[name].high
        if repeat.values[name] > high:
            repeat.notes.append(f"With {name} {high}, today's ceiling, instead of {repeat.values[name]}.")
            repeat.values[name] = high


def _update_runtime(repeat: RerunSnapshot, job: Job | None) -> None:
    # Applies a changed runtime to reruns too, because the runtime isolates the script. The job's profile decides if it
    # names a runtime and the launch chose no other runtime; else the run's profile decides.
    name, own = repeat.values["profile_name"], job.profile_id if job else 0
    profiles = list(Profile.objects.filter(Q(name=name) | Q(pk=own)))
    chosen = RUNTIME in repeat.values["overridden"]
    counts = [candidate for candidate in profiles if candidate.pk == own and candidate.runtime and not chosen]
    for profile in counts or [candidate for candidate in profiles if candidate.name == name]:
        if profile.runtime != repeat.values["runtime"]:
            repeat.values["runtime"] = profile.runtime
            runtime = f"the runtime {profile.runtime}" if profile.runtime else "the engine's default runtime"
            repeat.notes.append(f"With {runtime}, as the profile {profile.name} says today.")
