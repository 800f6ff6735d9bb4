"""Pure: which containers of a sandbox share a network namespace (docs/decisions/0007-joined-network.md)."""

from typing import Literal

from executor.spec import Shape

Topology = Literal["joined", "apart"]
RUNC = ("runc", "io.containerd.runc.v2")  # the engine's names for it


def choose_topology(shape: Shape, default_runtime: str = "runc") -> Topology:
    """`joined`: main joins the network namespace of the sidecar, which alone is on the run's network. `apart`: each has
    its own.

    With `egress` main would get the sidecar's way out. Other runtimes keep the network in a process of each container.
    `default_runtime` is the engine's.
    """
    is_runc = (shape.runtime or default_runtime) in RUNC
    return "joined" if shape.joined_network and shape.network in ("isolated", "open") and is_runc else "apart"
