"""The networks that a job can use, and the permission that the open network needs."""

from collections.abc import Collection
from dataclasses import dataclass

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import HasProject, Permission, can
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.models import Job, Network

NETWORK_DESCRIPTIONS = {
    Network.ISOLATED: "Default: no internet. Input, output and variables work.",
    Network.NONE: "No network at all. Input, output, variables and conditions do not work.",
    Network.EGRESS: "Only the hosts listed below, through a proxy. Input, output and variables work.",
    Network.OPEN: "The internet, and every address that the host can reach.",
}


@dataclass(frozen=True)
class NetworkChoice:
    """A network in the editor; `refused` says why it can't be chosen, and is empty if it can."""

    value: str
    says: str
    chosen: bool
    refused: str


def list_choices(chosen: str, stored: str, by: User, project: HasProject) -> list[NetworkChoice]:
    # The networks for the editor. A user without the permission can still keep a stored open network.
    is_allowed = can_use_open_network(by, project) or stored == Network.OPEN
    refused = {} if is_allowed else {Network.OPEN: "Only an administrator may choose it."}
    if chosen not in Network.values or chosen in refused:
        chosen = stored
    return [
        NetworkChoice(value, says, value == chosen, refused.get(value, ""))
        for value, says in NETWORK_DESCRIPTIONS.items()
    ]


def can_use_open_network(by: User, project: HasProject) -> bool:
    # `project` is a row of the project
    return can(by, Permission.OPEN_NETWORK, project)


def check_open_network(job: Job, changed: Collection[str], by: User) -> None:
    """Raises ApiError 403 if `by` lacks the permission and opens `job`, or changes what runs with its open network.

    `job` has its new values; `changed` holds the changed fields of RUN_FIELDS.
    """
    if job.network != Network.OPEN or not changed or can_use_open_network(by, job):
        return
    if "network" in changed:
        text = "The open network needs the role Administrator. Choose another network, or ask an administrator."
        raise ApiError(403, "open_network_forbidden", text, {"network": [text]})
    text = (
        "This job has the open network, so a change of what it runs needs the role Administrator. "
        "Undo this change, choose another network for the job, or ask an administrator."
    )
    fields = sorted(changed)
    raise ApiError(403, "open_network_forbidden", f"{', '.join(fields)}: {text}", {name: [text] for name in fields})
