"""Reads what `advice` needs of a job: one query for its runs, one for the profiles."""

from typing import Any

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.profiles.service import list_launch_profiles
from cronium_admin.runs.advice import Advice, JobFacts, RunFacts, find_advice
from cronium_admin.runs.models import TERMINAL
from cronium_admin.runs.triggers import Trigger

MAX_RUNS = 50
MB = 1024 * 1024
_COLUMNS = (
    *("status", "reason", "cpu", "memory_mb", "pids", "log_limit_mb", "timeout_seconds", "attempt", "not_before"),
    *("created_at", "claimed_at", "started_at", "finished_at", "peak_memory_bytes", "cpu_seconds", "trace"),
    *("first_sent_ms", "log_dropped_bytes"),
)


def read_advice(job: Job, user: User) -> list[Advice]:
    """From the last MAX_RUNS ended runs of the job; `user` decides which profiles are offered."""
    runs = (
        job.runs.filter(status__in=[status.value for status in TERMINAL])
        .exclude(trigger=Trigger.TRY)
        .order_by("-created_at", "-pk")
    )
    facts = [_read_run(run) for run in runs.only(*_COLUMNS)[:MAX_RUNS]]
    profiles = [(profile.name, profile.limits) for profile in list_launch_profiles(job.profile, user, job)]
    return find_advice(JobFacts(job.limits, job.timeout_seconds, profiles), facts)


def _read_run(run: Any) -> RunFacts:
    due = max(run.created_at, run.not_before) if run.not_before else run.created_at
    return RunFacts(
        status=run.status,
        reason=run.reason,
        limits=run.limits,
        timeout=run.timeout_seconds,
        created_at=run.created_at,
        waited=max(0.0, (run.claimed_at - due).total_seconds()) if run.claimed_at else None,
        took=(run.finished_at - run.started_at).total_seconds() if run.started_at and run.finished_at else None,
        peak_memory_mb=None if run.peak_memory_bytes is None else run.peak_memory_bytes / MB,
        cpu_seconds=run.cpu_seconds,
        trace=run.trace_offsets,
        is_log_cut=run.log_dropped_bytes > 0 or run.reason == "output_limit",
        attempt=run.attempt,
    )
