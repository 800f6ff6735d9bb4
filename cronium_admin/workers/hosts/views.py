"""The Hosts page with its actions, and two notices that other pages load."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_permission, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.runs.models import Run
from cronium_admin.workers.gc.history import find_visible_runs
from cronium_admin.workers.hosts.queues import fetch_queues
from cronium_admin.workers.hosts.service import (
    count_jobs_by_queue,
    delete_host,
    fetch_hosts,
    fetch_pools,
    find_sole_queues,
    select_hosts,
    set_draining,
)
from cronium_admin.workers.scheduling.diagnosis import explain_wait, find_unserved_queues

MAX_HOSTS = 200  # hosts in one request for their waiting sandboxes


@require_safe
@require_permission(Permission.VIEW)
def list_hosts(request: HttpRequest) -> HttpResponse:
    return render_hosts(request)


def render_hosts(request: HttpRequest, status: int = 200, refused: Any = None) -> HttpResponse:
    """`refused`: the limit of a queue that was not saved; see `queue_views`."""
    host_views = fetch_hosts()
    user = get_current_user(request)
    runs = find_visible_runs({item["run_id"] for host in host_views for item in host.reaped if item["run_id"]}, user)
    by_queue = count_jobs_by_queue(user)
    rows = [
        {
            "host": host,
            "jobs": sum(by_queue.get(queue, 0) for queue in host.queues),
            "sole": find_sole_queues(host, host_views),
        }
        for host in host_views
    ]
    context = {"rows": rows, "unserved": find_unserved_queues(host_views), "runs": runs, "nav": "hosts"}
    context |= {"queues": fetch_queues(host_views), "refused": refused}
    context["polled"] = [host.row.pk for host in host_views if host.warm and host.warm.limit][:MAX_HOSTS]
    return render(request, "hosts/list.html", context, status=status)


@require_POST
@require_permission(Permission.ADMIN)
def switch_draining(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(select_hosts(), pk=pk)
    is_draining = request.POST.get("draining") == "on"
    try:
        set_draining(row.name, is_draining, get_current_user(request), parse_version(request.POST.get("version", "")))
    except ApiError as error:
        messages.error(request, error.message)
        return render_hosts(request, error.status)
    effect = "finishes its current runs and accepts no new ones" if is_draining else "accepts runs again"
    messages.success(request, f"Host {row.name} {effect}.")
    return redirect("hosts:list")


@require_POST
@require_permission(Permission.ADMIN)
def remove_host(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(select_hosts(), pk=pk)
    try:
        delete_host(row.name, get_current_user(request), parse_version(request.POST.get("version", "")))
        messages.success(request, f"Host {row.name} is deleted.")
    except EditConflict as error:
        messages.error(request, error.message)
        return render_hosts(request, 409)
    except ApiError as error:
        messages.error(request, error.message)
    return redirect("hosts:list")


@require_safe
@require_permission(Permission.VIEW)
def show_waiting_sandboxes(request: HttpRequest) -> HttpResponse:
    # The parts of the page about waiting sandboxes, of the hosts for which the page has them
    shown = [int(text) for text in request.GET.getlist("host")[:MAX_HOSTS] if text.isdecimal() and len(text) < 10]
    return render(request, "hosts/_warm_parts.html", {"pools": fetch_pools(shown), "oob": True})


@require_safe
@require_project_permission(Permission.VIEW)
def show_wait_reason(request: HttpRequest, run_id: UUID) -> HttpResponse:
    # Empty for a run that was deleted in the meantime, or that the user does not see
    user = get_current_user(request)
    columns = ("status", "queue", "cpu", "memory_mb", "network", "not_before", "serial_key", "scheduled_for")
    of_order = ("priority", "concurrency_key", "created_at", "job__concurrency_limit")
    runs = Run.objects.visible_to(user).select_related("job").only(*columns, *of_order)
    run = runs.filter(pk=run_id).first()
    return render(request, "hosts/_waiting.html", {"why": explain_wait(run, user) if run else None})


@require_safe
@require_permission(Permission.VIEW)
def show_unsafe_hosts(request: HttpRequest) -> HttpResponse:
    return render(request, "hosts/_unsafe.html", {"hosts": [host for host in fetch_hosts() if host.row.unsafe]})
