"""Pure: from a SandboxSpec to the bodies of the engine's create calls. Calls no engine and reads no clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from executor.docker.models import NO_IMAGE, ImageFacts
from executor.naming import build_labels, name_bridge, name_egress_network, name_network
from executor.sandbox import seccomp
from executor.sandbox.bootstrap import BOOTSTRAP
from executor.sandbox.volumes import find_paths_to_cover
from executor.spec import MB, Limits, SandboxSpec, Shape

USER = "1000:1000"


@dataclass(frozen=True)
class Privileges:
    """The user of a main container, and its capabilities; all others are dropped."""

    user: str
    capabilities: tuple[str, ...] = ()


# There is no fourth set, and everything else is the same for all three. BUILD is for runs that build an image: package
# managers change owners (CHOWN), files of other owners (DAC_OVERRIDE), and their modes and times (FOWNER). DOCKERFILE
# is for builds of a Dockerfile: its commands also change their user (SETUID, SETGID) and stop processes of other users
# (KILL).
RUN = Privileges(USER)
BUILD = Privileges("0:0", ("CHOWN", "DAC_OVERRIDE", "FOWNER"))
DOCKERFILE = Privileges("0:0", ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"))
HOSTNAME = "job"
JOINED_TO = "container:"  # before a container's id: the network mode of a container that joins its namespace
SIDECAR_PORT = 8081
SIDECAR_NAMES = ("runtime-api", "runtime")
LOOPBACK = IPv4Address("127.0.0.1")  # where a main that joined the sidecar's network namespace finds the sidecar
SIDECAR_LIMITS = Limits(nano_cpus=500_000_000, memory_bytes=256 * MB, pids=64)
SIDECAR_TMP_BYTES = 50 * MB
# Upper limits of the tmpfs sizes: a tmpfs counts as the container's memory, so both must leave room for the script.
TMP_BYTES, WORKSPACE_BYTES = 100 * MB, 500 * MB
SHM_BYTES = 64 * MB
INODES = 20_000
RESERVED = "CRONIUM_"  # the prefix of variables that only Cronium sets


@dataclass(frozen=True)
class Addresses:
    """The fixed addresses in a network's /29."""

    subnet: IPv4Network

    @property
    def gateway(self) -> IPv4Address:
        # Reserved for the bridge, which is configured without an address.
        return self.subnet.network_address + 1

    @property
    def sidecar(self) -> IPv4Address:
        return self.subnet.network_address + 2

    @property
    def main(self) -> IPv4Address:
        return self.subnet.network_address + 3


def _build_no_host_options(engine_version: str) -> dict[str, str]:
    asked = {"com.docker.network.bridge.inhibit_ipv4": "true"}
    major = engine_version.partition(".")[0]
    if major.isdecimal() and int(major) >= 28:
        asked["com.docker.network.bridge.gateway_mode_ipv4"] = "isolated"
    return asked


def build_network(spec: SandboxSpec, addresses: Addresses, engine_version: str = "") -> dict[str, Any]:
    # Internal and without an address of the host (docs/security.md), unless it is `open`.
    closed = spec.network != "open"
    body = _build_bridge_network(spec, name_network(spec.run_id), addresses, name_bridge(spec), internal=closed)
    return body | {"Options": {**_build_no_host_options(engine_version), **body["Options"]}} if closed else body


def build_egress_network(spec: SandboxSpec, addresses: Addresses) -> dict[str, Any]:
    name, bridge = name_egress_network(spec.run_id), name_bridge(spec, "ce")
    return _build_bridge_network(spec, name, addresses, bridge, internal=False)


def _build_bridge_network(
    spec: SandboxSpec, name: str, addresses: Addresses, bridge: str, *, internal: bool
) -> dict[str, Any]:
    return {
        "Name": name,
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Internal": internal,
        "Attachable": False,
        "IPAM": {"Config": [{"Subnet": str(addresses.subnet), "Gateway": str(addresses.gateway)}]},
        "Options": {"com.docker.network.bridge.name": bridge},
        "Labels": build_labels(spec, "network"),
    }


