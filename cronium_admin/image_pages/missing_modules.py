"""The run page's offer of an image, when a script failed because a module of its imports is not installed."""

import re
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ApiError
from cronium_admin.images.custom import parse_engine_tag
from cronium_admin.images.installed_packages import suggest_for_image
from cronium_admin.images.models import Language
from cronium_admin.images.node_imports import find_npm_package
from cronium_admin.images.python_imports import find_python_package
from cronium_admin.jobs.image_info import build_proposal
from cronium_admin.logs.read import read_lines
from cronium_admin.runs.lookup import find_run
from cronium_admin.runs.models import Run, Status

_LAST_LINES = 60
_PYTHON_ERROR = re.compile(r"ModuleNotFoundError: No module named '([A-Za-z_][\w.]{0,199})'")
_NODE_ERROR = re.compile(r"Cannot find (?:module|package) '([^'\s]{1,214})'")


@require_safe
@require_project_permission(Permission.EDIT)
def render_missing_module(request: HttpRequest, pk: UUID) -> HttpResponse:
    # 204 if the run did not fail of a missing module, or its image has all that the script imports
    run = find_run(get_current_user(request), pk, Permission.EDIT, "revision__script")
    missing = _find_missing_packages(run) if run.status == Status.FAILED and run.job else set()
    if not missing:
        return HttpResponse(status=204)
    image = str(parse_engine_tag(run.image) or run.image)
    proposal = suggest_for_image(run.project_id, run.language, run.script, image)
    # Output alone decides nothing: the script must import the package, too.
    if not missing & set(proposal.packages or ()):
        return HttpResponse(status=204)
    return render(request, "runs/_missing_module.html", build_proposal(proposal, run.language, run.job_slug))


def _find_missing_packages(run: Run) -> set[str]:
    if run.language == Language.PYTHON:
        found = (find_python_package(module) for module in _PYTHON_ERROR.findall(_read_end(run)))
        return {package for package, _ in filter(None, found)}
    if run.language == Language.NODE:
        return {find_npm_package(name) or "" for name in _NODE_ERROR.findall(_read_end(run))} - {""}
    return set()


def _read_end(run: Run) -> str:
    try:
        lines = read_lines(run.pk, max(0, run.log_lines - _LAST_LINES), _LAST_LINES)
    except ApiError:
        return ""  # the log itself shows why it can't be read
    return "\n".join(bytes(line.text).decode(errors="replace") for line in lines)
