"""The engine's answers about containers, networks and images, as far as the executor reads them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, ip_network
from typing import Any

from executor import naming

# Where a containerd that is a service of its own listens, and keeps its data, unless its settings say otherwise.
CONTAINERD_SOCKET, CONTAINERD_FOLDER = "/run/containerd/containerd.sock", "/var/lib/containerd"


def find_image_folder(info: Mapping[str, Any]) -> str:
    """Where the engine of this `docker info` keeps images, on its own machine; empty if it does not say.

    With containerd's image store, that is the folder of containerd, which may be a service of its own.
    """
    has_containerd_store = ["driver-type", "io.containerd.snapshotter.v1"] in (info.get("DriverStatus") or [])
    if has_containerd_store and (info.get("Containerd") or {}).get("Address") == CONTAINERD_SOCKET:
        return CONTAINERD_FOLDER
    return str(info.get("DockerRootDir") or "")


@dataclass(frozen=True)
class ContainerState:
    """A container's state. `exit_code` is meaningless while it runs; times are unix seconds."""

    status: str  # created, running, paused, restarting, removing, exited, dead
    exit_code: int
    oom_killed: bool
    ever_started: bool
    error: str
    id: str = ""
    epoch: int = 0  # of the attempt that created it
    started_at: float = 0.0
    finished_at: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    image_id: str = ""

    @property
    def is_running(self) -> bool:
        return self.status in ("running", "paused", "restarting")

    @property
    def is_restarted(self) -> bool:
        return self.is_running and self.finished_at > 0


@dataclass(frozen=True)
class Usage:
    """What a container has used so far; None: the engine does not report it."""

    peak_memory_bytes: int | None  # where the engine reports no peak (cgroup v2), the use at this moment
    cpu_seconds: float | None  # of all its processes on all CPUs


@dataclass(frozen=True)
class EngineObject:
    """A container or network with Cronium's labels. Labels alone do not prove ownership: see `ownership`."""

    kind: str  # container or network
    name: str
    run_id: str
    role: str
    host: str
    id: str = ""
    image_id: str = ""  # a container's


@dataclass(frozen=True)
class Image:
    """An image: the digest of its configuration, its names (`name:tag` and `name@sha256:...`), its size in bytes."""

    id: str
    references: tuple[str, ...]
    size: int


def parse_image(row: dict[str, Any]) -> Image:
    names = [*(row.get("RepoTags") or ()), *(row.get("RepoDigests") or ())]
    references = tuple(str(name) for name in names if not str(name).startswith("<none>"))
    return Image(str(row["Id"]), references, int(row.get("Size") or 0))


def parse_time(text: Any) -> float:
    """Unix seconds from the engine's time; 0.0 for the zero time."""
    if not text or str(text).startswith("0001-"):
        return 0.0
    return datetime.fromisoformat(str(text)).timestamp()


def parse_state(answer: dict[str, Any]) -> ContainerState:
    state = answer["State"]
    return ContainerState(
        status=str(state["Status"]),
        exit_code=int(state["ExitCode"]),
        oom_killed=bool(state["OOMKilled"]),
        ever_started=not str(state["StartedAt"]).startswith("0001-"),
        error=str(state.get("Error") or ""),
        id=str(answer["Id"]),
        epoch=naming.parse_epoch(answer["Config"].get("Labels") or {}),
        started_at=parse_time(state["StartedAt"]),
        finished_at=parse_time(state["FinishedAt"]),
        labels=dict(answer["Config"].get("Labels") or {}),
        image_id=str(answer.get("Image") or ""),
    )


def parse_object(kind: str, row: dict[str, Any]) -> EngineObject:
    names = [row["Name"]] if kind == "network" else [name.lstrip("/") for name in row["Names"]]
    labels = row.get("Labels") or {}
    keys = (naming.LABEL_RUN, naming.LABEL_ROLE, naming.LABEL_HOST)
    run_id, role, host = (str(labels.get(label, "")) for label in keys)
    name, image_id = names[0] if names else row["Id"], str(row.get("ImageID") or "")
    return EngineObject(kind, name, run_id, role, host, row["Id"], image_id)


def parse_ipv4_subnets(row: dict[str, Any]) -> list[IPv4Network]:
    configs = (row.get("IPAM") or {}).get("Config") or []
    subnets = [ip_network(config["Subnet"], strict=False) for config in configs if config.get("Subnet")]
    return [subnet for subnet in subnets if isinstance(subnet, IPv4Network)]


@dataclass(frozen=True)
class ImageFacts:
    """The facts of an image that a sandbox needs."""

    id: str  # the digest of its configuration, sha256:...
    volumes: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()  # names only
    labels: Mapping[str, str] = field(default_factory=dict)
    digests: tuple[str, ...] = ()  # repository@sha256:..., of the registries that it was pulled from or pushed to


NO_IMAGE = ImageFacts("")


def parse_image_facts(answer: Mapping[str, Any]) -> ImageFacts:
    config = answer.get("Config") or {}
    return ImageFacts(
        id=str(answer["Id"]),
        volumes=tuple(config.get("Volumes") or ()),
        variables=tuple(pair.partition("=")[0] for pair in config.get("Env") or ()),
        labels=dict(config.get("Labels") or {}),
        digests=tuple(str(name) for name in answer.get("RepoDigests") or ()),
    )


def overlaps_any(subnet: IPv4Network, subnets: Iterable[IPv4Network]) -> bool:
    return any(subnet.overlaps(other_subnet) for other_subnet in subnets)
