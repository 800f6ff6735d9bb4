"""The part of the job editor about the image, which is rendered again while the form changes."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import choose_project_id
from cronium_admin.jobs.image_info import build_image_info
from cronium_admin.jobs.lookup import find_job


@require_POST
@require_project_permission(Permission.EDIT)
def render_image_info(request: HttpRequest) -> HttpResponse:
    # 204 if nothing has changed since version `v`. `job` is the slug of the edited job; empty for a new one
    user, slug = get_current_user(request), request.POST.get("job", "")
    if slug:
        project_id = find_job(user, slug, Permission.EDIT, only=("pk",)).project_id
    else:
        project_id = choose_project_id(user, Permission.EDIT)
    language, image, script = (request.POST.get(name, "") for name in ("language", "image", "script"))
    context = build_image_info(project_id, language, image, script, slug)
    if context["image_version"] == request.POST.get("v"):
        return HttpResponse(status=204)
    return render(request, "jobs/_image_info.html", {**context, "image_job": slug})
