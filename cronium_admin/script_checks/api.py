"""The API routes that check and format a script text. They store nothing of a job."""

from typing import Literal

from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel, ConfigDict, Field, StrictStr

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.script_checks.models import Action
from cronium_admin.script_checks.service import Report, request_check

router = Router(tags=["scripts"], auth=require_project_permission(Permission.EDIT))
_STATE = (
    "`waiting`: repeat the same request after some tenths of a second; equal texts are checked once. `done`: the "
    "answer is complete. `unavailable`: there is no answer; `message` says why."
)


class ScriptIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    language: Literal["bash", "python", "node"]
    script: StrictStr


class ProblemOut(BaseModel):
    line: int = Field(description="From 1.")
    column: int = Field(description="From 1, in characters.")
    end_line: int
    end_column: int = Field(description="Behind the last character.")
    severity: Literal["error", "warning"]
    tool: str
    rule: str
    message: str
    url: str = Field(description="The page of the rule; empty if it has none.")


class CheckedOut(BaseModel):
    state: Literal["waiting", "done", "unavailable"] = Field(description=_STATE)
    message: str
    problems: list[ProblemOut] = Field(description="In the order of their lines.")
    more: bool = Field(description="There are more problems than are listed.")


class FormattedOut(BaseModel):
    state: Literal["waiting", "done", "unavailable"] = Field(description=_STATE)
    message: str
    formatted: str | None = Field(description="Null: the text does not change.")


_REPLIES = {200: CheckedOut, (*ANY_ERROR, 429): ErrorBody}


@router.post("/check", response=_REPLIES, summary="Check a script text")
def check_script(request: HttpRequest, body: ScriptIn) -> CheckedOut:
    """With ruff, shellcheck or `node --check`, in a sandbox. It takes the role Editor, in the instance or a project."""
    report = _request(request, Action.CHECK, body)
    problems = [ProblemOut(**problem) for problem in report.problems]
    return CheckedOut(state=report.state, message=report.message, problems=problems, more=report.is_cut)  # type: ignore[arg-type]


@router.post("/format", response={200: FormattedOut, (*ANY_ERROR, 429): ErrorBody}, summary="Format a script text")
def format_script(request: HttpRequest, body: ScriptIn) -> FormattedOut:
    """With ruff or shfmt, in a sandbox. It takes the role Editor, in the instance or a project."""
    report = _request(request, Action.FORMAT, body)
    return FormattedOut(state=report.state, message=report.message, formatted=report.formatted)  # type: ignore[arg-type]


def _request(request: HttpRequest, action: Action, body: ScriptIn) -> Report:
    return request_check(get_caller(request), action, body.language, body.script)
