"""Launches from pages: the job as it is, and *Run with…* as a page and as a fragment for the dialog."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect

from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.errors import ApiError, collect_field_errors, summarize_fields
from cronium_admin.jobs.concurrency import HIGHEST_PRIORITY, list_priorities
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job
from cronium_admin.profiles.limits import BOUNDS
from cronium_admin.profiles.service import list_launch_profiles
from cronium_admin.runs.forms import LaunchForm
from cronium_admin.runs.input_form import InputForm, list_recent_sources, open_form, read_form, switch_form
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import NO_OVERRIDES
from cronium_admin.runs.triggers import Trigger


@require_http_methods(["GET", "POST"])
@require_project_permission(Permission.RUN)
def launch_job(request: HttpRequest, slug: str) -> HttpResponse:
    # GET: the form as a page. POST: launches the job as it is or, with the field `with`, with the values of the form
    job = _find_job(request, slug)
    if request.method == "GET":
        return _render_page(request, job, *_open(request, job, request.GET.get("from", ""), request.GET.get("as", "")))
    if "with" not in request.POST:
        return _launch_unchanged(request, job)
    if "show" in request.POST:
        return _render_page(request, job, *_show(request, job))
    form, values, run = _launch_form(request, job)
    if run is not None:
        return redirect("runs:run", pk=run.pk)
    return _render_page(request, job, form, values, 422)


@require_http_methods(["GET", "POST"])
@require_project_permission(Permission.RUN)
def render_form(request: HttpRequest, slug: str) -> HttpResponse:
    # The form as a fragment for the dialog. POST: a launch, whose errors are in the fragment
    job = _find_job(request, slug)
    if request.method == "GET":
        form, values = _open(request, job, request.GET.get("from", ""), request.GET.get("as", ""))
    elif "show" in request.POST:
        form, values = _show(request, job)
    else:
        form, values, run = _launch_form(request, job)
        if run is not None:
            return HttpResponseClientRedirect(reverse("runs:run", args=[run.pk]))
    return render(request, "runs/_launch_form.html", _build_context(request, job, form, values) | {"dialog": True})


def _find_job(request: HttpRequest, slug: str) -> Job:
    # `job` is the id of the job that the page showed: others may have its slug
    shown = request.POST.get("job", "") or request.GET.get("job", "")
    pk = int(shown) if shown.isdecimal() and len(shown) < 18 else None
    return find_job(get_current_user(request), slug, Permission.RUN, pk=pk)


def _open(request: HttpRequest, job: Job, source: str, shown_as: str) -> tuple[LaunchForm, InputForm]:
    values = open_form(job, get_current_user(request), source, is_json=shown_as == "json")
    return LaunchForm(initial=_list_changes(job, values.source)), values


def _list_changes(job: Job, run: Run | None) -> dict[str, Any]:
    """The other values of the form, if a run fills it: those that differ from the job's."""
    if run is None:
        return {}
    changed = {"profile": run.profile_name, "timeout_seconds": run.timeout_seconds}
    own = {"profile": job.profile.name, "timeout_seconds": job.timeout_seconds}
    return {name: value for name, value in changed.items() if value != own[name]}


def _show(request: HttpRequest, job: Job) -> tuple[LaunchForm, InputForm]:
    # `show` is the value of the pressed button: whatever it is, nothing is launched
    show, user = request.POST["show"], get_current_user(request)
    shown_as = "json" if request.POST.get("as") == "json" else ""
    if show in ("fill", "default", "last"):
        source = {"fill": request.POST.get("from", ""), "last": "last"}.get(show, "")
        return _open(request, job, source, shown_as)
    values = read_form(job, user, request.POST, request.FILES)
    if show in ("fields", "json"):
        switch_form(values, to_json=show == "json")
    elif not values.is_json:
        values.problems = []
    names = ("profile", "timeout_seconds", "priority", "start_at", "start_zone")
    return LaunchForm(initial={name: request.POST.get(name, "") for name in names}), values


def _launch_form(request: HttpRequest, job: Job) -> tuple[LaunchForm, InputForm, Run | None]:
    form, user = LaunchForm(request.POST), get_current_user(request)
    values = read_form(job, user, request.POST, request.FILES)
    if form.is_valid() and not values.problems:
        try:
            overrides = form.to_overrides(values)
            return form, values, launch(job, user, overrides, trigger=Trigger.MANUAL)
        except ValidationError as error:
            form.add_service_errors(error, values)
        except ApiError as error:
            form.add_error(None, error.message)
    return form, values, None


def _launch_unchanged(request: HttpRequest, job: Job) -> HttpResponse:
    # Stored values can be invalid today, if a name was reserved or a ceiling lowered since
    try:
        run = launch(job, get_current_user(request), NO_OVERRIDES, trigger=Trigger.MANUAL)
        return redirect("runs:run", pk=run.pk)
    except ApiError as error:
        messages.error(request, error.message)
    except ValidationError as error:
        if job.input_schema is not None and all(name.split(".")[0] == "input" for name in error.error_dict):
            return _ask_for_input(request, job, error)
        text = f"Not started: {summarize_fields(collect_field_errors(error))} Change it in the job's settings."
        messages.error(request, text)
    return redirect("jobs:job", slug=job.slug)


def _ask_for_input(request: HttpRequest, job: Job, error: ValidationError) -> HttpResponse:
    form, values = _open(request, job, "", "")
    form = LaunchForm({})
    form.is_valid()
    form.add_service_errors(error, values)
    return _render_page(request, job, form, values, 422)


def _render_page(
    request: HttpRequest, job: Job, form: LaunchForm, values: InputForm, status: int = 200
) -> HttpResponse:
    context = _build_context(request, job, form, values) | {"nav": "jobs", "dialog": False}
    return render(request, "runs/launch.html", context, status=status)


def _build_context(request: HttpRequest, job: Job, form: LaunchForm, values: InputForm) -> dict[str, Any]:
    user = get_current_user(request)
    return {
        "job": job,
        "form": form,
        "values": values,
        "recent": list_recent_sources(job),
        "profiles": list_launch_profiles(job.profile, user, job),
        "bound": BOUNDS["timeout_seconds"],
        "can": Permissions(user, job),
        "priorities": list_priorities(HIGHEST_PRIORITY if can(user, Permission.EDIT, job) else job.priority),
    }
