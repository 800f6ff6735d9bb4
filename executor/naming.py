"""Names and labels of a run's containers and networks, which follow from the spec alone; parts of image names."""

import re
from collections.abc import Mapping

from executor.spec import SandboxSpec

LABEL_INSTANCE, LABEL_RUN, LABEL_ROLE, LABEL_HOST, LABEL_EPOCH = (
    "cronium.instance",
    "cronium.run_id",
    "cronium.role",
    "cronium.host",
    "cronium.epoch",
)


def name_network(run_id: str) -> str:
    return f"cronium-job-{run_id}"


def name_egress_network(run_id: str) -> str:
    return f"cronium-egress-{run_id}"


def list_network_names(spec: SandboxSpec) -> tuple[str, ...]:
    name = name_network(spec.run_id)
    return {"none": (), "egress": (name, name_egress_network(spec.run_id))}.get(spec.network, (name,))


def name_bridge(spec: SandboxSpec, prefix: str = "cr") -> str:
    """The network's interface on the host, at most 15 characters. It differs for each attempt at a run: two engines may
    share a kernel, and one may still remove the old bridge while the other creates the new one."""
    return f"{prefix}{spec.run_id.replace('-', '')[:10]}{spec.epoch % 4096:03x}"


def name_main(run_id: str) -> str:
    return f"cronium-main-{run_id}"


def name_sidecar(run_id: str) -> str:
    return f"cronium-sidecar-{run_id}"


def build_labels(spec: SandboxSpec, role: str) -> dict[str, str]:
    return {
        LABEL_INSTANCE: spec.instance,
        LABEL_RUN: spec.run_id,
        LABEL_ROLE: role,
        LABEL_HOST: spec.host,
        LABEL_EPOCH: str(spec.epoch),
    }


def parse_epoch(labels: Mapping[str, str]) -> int:
    text = labels.get(LABEL_EPOCH, "")
    return int(text) if text.isdecimal() else 0


def format_image(reference: str) -> str:
    """As jobs name the image: on engines, the name of a custom image has the number of its project too."""
    return re.sub(r"^cronium/custom/[0-9]+/", "cronium/custom/", reference)


def strip_tag(reference: str) -> str:
    """The repository of an image's name, without tag and digest."""
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]
