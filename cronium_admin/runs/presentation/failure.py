"""The banner of a failed run: why it failed, where, how often in a row, and what has changed since."""

from dataclasses import dataclass

from cronium_admin.jobs.line_map import find_line_in
from cronium_admin.jobs.models import JobRevision
from cronium_admin.runs.job_health import BAD
from cronium_admin.runs.lookup import find_last_success
from cronium_admin.runs.models import BUILD_TRIGGER, Run
from cronium_admin.runs.presentation.since_success import count_streak
from cronium_admin.runs.presentation.why import Why, explain_run


@dataclass(frozen=True)
class Newest:
    """The job's newest revision, if the run had an earlier one. `has_run`: a later run had it."""

    revision: JobRevision
    has_run: bool
    is_same_script: bool


@dataclass(frozen=True)
class Failure:
    """`log_line` and `script_line` are None if unknown. `newest_line` is the script's line in the newest revision."""

    why: Why
    file: str
    log_line: int | None
    script_line: int | None
    newest_line: int | None
    streak: int
    good: Run | None
    newest: Newest | None

    @property
    def is_line_gone(self) -> bool:
        return self.script_line is not None and self.newest_line is None


def has_failed(run: Run) -> bool:
    return run.status in BAD


def find_newest(run: Run) -> Newest | None:
    if run.job is None or run.job.revision <= run.job_revision:
        return None
    revision = run.job.revisions.defer("settings").filter(number=run.job.revision).first()
    if revision is None:
        return None
    is_same = "script" not in (run.differs or {}) and revision.script_id == run.revision.script_id
    later = Run.objects.filter(job=run.job_id, number__gt=run.number, job_revision=revision.number)
    return Newest(revision, later.exists(), is_same)


def build_failure(run: Run, newest: Newest | None) -> Failure | None:
    """None unless the run failed."""
    if not has_failed(run):
        return None
    error = run.error if isinstance(run.error, dict) else {}
    is_build = run.trigger == BUILD_TRIGGER
    script_line = None if is_build else error.get("script_line")
    good = find_last_success(run)
    return Failure(
        why=explain_run(run),
        file=str(error.get("file") or ""),
        log_line=None if run.log_pruned_at else error.get("line"),
        script_line=script_line,
        newest_line=_find_newest_line(run, newest, script_line) if script_line else None,
        streak=0 if is_build or run.job_id is None else count_streak(run, good),
        good=good,
        newest=newest,
    )


def _find_newest_line(run: Run, newest: Newest | None, line: int) -> int | None:
    if newest is None and "script" not in (run.differs or {}):
        return line
    if newest and newest.is_same_script:
        return line
    return find_line_in(run.script, run.job.script, line) if run.job else None
