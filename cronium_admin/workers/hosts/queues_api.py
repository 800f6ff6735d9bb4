"""REST routes of queues and their limits."""

from typing import Annotated

from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from cronium_admin.accounts.api_auth import get_caller, require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.workers.hosts.queues import QueueView, fetch_queue, fetch_queues, set_limit
from cronium_admin.workers.hosts.service import fetch_hosts

router = Router(tags=["queues"], auth=require_permission(Permission.VIEW))
_LIMIT = "How many of its runs may run at once, on all hosts together, 0 to 10,000; null: no limit, 0: none starts."


class QueueOut(BaseModel):
    name: str
    max_running: int | None = Field(description=_LIMIT)
    version: int = Field(description="Counts the changes of the limit.")
    active: int = Field(description="Runs that are starting or running.")
    waiting: int = Field(description="Queued runs.")
    hosts: list[str] = Field(description="The hosts that serve it.")

    @classmethod
    def from_view(cls, queue: QueueView) -> "QueueOut":
        names = ("name", "max_running", "version", "active", "waiting")
        return cls(**{name: getattr(queue, name) for name in names}, hosts=list(queue.hosts))


class QueueList(BaseModel):
    items: list[QueueOut]


class QueueIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max_running: StrictInt | None = Field(description=_LIMIT)
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


@router.get("", response={200: QueueList, ANY_ERROR: ErrorBody}, summary="The queues, with their limits")
def list_queues(request: HttpRequest) -> QueueList:
    """The queues of hosts, jobs and live runs, and those with a limit."""
    return QueueList(items=[QueueOut.from_view(queue) for queue in fetch_queues(fetch_hosts())])


@router.get("/{str:name}", response={200: QueueOut, ANY_ERROR: ErrorBody}, summary="One queue")
def get_queue(request: HttpRequest, name: str) -> QueueOut:
    return QueueOut.from_view(fetch_queue(name, fetch_hosts()))


@router.patch(
    "/{str:name}",
    response={200: QueueOut, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Set the limit of a queue",
)
def change_queue(request: HttpRequest, name: str, body: QueueIn) -> QueueOut:
    """Active runs continue when a limit is lowered."""
    set_limit(name, body.max_running, get_caller(request), body.version)
    return QueueOut.from_view(fetch_queue(name, fetch_hosts()))
