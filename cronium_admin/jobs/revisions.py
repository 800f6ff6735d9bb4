"""Creates the revisions of jobs: one per save that changes a setting, in the transaction of the save."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from cronium_admin.accounts.models import User
from cronium_admin.core.database.shared_rows import get_or_create_locked
from cronium_admin.core.json_text import format_exact
from cronium_admin.jobs.job_fields import DEFAULTS, EXACT_FIELDS, JOB_FIELDS
from cronium_admin.jobs.models import Job, JobRevision, ScriptText


@dataclass(frozen=True)
class CanonicalSettings:
    """A job's settings as a revision stores them. Equal settings have the same text and digest."""

    text: str
    digest: str


def canonicalize_job(job: Job) -> CanonicalSettings:
    own = {name: getattr(job, name) for name in JOB_FIELDS - {"profile", "cpu"}}
    own = {name: value for name, value in own.items() if name not in DEFAULTS or value != DEFAULTS[name]}
    values = own | {"profile": job.profile.name, "cpu": None if job.cpu is None else float(job.cpu)}
    parts = {name: _format_setting(name, value) for name, value in values.items()}
    everything = _join_parts(parts)
    del parts["script"]
    return CanonicalSettings(_join_parts(parts), hashlib.sha256(everything.encode()).hexdigest())


def _format_setting(name: str, value: Any) -> str:
    return format_exact(value, sort_keys=name not in EXACT_FIELDS)


def is_same_setting(name: str, one: Any, other: Any) -> bool:
    """Whether both values of the setting `name` have the same text in a revision."""
    return one is other or _format_setting(name, one) == _format_setting(name, other)


def _join_parts(parts: dict[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{parts[name]}" for name in sorted(parts)) + "}"


def digest_script(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def create_revision(job: Job, by: User, changed: Collection[str] = (), restored_from: int | None = None) -> JobRevision:
    """Stores the settings that `job` has in memory. Call it in the transaction that saves the job."""
    row = _build_revision(job, changed=sorted(changed), restored_from=restored_from)
    row.by, row.by_name = by, by.get_username()
    row.save()
    return row


def ensure_revision(job: Job) -> JobRevision:
    """The row of the job's revision. Creates it for a job that was stored without the service.

    Call it in a transaction that has locked the job's row.
    """
    row = job.revisions.filter(number=job.revision).first()
    if row is None:
        row = _build_revision(job, changed=None, at=job.updated_at, by=job.updated_by)
        row.by_name = job.updated_by.get_username() if job.updated_by else ""
        row.save()
    return row


def _build_revision(job: Job, **columns: Any) -> JobRevision:
    stored: ScriptText = get_or_create_locked(ScriptText, digest_script(job.script), text=job.script)
    canonical = canonicalize_job(job)
    own = {"settings": canonical.text, "digest": canonical.digest, "script": stored}
    return JobRevision(job=job, number=job.revision, **own, **columns)
