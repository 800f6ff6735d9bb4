"""The pages of the job editor: a new job, a job's settings, and its deletion."""

from dataclasses import asdict
from difflib import unified_diff
from itertools import islice
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import (
    Permissions,
    get_current_user,
    require_project_permission,
)
from cronium_admin.accounts.permissions import Permission, ProjectId, can_somewhere
from cronium_admin.accounts.projects import choose_project_id
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.images.custom_choices import list_options
from cronium_admin.images.models import Language
from cronium_admin.jobs.forms import LABELS, JobForm
from cronium_admin.jobs.helper_docs import list_helpers
from cronium_admin.jobs.image_info import build_image_info, list_default_images
from cronium_admin.jobs.input_schema import list_failing_schedules
from cronium_admin.jobs.key_views import try_expression
from cronium_admin.jobs.lookup import find_job, list_namesakes
from cronium_admin.jobs.measured import measure_job
from cronium_admin.jobs.models import Job, Network
from cronium_admin.jobs.network_policy import list_choices
from cronium_admin.jobs.restore import build_restored_job
from cronium_admin.jobs.script_templates import STARTERS
from cronium_admin.jobs.service import check_job, create_job, delete_job, save_job
from cronium_admin.profiles.limits import BOUNDS
from cronium_admin.profiles.service import list_profiles
from cronium_admin.script_checks.service import find_report
from cronium_admin.secrets.service import fetch_descriptions

MAX_DIFF_LINES = 400


@require_http_methods(["GET", "POST"])
@require_project_permission(Permission.EDIT)
def add_job(request: HttpRequest) -> HttpResponse:
    choose_project_id(get_current_user(request), Permission.EDIT)  # refuses a user who can't create a job
    if request.method == "GET" and (source := request.GET.get("from", "")):
        return _render_copy(request, source)
    form = JobForm(request.POST if request.method == "POST" else None, script=STARTERS["python"])
    return _save_or_render(request, form, None)


def _render_copy(request: HttpRequest, slug: str) -> HttpResponse:
    # The editor with the settings of another job; nothing is stored until it is saved
    source = find_job(get_current_user(request), slug, Permission.EDIT)
    form = JobForm(job=source)
    form.copied_from = source.name
    form.initial["name"] = f"{source.name[:110]} (copy)"
    return render_editor(request, form, None, 200)


@require_http_methods(["GET", "POST"])
@require_project_permission(Permission.EDIT)
def edit_job(request: HttpRequest, slug: str) -> HttpResponse:
    try:
        job = find_job(get_current_user(request), slug, Permission.EDIT)
    except ApiError as error:
        if (
            error.status == 404
            and request.method == "POST"
            and can_somewhere(get_current_user(request), Permission.EDIT)
        ):
            return _offer_new_job(request, slug)
        raise
    if request.method == "GET" and (number := request.GET.get("revision", "")):
        return _render_revision(request, job, number)
    form = JobForm(request.POST if request.method == "POST" else None, job=job)
    form.initial["image"] = request.GET.get("image", job.image)[:300]  # of a link to a newer version
    return _save_or_render(request, form, job)


def _render_revision(request: HttpRequest, job: Job, number: str) -> HttpResponse:
    # The editor with the settings of an earlier revision; nothing is stored until it is saved
    if not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise ApiError(404, "not_found", f"The job {job.slug} has no revision {number[:20]}.")
    form = JobForm(job=build_restored_job(job, int(number)))
    form.restored_from = int(number)
    return render_editor(request, form, job, 200)


def _offer_new_job(request: HttpRequest, slug: str) -> HttpResponse:
    return render_editor(request, JobForm(request.POST), None, 409, gone=slug)


@require_POST
@require_project_permission(Permission.EDIT)
def remove_job(request: HttpRequest, slug: str) -> HttpResponse:
    job = find_job(get_current_user(request), slug, Permission.EDIT)
    try:
        delete_job(job, parse_version(request.POST.get("revision", "")))
    except EditConflict as error:
        messages.error(request, error.message)
        return render_editor(request, JobForm(job=error.stored), error.stored, 409)
    except ApiError as error:
        messages.error(request, error.message)
        return redirect("jobs:edit", slug=slug)
    messages.success(
        request,
        f"The job {job.name} is deleted. Its runs and logs stay for as many days as the job or the settings say.",
    )
    return redirect("jobs:list")


def _save_or_render(request: HttpRequest, form: JobForm, job: Job | None) -> HttpResponse:
    status = 422 if request.method == "POST" else 200
    if status == 422 and form.is_valid():
        try:
            by, values = get_current_user(request), form.collect_values()
            if job is None:
                return _answer_save(request, create_job(values, by), None)
            return _answer_save(request, save_job(job, values, by, form.cleaned_data["revision"]), job)
        except EditConflict as error:
            return _render_conflict(request, form, error.stored, values)
        except ValidationError as error:
            form.add_service_errors(error)
        except ApiError as error:
            if job is not None and error.status == 404:
                return _offer_new_job(request, job.slug)
            form.add_api_error(error)
            status = error.status
    elif status == 422:
        return render_editor_with_errors(request, form, job)
    return render_editor(request, form, job, status)


def render_editor_with_errors(request: HttpRequest, form: JobForm, job: Job | None) -> HttpResponse:
    """For an invalid form: shows its errors and those of the service at once."""
    _add_service_errors(form, job or _make_new_job(get_current_user(request)))
    return render_editor(request, form, job, 422)


