"""Acts on many runs at once: each run by itself, with the rights and checks of a single act."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permission_messages import explain_refusal
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.errors import ApiError, collect_field_errors, summarize_fields
from cronium_admin.jobs.retry import STATUSES as FAILURES
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.launch import rerun
from cronium_admin.runs.models import BUILD_TRIGGER, LIVE, TERMINAL, Run, Status

MAX_RUNS: Final = 500
_LONG = ("job__script", "job__env", "job__input", "sandbox", "output")


class RunAct(models.TextChoices):
    RERUN = "rerun", "Run again"
    RERUN_FAILED = "rerun_failed", "Run the failed again"
    CANCEL = "cancel", "Cancel"


@dataclass(frozen=True)
class RunResult:
    """`refused` says why nothing was done; without it, `is_changed` says whether anything had to be done.

    `made` is the new run of a rerun.
    """

    run: Run
    is_changed: bool = False
    refused: str = ""
    made: Run | None = None


def list_applicable(runs: "QuerySet[Run]", act: str, limit: int) -> list[UUID]:
    """The ids of the newest of `runs` whose status allows `act`."""
    statuses: Collection[str] = {RunAct.CANCEL: LIVE, RunAct.RERUN_FAILED: FAILURES}.get(RunAct(act), TERMINAL)
    allowed = runs.filter(status__in=sorted(statuses)).order_by("-created_at", "-pk")
    return list(allowed.values_list("pk", flat=True)[:limit])


def read_runs(user: User, ids: Collection[UUID]) -> list[Run]:
    """In the order of `ids`, without those that the user does not see."""
    rows = Run.objects.visible_to(user).select_related("job", "created_by", "revision").defer(*_LONG)
    found = {run.pk: run for run in rows.filter(pk__in=ids)}
    return [found[pk] for pk in dict.fromkeys(ids) if pk in found]


def find_refusals(user: User, runs: list[Run], act: str) -> dict[UUID, str]:
    """By run: why `user` can't do `act` on it, as far as it is known before. Runs that are missing have no reason."""
    followed = _find_last_attempts(runs) if act == RunAct.RERUN_FAILED else {}
    found = {run.pk: _find_refusal(user, run, act, followed.get(run.group_id, 0)) for run in runs}
    return {pk: words for pk, words in found.items() if words}


def _find_refusal(user: User, run: Run, act: str, last_attempt: int) -> str:
    if not can(user, Permission.RUN, run):
        return explain_refusal(user, Permission.RUN, run)
    status = run.get_status_display().lower()
    if act == RunAct.CANCEL:
        return "" if run.is_live else f"It has ended: {status}."
    if run.is_live:
        return f"It has not ended: {status}."
    if act == RunAct.RERUN_FAILED and run.status not in FAILURES:
        return f"It did not fail: {status}."
    if run.trigger == BUILD_TRIGGER:
        return "It built a custom image. Build the image again instead."
    if run.job_id is None and not can(user, Permission.EDIT, run):
        return "Its job was deleted. A rerun needs the role Editor or higher."
    return f"Attempt {last_attempt} followed it." if last_attempt > run.attempt else ""


def _find_last_attempts(runs: list[Run]) -> dict[UUID, int]:
    # By the id of the first attempt
    groups = {run.group_id for run in runs if run.max_attempts > 1}
    rows = Run.objects.filter(retry_of__in=groups).order_by().values_list("retry_of").annotate(models.Max("attempt"))
    return {pk: number for pk, number in rows if pk} if groups else {}


def apply_to_runs(user: User, runs: list[Run], act: str, key: str = "") -> list[RunResult]:
    """In the order of `runs`; each in a transaction of its own, so that a refused one delays no other.

    Repeating it changes nothing that has the wanted state already; a run is not repeated twice with the same `key`.
    Raises ApiError 422 for more than MAX_RUNS.
    """
    if len(runs) > MAX_RUNS:
        raise ApiError(422, "too_many_runs", f"{len(runs):,} runs; at most {MAX_RUNS} at once. Narrow the filter.")
    refusals = find_refusals(user, runs, act)
    if act == RunAct.CANCEL:
        return [_cancel_run(user, run, refusals.get(run.pk, "")) for run in runs]
    return [_launch_again(user, run, refusals.get(run.pk, ""), key) for run in runs]


def _cancel_run(user: User, run: Run, refusal: str) -> RunResult:
    if can(user, Permission.RUN, run) and (run.status == Status.CANCELLED or run.cancel_requested_at):
        return RunResult(run)
    if refusal:
        return RunResult(run, refused=refusal)
    try:
        cancel(run, user)
    except ApiError as error:
        return RunResult(run, refused=error.message)
    return RunResult(run, is_changed=True)


def _launch_again(user: User, run: Run, refusal: str, key: str) -> RunResult:
    if refusal:
        return RunResult(run, refused=refusal)
    try:
        return RunResult(run, is_changed=True, made=rerun(run, user, idempotency_key=_derive_key(key, run)))
    except ApiError as error:
        return RunResult(run, refused=error.message)
    except ValidationError as error:
        return RunResult(run, refused=summarize_fields(collect_field_errors(error)))


def _derive_key(key: str, run: Run) -> str:
    # The key of one run; the sent key may be as long as the column.
    return f"many-{hashlib.sha256(f'{key} {run.pk}'.encode()).hexdigest()}" if key else ""
