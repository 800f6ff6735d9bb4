"""The Hosts page, and two notices that other pages ask for once they stand."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cronium_admin.access.guard import needs
from cronium_admin.access.roles import May
from cronium_admin.hosts.service import all_hosts, why_waiting


@require_safe
@needs(May.SEE)
def hosts(request: HttpRequest) -> HttpResponse:
    return render(request, "hosts/list.html", {"hosts": all_hosts(), "nav": "hosts"})


@require_safe
@needs(May.SEE)
def waiting(request: HttpRequest) -> HttpResponse:
    """Why a run that waits waits, if no host takes runs."""
    return render(request, "hosts/_waiting.html", {"why": why_waiting()})


@require_safe
@needs(May.SEE)
def unsafe(request: HttpRequest) -> HttpResponse:
    """The hosts that failed their isolation check, if there are any."""
    return render(request, "hosts/_unsafe.html", {"hosts": [host for host in all_hosts() if host.row.unsafe]})
