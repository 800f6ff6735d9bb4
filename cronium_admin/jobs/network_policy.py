"""The networks a job chooses from: what is said of each, and who may choose or decide over the open one."""

from collections.abc import Collection
from dataclasses import dataclass

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.models import Job, Network

NETWORK_DESCRIPTIONS = {
    Network.ISOLATED: "Default: no internet. Input, output and variables work.",
    Network.NONE: "No network at all. Input, output, variables and conditions do not work.",
    Network.EGRESS: "Only the hosts listed below, through a proxy. Input, output and variables work.",
    Network.OPEN: "The internet, and every address that the host itself can reach.",
}


@dataclass(frozen=True)
class NetworkChoice:
    """One network in the editor; `refused` says why it can't be chosen, and is empty when it can."""

    value: str
    says: str
    chosen: bool
    refused: str


def list_choices(chosen: str, stored: str, by: User) -> list[NetworkChoice]:
    """All networks for `by`; who may not open a job may still keep an open one (`stored`) as it is."""
    kept = can_use_open_network(by) or stored == Network.OPEN
    refused = {} if kept else {Network.OPEN: "Only an administrator may choose it."}
    if chosen not in Network.values or chosen in refused:
        chosen = stored
    return [
        NetworkChoice(value, says, value == chosen, refused.get(value, ""))
        for value, says in NETWORK_DESCRIPTIONS.items()
    ]


def can_use_open_network(by: User | None) -> bool:
    """Whether `by` has the right to the open network; the system itself (None) has."""
    return by is None or by.has_permission(Permission.OPEN_NETWORK)


def check_open_network(job: Job, changed: Collection[str], by: User | None) -> None:
    """Refuse (403) that `by`, without the right to it, opens `job` or decides what runs with its open network.

    `job` is as it is to be; `changed` are those of its fields, of the ones that decide a run, that `by` sets.
    """
    if job.network != Network.OPEN or not changed or can_use_open_network(by):
        return
    if "network" in changed:
        text = "The open network takes the role Administrator. Choose another network, or ask an administrator."
        raise ApiError(403, "open_network_forbidden", text, {"network": [text]})
    text = (
        "This job has the open network, so changing what it runs takes the role Administrator. "
        "Leave this as it is, choose another network for the job, or ask an administrator."
    )
    fields = sorted(changed)
    raise ApiError(403, "open_network_forbidden", f"{', '.join(fields)}: {text}", {name: [text] for name in fields})
