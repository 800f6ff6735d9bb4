"""The route under /hosts."""

from django.http import HttpRequest
from ninja import Router

from cronium_admin.access.auth import needs
from cronium_admin.access.roles import May
from cronium_admin.errors import ERRORS, ErrorBody
from cronium_admin.hosts.schemas import HostList, HostOut
from cronium_admin.hosts.service import all_hosts

router = Router(tags=["hosts"], auth=needs(May.SEE))


@router.get("", response={200: HostList, ERRORS: ErrorBody}, summary="The hosts, with their isolation checks")
def list_hosts(request: HttpRequest) -> HostList:
    return HostList(items=[HostOut.of(host) for host in all_hosts()])