def _render_conflict(request: HttpRequest, form: JobForm, stored: Job, values: dict[str, Any]) -> HttpResponse:
    # Shows both versions; saving again overwrites the stored revision that is shown
    form.data = {**request.POST.dict(), "revision": str(stored.revision)}
    lines = unified_diff(
        stored.script.splitlines(), str(values.get("script", "")).splitlines(), "stored", "yours", lineterm="", n=3
    )
    stored_values = JobForm(job=stored).initial
    sent = [name for name in form.fields if name in request.POST or name in ("enabled", "read_only_root")]
    different = [name for name in sent if _is_different(stored_values.get(name), form[name].value())]
    fields = [LABELS[name] for name in different if name in LABELS]
    if dict(form.env_rows) != stored.env:
        fields.append(LABELS["env"])
    if sorted(form.secret_names) != sorted(stored.secrets):
        fields.append(LABELS["secrets"])
    other = {"job": stored, "diff": "\n".join(islice(lines, MAX_DIFF_LINES)), "fields": fields}
    return render_editor(request, form, stored, 409, other)


def _is_different(stored: Any, submitted: Any) -> bool:
    empty = ("", None, False)
    return not (stored in empty and submitted in empty) and "".join(str(stored).split()) != "".join(
        str(submitted).split()
    )


def is_in_place(request: HttpRequest) -> bool:
    """The editor's script sent the form: the page stays, so the answer is not a page."""
    return "X-Cronium-In-Place" in request.headers


def _answer_save(request: HttpRequest, job: Job, before: Job | None) -> HttpResponse:
    # With "Save and run", repeats the POST to the launch URL
    said = describe_save(job, before)
    failing = list_failing_schedules(job)[:5]
    warnings = [f"This schedule would fail, because its input does not fit the schema: {text}" for text in failing]
    if slugs := list_namesakes(job):
        text = f"Another job has the name {job.name} ({', '.join(slugs)}). The address of this one is {job.slug}."
        warnings.append(f"{text} Give one of them another name, so that lists tell them apart.")
    if is_in_place(request):
        if before is None:
            messages.success(request, said)  # for the editor of the new job, which opens next
        address = reverse("jobs:edit", args=[job.slug])
        return JsonResponse(
            {
                "name": job.name,
                "slug": job.slug,
                "revision": job.revision,
                "message": " ".join([said, *warnings]),
                "address": address,
            }
        )
    if request.POST.get("then") == "run":
        return HttpResponseRedirect(reverse("runs:launch", args=[job.slug]), preserve_request=True)
    messages.success(request, said)
    for text in warnings:
        messages.warning(request, text)
    return redirect("jobs:edit", slug=job.slug)


def describe_save(job: Job, before: Job | None) -> str:
    if before is not None and before.revision == job.revision:
        return f"Nothing has changed; this is revision {job.revision}."
    return f"Saved, revision {job.revision}."


def _make_new_job(user: User) -> Job:
    # Not stored; in the project in which `user` would create it
    return Job(project_id=choose_project_id(user, Permission.EDIT))


def _add_service_errors(form: JobForm, job: Job) -> None:
    # Adds the service's errors to a form with form errors, so that the user sees all errors at once
    try:
        check_job(job, form.collect_values())
    except ValidationError as error:
        form.add_service_errors(error)


def _list_known_problems(job: Job | None, language: str, script: str) -> dict[str, Any] | None:
    report = find_report(language, script) if job else None
    return {"state": report.state, "problems": report.problems, "more": report.is_cut} if report else None


def _list_secrets(form: JobForm, project_id: ProjectId) -> list[dict[str, str]]:
    # All secrets of the project, and deleted ones that the job still names, so that they can be removed
    descriptions = fetch_descriptions(project_id)
    gone = {name: "deleted" for name in form.secret_names if name not in descriptions}
    return [{"name": name, "description": text} for name, text in {**descriptions, **gone}.items()]


def render_editor(
    request: HttpRequest,
    form: JobForm,
    job: Job | None,
    status: int,
    other: dict[str, Any] | None = None,
    gone: str = "",
) -> HttpResponse:
    # `other` is the conflicting stored version; `gone` the slug of a deleted job
    user = get_current_user(request)
    profiles = list(list_profiles())
    project = job or _make_new_job(user)
    language, image, script = (str(form[name].value() or "") for name in ("language", "image", "script"))
    expression, input_text = (str(form[name].value() or "") for name in ("concurrency_key", "input_text"))
    context = {
        "form": form,
        "job": job,
        "other": other,
        "gone": gone,
        "languages": Language.choices,
        "profiles": profiles,
        "networks": list_choices(str(form["network"].value()), job.network if job else Network.ISOLATED, user, project),
        "secrets": _list_secrets(form, project.project_id),
        "can": Permissions(user, project),
        "images": list_default_images(),
        "image_options": list_options(project.project_id),
        "bounds": BOUNDS,
        "limits": {
            "profiles": {profile.name: asdict(profile.limits) for profile in profiles},
            "bounds": {name: {"low": bound.low, "high": bound.high} for name, bound in BOUNDS.items()},
        },
        "measured": measure_job(job),
        "helpers": list_helpers(),
        "starters": STARTERS,
        "has_checks": settings.CONFIG.script_checks == "on",
        "known_problems": _list_known_problems(job, language, script),
        "key_tries": try_expression(expression, input_text, job),
        "nav": "jobs",
        **build_image_info(project.project_id, language, image, script, project.slug),
    }
    return render(request, "jobs/editor.html", context, status=status)
