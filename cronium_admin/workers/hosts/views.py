"""The Hosts page with its switches, and two notices that other pages ask for once they stand."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.page_permissions import needs, user_of
from cronium_admin.accounts.permissions import May
from cronium_admin.core.edit_versions import ChangedMeanwhile, sent_version
from cronium_admin.core.errors import Refused
from cronium_admin.runs.models import Run
from cronium_admin.workers.gc_history import there
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.hosts.service import all_hosts, count_jobs_by_queue, delete_host, drain, find_sole_queues
from cronium_admin.workers.scheduling.diagnosis import unserved, why


@require_safe
@needs(May.SEE)
def hosts(request: HttpRequest) -> HttpResponse:
    return _page(request)


def _page(request: HttpRequest, status: int = 200) -> HttpResponse:
    found = all_hosts()
    runs = there({one["run_id"] for host in found for one in host.reaped if one["run_id"]})
    by_queue = count_jobs_by_queue()
    rows = [
        {
            "host": host,
            "jobs": sum(by_queue.get(queue, 0) for queue in host.queues),
            "sole": find_sole_queues(host, found),
        }
        for host in found
    ]
    context = {"rows": rows, "unserved": unserved(found), "runs": runs, "nav": "hosts"}
    return render(request, "hosts/list.html", context, status=status)


@require_POST
@needs(May.ADMIN)
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Drain a host, or let it take runs again."""
    row = get_object_or_404(Host, pk=pk)
    on = request.POST.get("draining") == "on"
    try:
        drain(row.name, on, user_of(request), sent_version(request.POST.get("version", "")))
    except Refused as error:
        messages.error(request, error.message)
        return _page(request, error.status)
    done = "finishes its current runs and accepts no new ones" if on else "accepts runs again"
    messages.success(request, f"Host {row.name} {done}.")
    return redirect("hosts:list")


@require_POST
@needs(May.ADMIN)
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a host that is away."""
    row = get_object_or_404(Host, pk=pk)
    try:
        delete_host(row.name, user_of(request).get_username(), sent_version(request.POST.get("version", "")))
        messages.success(request, f"Host {row.name} is deleted.")
    except ChangedMeanwhile as error:
        messages.error(request, error.message)
        return _page(request, 409)
    except Refused as error:
        messages.error(request, error.message)
    return redirect("hosts:list")


@require_safe
@needs(May.SEE)
def waiting(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Why a run that waits waits; empty when it may begin any moment, or waits no more."""
    run = Run.objects.only("status", "queue", "cpu", "memory_mb", "network").filter(pk=run_id).first()
    return render(request, "hosts/_waiting.html", {"why": why(run) if run else None})


@require_safe
@needs(May.SEE)
def unsafe(request: HttpRequest) -> HttpResponse:
    """The hosts that failed their isolation check, if there are any."""
    return render(request, "hosts/_unsafe.html", {"hosts": [host for host in all_hosts() if host.row.unsafe]})
