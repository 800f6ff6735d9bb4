"""Pure: from a RunSpec to the bodies of the engine's create calls. Asks no engine and reads no clock."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from executor import seccomp
from executor.payload import BOOTSTRAP
from executor.spec import MB, Limits, RunSpec

USER = "1000:1000"
SIDECAR_PORT = 8081
SIDECAR_LIMITS = Limits(nano_cpus=500_000_000, memory_bytes=256 * MB, pids=64)
SIDECAR_TMP_BYTES = 50 * MB
# The seed's sizes are ceilings: a tmpfs counts as the container's memory, so both together must leave room.
TMP_BYTES, WORKSPACE_BYTES = 100 * MB, 500 * MB
INODES = 20_000
LABEL_INSTANCE, LABEL_RUN, LABEL_ROLE, LABEL_HOST = (
    "cronium.instance",
    "cronium.run_id",
    "cronium.role",
    "cronium.host",
)


def network_name(run_id: str) -> str:
    return f"cronium-job-{run_id}"


def bridge_name(run_id: str) -> str:
    """The network's interface on the host; the kernel takes fifteen characters."""
    return "cr" + run_id.replace("-", "")[:13]


def main_name(run_id: str) -> str:
    return f"cronium-main-{run_id}"


def sidecar_name(run_id: str) -> str:
    return f"cronium-sidecar-{run_id}"


def labels(spec: RunSpec, role: str) -> dict[str, str]:
    return {
        LABEL_INSTANCE: spec.instance,
        LABEL_RUN: spec.run_id,
        LABEL_ROLE: role,
        LABEL_HOST: spec.host,
    }


@dataclass(frozen=True)
class Addresses:
    """Who has which address in a run's own /29."""

    subnet: IPv4Network

    @property
    def gateway(self) -> IPv4Address:
        """Reserved for the bridge, which is told not to take it."""
        return self.subnet.network_address + 1

    @property
    def sidecar(self) -> IPv4Address:
        return self.subnet.network_address + 2

    @property
    def main(self) -> IPv4Address:
        return self.subnet.network_address + 3


def _no_host_address(engine_version: str) -> dict[str, str]:
    """The bridge's options that keep the host off it: for every engine, and what newer ones know besides."""
    asked = {"com.docker.network.bridge.inhibit_ipv4": "true"}
    major = engine_version.partition(".")[0]
    if major.isdecimal() and int(major) >= 28:
        asked["com.docker.network.bridge.gateway_mode_ipv4"] = "isolated"
    return asked


def network(spec: RunSpec, addresses: Addresses, engine_version: str = "") -> dict[str, Any]:
    """An internal network without an address of the host (see docs/security.md)."""
    return {
        "Name": network_name(spec.run_id),
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Internal": True,
        "Attachable": False,
        "IPAM": {"Config": [{"Subnet": str(addresses.subnet), "Gateway": str(addresses.gateway)}]},
        "Options": {
            **_no_host_address(engine_version),
            "com.docker.network.bridge.name": bridge_name(spec.run_id),
        },
        "Labels": labels(spec, "network"),
    }


def _tmpfs(size: int, mode: str, *, owned: bool = False) -> str:
    owner = "uid=1000,gid=1000," if owned else ""
    return f"rw,exec,nosuid,nodev,{owner}mode={mode},size={size},nr_inodes={INODES}"


def _hardened(limits: Limits, spec: RunSpec, addresses: Addresses) -> dict[str, Any]:
    """What main and sidecar have in common."""
    names = [f"{name}:{addresses.sidecar}" for name in ("runtime-api", "runtime")]
    return {
        "NetworkMode": network_name(spec.run_id),
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", seccomp.security_option()],
        "Privileged": False,
        "NanoCpus": limits.nano_cpus,
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,  # memory and swap together: no swap
        "PidsLimit": limits.pids,
        "Init": True,  # reaps zombies, and forwards SIGTERM, which bash as process 1 would ignore
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
        "Dns": ["127.0.0.1"],  # nobody listens there: the engine's own resolver would ask the host's
        "DnsSearch": ["."],
        "DnsOptions": ["timeout:1", "attempts:1"],  # so a script that asks is told in a second, not in ten
        "ExtraHosts": names,
        "Sysctls": {"net.ipv6.conf.all.disable_ipv6": "1", "net.ipv4.ip_forward": "0"},
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
    }


def _endpoint(spec: RunSpec, address: IPv4Address, aliases: list[str]) -> dict[str, Any]:
    config = {"IPAMConfig": {"IPv4Address": str(address)}, "Aliases": aliases}
    return {"EndpointsConfig": {network_name(spec.run_id): config}}


def main_container(spec: RunSpec, addresses: Addresses, log_driver: str) -> dict[str, Any]:
    """The job's container: waits on standard input for its payload, and runs nothing without it."""
    memory = spec.limits.memory_bytes
    host_config = _hardened(spec.limits, spec, addresses) | {
        "ReadonlyRootfs": spec.read_only_root,
        "Tmpfs": {
            "/tmp": _tmpfs(min(TMP_BYTES, memory // 5), "1777"),  # noqa: S108 - inside the container
            "/workspace": _tmpfs(min(WORKSPACE_BYTES, memory // 2), "0755", owned=True),
        },
        "LogConfig": log_config(log_driver, spec.log_limit_bytes),
    }
    env = {
        "CRONIUM_JOB_ID": spec.run_id,
        "CRONIUM_JOB_TYPE": spec.language,
        "CRONIUM_EXECUTION_MODE": "container",
        "CRONIUM_EXECUTION_ID": spec.run_id,
        "CRONIUM_RUNTIME_API": f"http://runtime-api:{SIDECAR_PORT}",
        "HOME": "/workspace",
    }
    return {
        "Image": spec.image,
        "Hostname": "job",
        "User": USER,
        "WorkingDir": "/workspace",
        "Entrypoint": ["/bin/sh", "-c", BOOTSTRAP],
        "Cmd": [],
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": labels(spec, "main"),
        "Healthcheck": {"Test": ["NONE"]},  # an image's own check would run beside the script
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "Tty": False,
        "StopSignal": "SIGTERM",
        "HostConfig": host_config,
        "NetworkingConfig": _endpoint(spec, addresses.main, []),
    }


def sidecar_container(spec: RunSpec, addresses: Addresses) -> dict[str, Any]:
    """The runtime API's container: as hardened as the job's, and told what it knows on standard input."""
    host_config = _hardened(SIDECAR_LIMITS, spec, addresses) | {
        "ReadonlyRootfs": True,
        "Tmpfs": {"/tmp": _tmpfs(SIDECAR_TMP_BYTES, "1777")},  # noqa: S108 - inside the container
        "LogConfig": {"Type": "none", "Config": {}},  # its channel carries the run's input and output
    }
    return {
        "Image": spec.sidecar_image,
        "Hostname": "runtime-api",
        "User": USER,
        "Labels": labels(spec, "sidecar"),
        "Healthcheck": {"Test": ["NONE"]},
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": False,  # a worker that comes back may attach again
        "Tty": False,
        "HostConfig": host_config,
        "NetworkingConfig": _endpoint(spec, addresses.sidecar, ["runtime-api", "runtime"]),
    }


def log_config(driver: str, limit_bytes: int) -> dict[str, Any]:
    """One file, larger than the run may write: the engine must never rotate a line away."""
    size = str(2 * limit_bytes + 16 * MB)
    options = {"max-size": size, "max-file": "1"}
    if driver == "local":
        options["compress"] = "false"
    return {"Type": driver, "Config": options}
