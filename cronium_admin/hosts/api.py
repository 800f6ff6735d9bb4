"""The routes under /hosts."""

from django.http import HttpRequest
from ninja import Router

from cronium_admin.access.auth import needs
from cronium_admin.access.roles import May
from cronium_admin.errors import ERRORS, ErrorBody
from cronium_admin.hosts.schemas import HostIn, HostList, HostOut
from cronium_admin.hosts.service import all_hosts, drain

router = Router(tags=["hosts"], auth=needs(May.SEE))


@router.get("", response={200: HostList, ERRORS: ErrorBody}, summary="The hosts, with their isolation checks")
def list_hosts(request: HttpRequest) -> HostList:
    return HostList(items=[HostOut.of(host) for host in all_hosts()])


@router.patch(
    "/{str:name}", response={200: HostOut, ERRORS: ErrorBody}, auth=needs(May.ADMIN), summary="Drain or resume a host"
)
def change_host(request: HttpRequest, name: str, body: HostIn) -> HostOut:
    """Its worker obeys within a few seconds."""
    return HostOut.of(drain(name, body.draining))
