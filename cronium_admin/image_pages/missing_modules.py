"""The run page's offer of an image, when a script failed because a module of its imports is not installed."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.images.custom import parse_engine_tag
from cronium_admin.images.installed_packages import suggest_for_image
from cronium_admin.images.models import Language
from cronium_admin.images.node_imports import find_npm_package
from cronium_admin.images.python_imports import find_python_package
from cronium_admin.jobs.image_info import build_proposal
from cronium_admin.runs.lookup import find_run
from cronium_admin.runs.models import Run, Status
from executor.output.hints import find_missing_module


@require_safe
@require_project_permission(Permission.EDIT)
def render_missing_module(request: HttpRequest, pk: UUID) -> HttpResponse:
    # 204 if the run did not fail of a missing module, or its image has all that the script imports
    run = find_run(get_current_user(request), pk, Permission.EDIT, "revision__script")
    missing = _find_missing_package(run) if run.status == Status.FAILED and run.job else ""
    if not missing:
        return HttpResponse(status=204)
    image = str(parse_engine_tag(run.image) or run.image)
    proposal = suggest_for_image(run.project_id, run.language, run.script, image)
    # The message comes from the output, which alone decides nothing: the script must import the package, too.
    if missing not in (proposal.packages or ()):
        return HttpResponse(status=204)
    return render(request, "runs/_missing_module.html", build_proposal(proposal, run.language, run.job_slug))


def _find_missing_package(run: Run) -> str:
    module = find_missing_module(run.message)
    if run.language == Language.PYTHON:
        found = find_python_package(module)
        return found[0] if found else ""
    return (find_npm_package(module) or "") if run.language == Language.NODE else ""
