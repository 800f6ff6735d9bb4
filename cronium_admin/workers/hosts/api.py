"""REST routes of hosts, and the route that explains why a run waits."""

from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from cronium_admin.accounts.api_auth import get_caller, require_permission, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.runs.lookup import find_run
from cronium_admin.workers.hosts.schemas import BehindOut, HostIn, HostList, HostOut, UnservedOut, WaitingOut
from cronium_admin.workers.hosts.service import delete_host, fetch_hosts, set_draining
from cronium_admin.workers.scheduling.diagnosis import explain_wait, find_unserved_queues

router = Router(tags=["hosts"], auth=require_permission(Permission.VIEW))
of_runs = Router(tags=["runs"], auth=require_project_permission(Permission.VIEW))


@router.get("", response={200: HostList, ANY_ERROR: ErrorBody}, summary="The hosts, with their isolation checks")
def list_hosts(request: HttpRequest) -> HostList:
    """`unserved`: queues with waiting runs that no host takes."""
    hosts = fetch_hosts()
    waiting = [
        UnservedOut(queue=queue.queue, runs=queue.number, since=queue.since, why=queue.words)
        for queue in find_unserved_queues(hosts)
    ]
    return HostList(items=[HostOut.from_view(host) for host in hosts], unserved=waiting)


@router.patch(
    "/{str:name}",
    response={200: HostOut, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Drain or resume a host",
)
def change_host(request: HttpRequest, name: str, body: HostIn) -> HostOut:
    """A drained host takes no new runs at once; its active runs continue."""
    return HostOut.from_view(set_draining(name, body.draining, get_caller(request), body.version))


@router.delete(
    "/{str:name}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Delete a host that is away",
)
def remove_host(
    request: HttpRequest, name: str, version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None
) -> HttpResponse:
    """409 while its worker sends heartbeats, and while it has active runs. A worker with this name creates it again."""
    delete_host(name, get_caller(request), version)
    return HttpResponse(status=204)


@of_runs.get("/runs/{uuid:run_id}/waiting", response={200: WaitingOut, ANY_ERROR: ErrorBody}, summary="Why a run waits")
def why_it_waits(request: HttpRequest, run_id: UUID) -> WaitingOut:
    """If `why` is empty, the run can start at any moment or does not wait: see its status."""
    caller = get_caller(request)
    run = find_run(caller, run_id)
    reason = explain_wait(run, caller)
    if reason is None:
        return WaitingOut(queue=run.queue)
    return WaitingOut(
        queue=run.queue,
        runs=reason.number,
        why=reason.words,
        stuck=reason.stuck,
        position=reason.position,
        behind=[BehindOut(id=other.pk, number=other.number, job=other.job_slug) for other in reason.behind],
    )