def cover_volumes(spec: Shape, image: ImageFacts, reference: str = "") -> dict[str, str]:
    size = min(TMP_BYTES, spec.limits.memory_bytes // 5)
    paths = find_paths_to_cover(reference or spec.image, image.volumes)
    return {path: _format_tmpfs(size, "0755", owned=True) for path in paths}


def _build_memory_mounts(spec: Shape, image: ImageFacts, reference: str) -> dict[str, str]:
    return {
        **cover_volumes(spec, image, reference),
        "/dev/shm": f"rw,noexec,nosuid,nodev,mode=1777,size={SHM_BYTES},nr_inodes={INODES}",  # noqa: S108 - inside
        # Message queues are files there: a script could create them although seccomp refuses the calls.
        "/dev/mqueue": "ro,noexec,nosuid,nodev,mode=0555,size=4096",
    }


def _format_tmpfs(size: int, mode: str, *, owned: bool = False) -> str:
    owner = "uid=1000,gid=1000," if owned else ""
    return f"rw,exec,nosuid,nodev,{owner}mode={mode},size={size},nr_inodes={INODES}"


def _build_hardening(limits: Limits, spec: Shape) -> dict[str, Any]:
    return {
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", seccomp.build_security_option()],
        "Privileged": False,
        "NanoCpus": limits.nano_cpus,
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,  # memory and swap together: no swap
        "PidsLimit": limits.pids,
        "Init": True,  # reaps zombies and forwards SIGTERM, which bash as PID 1 would ignore
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
        "Sysctls": {"net.ipv6.conf.all.disable_ipv6": "1", "net.ipv4.ip_forward": "0"},
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        **({"Runtime": spec.runtime} if spec.runtime else {}),
    }


NO_NAMES = {
    "Dns": ["127.0.0.1"],  # no server there: the engine's own resolver would forward to the host's
    "DnsSearch": ["."],
    "DnsOptions": ["timeout:1", "attempts:1"],  # a lookup fails within a second instead of ten
}


def _build_dns(spec: Shape, role: str) -> dict[str, Any]:
    # Only a script on an open network and the proxy of an egress network resolve names.
    if (role, spec.network) == ("main", "open"):
        return {}
    if (role, spec.network) == ("sidecar", "egress"):
        return {"DnsSearch": ["."], **({"Dns": list(spec.egress_dns)} if spec.egress_dns else {})}
    return NO_NAMES


def _build_network_mode(spec: SandboxSpec, addresses: Addresses | None) -> dict[str, Any]:
    if addresses is None:
        return {"NetworkMode": "none"}
    return {"NetworkMode": name_network(spec.run_id), "ExtraHosts": _build_known_names(addresses.sidecar)}


def _build_known_names(sidecar: IPv4Address) -> list[str]:
    return [f"{name}:{sidecar}" for name in SIDECAR_NAMES]


def _build_endpoint(spec: SandboxSpec, address: IPv4Address, aliases: list[str]) -> dict[str, Any]:
    return {"EndpointsConfig": {name_network(spec.run_id): build_endpoint_config(address, aliases)}}


def build_endpoint_config(address: IPv4Address, aliases: Iterable[str] = ()) -> dict[str, Any]:
    return {"IPAMConfig": {"IPv4Address": str(address)}, "Aliases": list(aliases)}


def _build_environment(spec: SandboxSpec) -> dict[str, str]:
    alone = {"CRONIUM_NETWORK": "none"}  # read by the helpers, which then report that there is no runtime API
    return {
        "CRONIUM_JOB_ID": spec.run_id,
        "CRONIUM_JOB_TYPE": spec.language,
        "CRONIUM_RUN_ID": spec.run_id,
        "CRONIUM_LANGUAGE": spec.language,
        "CRONIUM_EXECUTION_MODE": "container",
        "CRONIUM_EXECUTION_ID": spec.run_id,
        **(alone if spec.network == "none" else {"CRONIUM_RUNTIME_API": f"http://runtime-api:{SIDECAR_PORT}"}),
        "HOME": "/workspace",
    }


def _drop_reserved(variables: Mapping[str, str], image: ImageFacts) -> list[str]:
    # A name without a value unsets the image's variable.
    inherited = {name for name in image.variables if name.startswith(RESERVED)} - set(variables)
    return [*(f"{name}={value}" for name, value in variables.items()), *sorted(inherited)]


def choose_privileges(spec: Shape) -> Privileges:
    if not spec.is_build:
        return RUN
    return DOCKERFILE if spec.runs_dockerfile else BUILD


def build_main_container(
    spec: SandboxSpec,
    addresses: Addresses | None,
    log_driver: str,
    image: ImageFacts = NO_IMAGE,
    sidecar_id: str | None = None,
) -> dict[str, Any]:
    """The job's container. It waits for the payload on standard input and runs nothing without it.

    `addresses` are those of the job's network; None without a network. With a `sidecar_id` it joins the network
    namespace of that container instead.
    """
    memory = spec.limits.memory_bytes
    is_joined = sidecar_id is not None
    privileges = choose_privileges(spec)
    host_config = _build_hardening(spec.limits, spec)
    if privileges.capabilities:
        host_config["CapAdd"] = list(privileges.capabilities)
    if is_joined:
        # Host name, known names, DNS and the network's kernel settings are those of the sidecar.
        del host_config["Sysctls"]
        host_config |= {"NetworkMode": f"{JOINED_TO}{sidecar_id}"}
    else:
        host_config |= _build_network_mode(spec, addresses) | _build_dns(spec, "main")
    host_config |= {
        "ReadonlyRootfs": spec.read_only_root,
        "Tmpfs": {
            **_build_memory_mounts(spec, image, spec.image),
            "/tmp": _format_tmpfs(min(TMP_BYTES, memory // 5), "1777"),  # noqa: S108 - inside the container
            "/workspace": _format_tmpfs(min(WORKSPACE_BYTES, memory // 2), "0755", owned=True),
        },
        "LogConfig": build_log_config(log_driver, spec.log_limit_bytes),
    }
    return {
        # The digest: by now the name may point to another image, whose volumes were not checked.
        "Image": image.id or spec.image_digest or spec.image,
        "Hostname": "" if is_joined else HOSTNAME,
        "User": privileges.user,
        "WorkingDir": "/workspace",
        "Entrypoint": ["/bin/sh", "-c", BOOTSTRAP],
        "Cmd": [],
        "Env": _drop_reserved(_build_environment(spec), image),
        "Labels": build_labels(spec, "main"),
        "Healthcheck": {"Test": ["NONE"]},  # the image's health check would run beside the script
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "Tty": False,
        "StopSignal": "SIGTERM",
        "HostConfig": host_config,
        "NetworkingConfig": _build_endpoint(spec, addresses.main, []) if addresses and not is_joined else {},
    }


def build_sidecar_container(
    spec: SandboxSpec, addresses: Addresses | None, image: ImageFacts = NO_IMAGE
) -> dict[str, Any]:
    """The sidecar. Without `addresses` it starts without a network, for a main that joins its network namespace; it is
    connected to the job's network while it runs."""
    host_config = _build_hardening(SIDECAR_LIMITS, spec) | _build_network_mode(spec, addresses)
    if addresses is None:
        host_config |= {"ExtraHosts": _build_known_names(LOOPBACK), **_build_dns(spec, "main")}
    else:
        host_config |= _build_dns(spec, "sidecar")
    host_config |= {
        "ReadonlyRootfs": True,
        "Tmpfs": {
            **_build_memory_mounts(spec, image, spec.sidecar_image),
            "/tmp": _format_tmpfs(SIDECAR_TMP_BYTES, "1777"),  # noqa: S108 - inside the container
        },
        "LogConfig": {"Type": "none", "Config": {}},  # its output carries the run's input and output values
    }
    return {
        "Image": image.id or spec.sidecar_image,
        "Env": _drop_reserved({}, image),
        "Hostname": "runtime-api" if addresses else HOSTNAME,  # a main that joins it has the same
        "User": USER,
        "Labels": build_labels(spec, "sidecar"),
        "Healthcheck": {"Test": ["NONE"]},
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": False,  # a worker may attach again
        "Tty": False,
        "HostConfig": host_config,
        "NetworkingConfig": _build_endpoint(spec, addresses.sidecar, [*SIDECAR_NAMES]) if addresses else {},
    }


# The engine's log file is larger than the log by up to these factors. Each line, of at least LEAST_LINE_BYTES, takes 40
# more bytes (80 as JSON); in JSON a control character takes six bytes.
_FILE_BYTES = {"local": 5}
_FILE_BYTES_AS_JSON = 9


def build_log_config(driver: str, limit_bytes: int) -> dict[str, Any]:
    # One file, large enough for the whole log: the engine must never rotate a line away.
    size = str(_FILE_BYTES.get(driver, _FILE_BYTES_AS_JSON) * limit_bytes + 16 * MB)
    options = {"max-size": size, "max-file": "1"}
    if driver == "local":
        options["compress"] = "false"
    return {"Type": driver, "Config": options}
