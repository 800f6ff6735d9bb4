"""The API route that compares two runs. `logs` has the one that compares their logs."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, Field

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.errors import ANY_ERROR, ApiError, ErrorBody
from cronium_admin.runs.comparison import Comparison, Section, compare_runs
from cronium_admin.runs.lookup import find_compared_runs, find_last_success, find_run
from cronium_admin.runs.models import Run

router = Router(tags=["runs"], auth=require_project_permission(Permission.VIEW))
With = Annotated[
    UUID | None,
    Query(alias="with", description="The other run; without it, the last success of the job before the run."),
]


class ComparedRun(BaseModel):
    id: UUID
    job: str = Field(description="The job's slug.")
    number: int
    status: str
    created_at: datetime

    @classmethod
    def from_run(cls, run: Run) -> "ComparedRun":
        return cls(id=run.pk, job=run.job_slug, number=run.number, status=run.status, created_at=run.created_at)


class ComparedValue(BaseModel):
    """A value of both runs, in words; empty: the run has none."""

    key: str = Field(description="A name, or a path such as `rows[2].id` of a JSON value.")
    a: str
    b: str
    equal: bool


class ComparedSection(BaseModel):
    key: str
    kind: Literal["cause", "effect"] = Field(description="`cause`: it can explain a different result.")
    equal: bool
    values: list[ComparedValue]
    diff: str = Field(description="Of the script: a unified diff from `a` to `b`; empty if both are equal.")
    note: str = Field(description="What was left out; empty if nothing was.")

    @classmethod
    def from_section(cls, section: Section, kind: Literal["cause", "effect"]) -> "ComparedSection":
        values = [ComparedValue(key=row.key, a=row.a, b=row.b, equal=row.is_equal) for row in section.rows]
        return cls(
            key=section.key,
            kind=kind,
            equal=section.is_equal,
            values=values,
            diff=section.diff,
            note=section.note,
        )


class ComparisonOut(BaseModel):
    """`a` is the older run."""

    a: ComparedRun
    b: ComparedRun
    same_job: bool
    differs: list[str] = Field(description="The keys of the sections that differ, causes first.")
    sections: list[ComparedSection]

    @classmethod
    def from_comparison(cls, found: Comparison) -> "ComparisonOut":
        sections = [ComparedSection.from_section(section, "cause") for section in found.causes]
        sections += [ComparedSection.from_section(section, "effect") for section in found.effects]
        return cls(
            a=ComparedRun.from_run(found.a),
            b=ComparedRun.from_run(found.b),
            same_job=found.is_same_job,
            differs=[section.key for section in sections if not section.equal],
            sections=sections,
        )


@router.get(
    "/runs/{uuid:run_id}/compare",
    response={200: ComparisonOut, ANY_ERROR: ErrorBody},
    operation_id="compare_runs",
    summary="Compare two runs",
)
def compare_with(request: HttpRequest, run_id: UUID, other: With = None) -> ComparisonOut:
    """What decided the runs and what became of them, without the logs. Values of variables are `hidden` for callers
    without the permission to edit."""
    caller = get_caller(request)
    if other is None:
        run = find_run(caller, run_id)
        success = find_last_success(run)
        if success is None:
            why = f"No stored run of its job before #{run.number} succeeded."
            why = why if run.job_id else "The job of this run was deleted, so that its other runs are not looked for."
            raise ApiError(404, "no_success", f"{why} Name a run in `with`.")
        other = success.pk
    a, b = find_compared_runs(caller, run_id, other)
    return ComparisonOut.from_comparison(
        compare_runs(a, b, shows_env=all(can(caller, Permission.EDIT, run) for run in (a, b)))
    )
