"""Creates the jobs and schedules of an import. Each entry is one transaction; one that exists is skipped.

An import that was interrupted is repeated with the same file: it creates only what is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.db import transaction

from cronium_admin.accounts.models import User
from cronium_admin.core.edit_versions import EditConflict
from cronium_admin.core.errors import ApiError, collect_field_errors, summarize_fields
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import create_job
from cronium_admin.schedules import service
from cronium_admin.schedules.crontab.plan import Plan, Proposal, make_slug
from cronium_admin.schedules.models import Kind, Missed, Overlap, Schedule
from cronium_admin.secrets.service import save_secret

SCHEDULE_NAME = "crontab"
TAG = "crontab"


@dataclass(frozen=True)
class Choice:
    """What the user chose for the entry of a line. An empty name is the proposed one."""

    line: int
    name: str = ""
    skip: bool = False


@dataclass
class ImportResult:
    """`skipped` and `failed` are pairs of line and reason."""

    created: list[tuple[int, Job, Schedule | None]] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)


def import_entries(user: User, plan: Plan, choices: Mapping[int, Choice] | None = None) -> ImportResult:
    """Without `choices`, all entries that do not exist yet. With it, the entries of these lines.

    Raises ValidationError for a line without an entry, and ApiError if a secret can't be stored.
    """
    _check_lines(plan, choices)
    result, chosen = ImportResult(), []
    for proposal in plan.proposals:
        line = proposal.entry.line
        choice = Choice(line) if choices is None else choices.get(line, Choice(line, skip=True))
        name = " ".join(choice.name.split()) or proposal.name
        if choice.skip:
            result.skipped.append((line, "It was not chosen."))
        elif proposal.existing and name == proposal.name:
            result.skipped.append((line, f"The job {proposal.existing} exists already."))
        else:
            chosen.append((proposal, name))
    _store_secrets(user, plan, {name for proposal, _ in chosen for name in proposal.secrets})
    for proposal, name in chosen:
        _import_one(user, proposal, name, result)
    return result


def _check_lines(plan: Plan, choices: Mapping[int, Choice] | None) -> None:
    known = {proposal.entry.line for proposal in plan.proposals}
    if unknown := sorted((choices or {}).keys() - known):
        raise ValidationError({"entries": [f"Line {str(unknown[0])[:20]} of the file has no entry."]})


def _store_secrets(user: User, plan: Plan, names: set[str]) -> None:
    for variable in plan.variables:
        if variable.name not in names or variable.is_stored or variable.value is None:
            continue
        try:
            save_secret(variable.name, variable.value, "From a crontab", user, 0)
        except EditConflict:
            continue  # another user stored it in the meantime
        except ValidationError as error:
            raise ValidationError({"secrets": [f"{variable.name}: {text}" for text in error.messages]}) from None


def _import_one(user: User, proposal: Proposal, name: str, result: ImportResult) -> None:
    line = proposal.entry.line
    try:
        with transaction.atomic():
            job = create_job(_make_job(proposal, name), user)
            schedule = None if proposal.rule_problem else service.create_schedule(job, _make_schedule(proposal), user)
    except ApiError as error:
        if error.code != "slug_taken":
            raise
        result.skipped.append((line, f"The job {make_slug(name)} exists already."))
    except ValidationError as error:
        fields = collect_field_errors(error)
        if any("There is a job with the slug" in text for text in fields.get("slug", [])):
            result.skipped.append((line, f"The job {make_slug(name)} exists already."))
        else:
            result.failed.append((line, summarize_fields(fields)))
    else:
        result.created.append((line, job, schedule))


def _make_job(proposal: Proposal, name: str) -> dict[str, object]:
    return {
        "name": name,
        "slug": proposal.slug if name == proposal.name else make_slug(name),
        "language": "bash",
        "script": proposal.script,
        "env": proposal.env,
        "secrets": proposal.secrets,
        "tags": [TAG],
        "enabled": not proposal.entry.is_commented,
    }


def _make_schedule(proposal: Proposal) -> dict[str, object]:
    """Disabled. Cron runs no missed times, and starts a run beside a live one."""
    return {
        "name": SCHEDULE_NAME,
        "kind": Kind.CRON,
        "rule": proposal.entry.rule,
        "timezone": proposal.timezone,
        "enabled": False,
        "missed": Missed.NONE,
        "overlap": Overlap.ALLOW,
        "jitter_seconds": proposal.entry.delay_seconds,
    }
