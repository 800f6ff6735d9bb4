"""The routes under /hosts, and the one that says why a run waits for them."""

from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from cronium_admin.accounts.api_auth import caller, needs
from cronium_admin.accounts.permissions import May
from cronium_admin.core.edit_versions import DELETED_VERSION
from cronium_admin.core.errors import ERRORS, ErrorBody
from cronium_admin.runs.api import find_run
from cronium_admin.workers.hosts.schemas import HostIn, HostList, HostOut, UnservedOut, WaitingOut
from cronium_admin.workers.hosts.service import all_hosts, delete_host, drain
from cronium_admin.workers.scheduling.diagnosis import unserved, why

router = Router(tags=["hosts"], auth=needs(May.SEE))
of_runs = Router(tags=["runs"], auth=needs(May.SEE))


@router.get("", response={200: HostList, ERRORS: ErrorBody}, summary="The hosts, with their isolation checks")
def list_hosts(request: HttpRequest) -> HostList:
    """`unserved`: the queues whose runs wait while no host takes them."""
    hosts = all_hosts()
    waiting = [UnservedOut(queue=one.queue, runs=one.number, since=one.since, why=one.words) for one in unserved(hosts)]
    return HostList(items=[HostOut.of(host) for host in hosts], unserved=waiting)


@router.patch(
    "/{str:name}", response={200: HostOut, ERRORS: ErrorBody}, auth=needs(May.ADMIN), summary="Drain or resume a host"
)
def change_host(request: HttpRequest, name: str, body: HostIn) -> HostOut:
    """A drained host takes nothing from then on; what runs there goes on to its end."""
    return HostOut.of(drain(name, body.draining, caller(request), body.version))


@router.delete(
    "/{str:name}", response={204: None, ERRORS: ErrorBody}, auth=needs(May.ADMIN), summary="Delete a host that is away"
)
def remove_host(
    request: HttpRequest, name: str, version: Annotated[int | None, Query(description=DELETED_VERSION)] = None
) -> HttpResponse:
    """409 while its worker is heard from, and while it has live runs. A worker that starts again makes it anew."""
    delete_host(name, caller(request).get_username(), version)
    return HttpResponse(status=204)


@of_runs.get("/runs/{uuid:run_id}/waiting", response={200: WaitingOut, ERRORS: ErrorBody}, summary="Why it waits")
def why_it_waits(request: HttpRequest, run_id: UUID) -> WaitingOut:
    """With an empty `why` it may begin any moment, or waits no more: see its status."""
    run = find_run(run_id)
    found = why(run)
    if found is None:
        return WaitingOut(queue=run.queue)
    return WaitingOut(queue=run.queue, runs=found.number, why=found.words, stuck=found.stuck)
