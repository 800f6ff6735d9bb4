"""Pure: compares the sandbox that the engine reports with the requested one, and finds violated requirements.

The requirements are repeated here on purpose: a mistake in `options` shows as drift. A report never contains
environment, labels or command lines.
"""

import hashlib
from collections.abc import Callable, Mapping, Set
from dataclasses import asdict, dataclass
from typing import Any

from executor import naming
from executor.sandbox import options, seccomp
from executor.sandbox.topology import choose_topology
from executor.sandbox.volumes import normalize_path
from executor.spec import MB, SandboxSpec

USER = "1000:1000"
BUILD_USER, BUILD_CAPABILITIES = "0:0", "CHOWN, DAC_OVERRIDE, FOWNER"
DOCKERFILE_CAPABILITIES = "CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID"
MISSING = "not reported"
NOTHING = "none"
OWN = "its own"
SIDECARS = "the sidecar's"
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One setting. `drift`: reported and requested value differ. `promise`: a requirement; drift stops the run."""

    of: str  # main, sidecar, network, or way out (the sidecar's egress network)
    what: str
    asked: str
    reported: str
    drift: bool
    promise: bool = False


def build_rows(spec: SandboxSpec, requested: Json, reported: Json, default_runtime: str, image_id: str) -> list[Row]:
    """All rows of one sandbox. `requested` and `reported` map names to the bodies sent and the answers to `inspect`."""
    rows: list[Row] = []
    names = {naming.name_main(spec.run_id): "main", naming.name_sidecar(spec.run_id): "sidecar"}
    # The sidecar's id, if main has to be in its network namespace.
    sidecar_id = None
    if choose_topology(spec, default_runtime) == "joined":
        sidecar_id = str((reported.get(naming.name_sidecar(spec.run_id)) or {}).get("Id", ""))
    for name, body in requested.items():
        answer = reported.get(name) or {}
        if role := names.get(name):
            rows += _inspect_container(role, spec, body, answer, default_runtime)
            rows += _inspect_networks(role, spec, answer, sidecar_id)
            if role == "sidecar":  # created by the id that its name had then
                rows.append(_make_row(role, "image", body["Image"], format_value(answer.get("Image", MISSING))))
        else:
            own_names = {naming.name_sidecar(spec.run_id)}
            own_names |= {naming.name_main(spec.run_id)} if sidecar_id is None else set()
            rows += _inspect_network(name, spec, body, answer, own_names)
    if (main_name := naming.name_main(spec.run_id)) in requested:  # a stem has no main
        main = reported.get(main_name) or {}
        rows.append(_make_row("main", "image", image_id, format_value(main.get("Image", MISSING))))
    return sorted(rows, key=lambda row: ("main", "sidecar", "network", "way out").index(row.of))


def to_json(rows: list[Row]) -> dict[str, Any]:
    return {"rows": [asdict(row) for row in rows], "count": len(rows), "drifted": sum(row.drift for row in rows)}


def describe_violations(rows: list[Row]) -> str:
    violations = [
        f"{row.of}'s {row.what} is {row.reported} (requested: {row.asked})" for row in rows if row.drift and row.promise
    ]
    if not violations:
        return ""
    return (
        f"The engine created a sandbox that differs from the request, so the script was not started: "
        f"{'; '.join(violations)[:600]}. Run `manage.py doctor` on this host for details."
    )


def describe_changes(earlier: list[Row], rows: list[Row]) -> str:
    """What another program changed between two reports of one sandbox; empty if nothing."""
    changes = [f"{row.of}'s {row.what} is {row.reported}" for row in rows if row not in earlier]
    return f"The sandbox was changed from outside Cronium: {'; '.join(changes)[:600]}." if changes else ""


def _make_row(of: str, what: str, asked: str, reported: str, *, promise: bool = False) -> Row:
    return Row(of, what, asked[:300], reported[:300], asked != reported, promise)


def format_value(value: Any) -> str:
    if value in (None, "", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {format_value(item)}" for key, item in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(sorted(format_value(item) for item in value))
    return str(value)


def _format_megabytes(value: Any) -> str:
    return f"{value / MB:g} MB" if isinstance(value, int) else format_value(value)


def _format_cpus(value: Any) -> str:
    return f"{value / 1e9:g}" if isinstance(value, int) else format_value(value)


def _format_namespace(value: Any) -> str:
    return OWN if value in (None, "", "private", "shareable", "none") else format_value(value)


def _format_tmpfs(value: Any) -> str:
    parts = {}
    for path, settings in (value or {}).items():
        sized = [
            f"size={int(setting[5:]) / MB:g}MB" if setting.startswith("size=") and setting[5:].isdecimal() else setting
            for setting in settings.split(",")
        ]
        parts[path] = " ".join(sorted(sized))
    return "; ".join(f"{path} {settings}" for path, settings in sorted(parts.items())) or NOTHING


def _format_capabilities(value: Any) -> str:
    return format_value([name.removeprefix("CAP_") for name in value or []])


def _format_privileges(value: Any) -> str:
    settings = [option for option in value or [] if option.partition(":")[0].partition("=")[0] == "no-new-privileges"]
    return "yes" if settings and not settings[-1].endswith("false") else "no"


def _format_seccomp(value: Any) -> str:
    profiles = [option.removeprefix("seccomp=") for option in value or [] if option.startswith("seccomp=")]
    if not profiles:
        return "the engine's default"
    return profiles[-1] if profiles[-1] in ("unconfined", "builtin") else f"sha256 {_compute_digest(profiles[-1])}"


def _compute_digest(profile: str) -> str:
    return hashlib.sha256(profile.encode()).hexdigest()[:16]


def _format_other_options(value: Any) -> str:
    return format_value(
        [option[:80] for option in value or [] if not option.startswith(("seccomp=", "no-new-privileges"))]
    )


def _format_disk_volumes(config: Json, host: Json) -> str:
    return format_value(
        sorted({normalize_path(path) for path in config.get("Volumes") or {}} - set(host.get("Tmpfs") or {}))
    )


@dataclass(frozen=True)
class _Requirement:
    """A required setting of HostConfig for every run, independent of `options`."""

    key: str
    what: str
    wanted: str
    read: Callable[[Any], str] = format_value


REQUIREMENTS = (
    _Requirement("Privileged", "privileged", "no"),
    _Requirement("CapDrop", "capabilities dropped", "ALL"),
    _Requirement("CapAdd", "capabilities added", NOTHING, _format_capabilities),
    _Requirement("SecurityOpt", "no new privileges", "yes", _format_privileges),
    _Requirement(
        "SecurityOpt",
        "seccomp profile",
        f"sha256 {_compute_digest(seccomp.build_security_option().removeprefix('seccomp='))}",
        _format_seccomp,
    ),
    _Requirement("Binds", "host folders", NOTHING),
    _Requirement("VolumesFrom", "volumes of others", NOTHING),
    _Requirement("Devices", "devices", NOTHING),
    _Requirement("DeviceCgroupRules", "device rules", NOTHING),
    _Requirement("PidMode", "processes", OWN, _format_namespace),
    _Requirement("IpcMode", "shared memory", OWN, _format_namespace),
    _Requirement("UTSMode", "host name", OWN, _format_namespace),
    _Requirement("UsernsMode", "user names", OWN, _format_namespace),
    _Requirement("PortBindings", "published ports", NOTHING),
    _Requirement("PublishAllPorts", "publishes all ports", "no"),
)
# Other settings that `options` requests in HostConfig: label and formatter.
NAMED: dict[str, tuple[str, Callable[[Any], str]]] = {
    "Memory": ("memory", _format_megabytes),
    "MemorySwap": ("memory with swap", _format_megabytes),
    "NanoCpus": ("CPU", _format_cpus),
    "PidsLimit": ("processes at most", format_value),
    "Tmpfs": ("memory file systems", _format_tmpfs),
    "Dns": ("DNS", format_value),
    "DnsSearch": ("DNS search", format_value),
    "DnsOptions": ("DNS options", format_value),
    "ExtraHosts": ("known names", format_value),
    "Sysctls": ("kernel settings", format_value),
    "Init": ("init", format_value),
    "AutoRemove": ("removes itself", format_value),
    "RestartPolicy": ("restarts", lambda value: format_value((value or {}).get("Name"))),
    "LogConfig": (
        "log driver",
        lambda value: f"{format_value((value or {}).get('Type'))} {format_value((value or {}).get('Config'))}",
    ),
    "Ulimits": ("own limits", format_value),
    "NetworkMode": ("network", format_value),
}
_APART = frozenset({"ReadonlyRootfs", "Runtime"} | {requirement.key for requirement in REQUIREMENTS})


def _inspect_container(role: str, spec: SandboxSpec, body: Json, answer: Json, default_runtime: str) -> list[Row]:
    asked, host = body.get("HostConfig", {}), answer.get("HostConfig") or {}
    config = answer.get("Config") or {}
    builds = spec.is_build and role == "main"
    user = BUILD_USER if builds else USER
    capabilities = DOCKERFILE_CAPABILITIES if spec.runs_dockerfile else BUILD_CAPABILITIES
    rows = [_make_row(role, "user", user, format_value(config.get("User", MISSING)), promise=True)]
    for requirement in REQUIREMENTS:
        wanted = capabilities if builds and requirement.key == "CapAdd" else requirement.wanted
        reported = requirement.read(host[requirement.key]) if requirement.key in host else MISSING
        # An engine may omit empty settings: then the row warns, but does not stop the run.
        promise = reported != MISSING or wanted not in (NOTHING, OWN)
        rows.append(_make_row(role, requirement.what, wanted, reported, promise=promise))
    read_only = role == "sidecar" or spec.read_only_root
    rows.append(
        _make_row(
            role,
            "read-only root",
            format_value(read_only),
            format_value(host.get("ReadonlyRootfs", MISSING)),
            promise=read_only,
        )
    )
    folders = [f"{mount.get('Type')} {mount.get('Destination')}" for mount in answer.get("Mounts") or []]
    rows.append(
        _make_row(role, "mounts", NOTHING, format_value(folders) if "Mounts" in answer else MISSING, promise=True)
    )
    rows.append(_make_row(role, "volumes on the disk", NOTHING, _format_disk_volumes(config, host), promise=True))
    runtime = str(asked.get("Runtime") or default_runtime)
    rows.append(_make_row(role, "runtime", runtime, format_value(host.get("Runtime", MISSING))))
    rows.append(_make_row(role, "image name", body["Image"], format_value(config.get("Image", MISSING))))
    other_options = _format_other_options(asked.get("SecurityOpt"))
    rows.append(
        _make_row(role, "other security options", other_options, _format_other_options(host.get("SecurityOpt")))
    )
    limits = spec.limits if role == "main" else options.SIDECAR_LIMITS
    fixed = {"Memory": limits.memory_bytes, "MemorySwap": limits.memory_bytes}
    fixed |= {"NanoCpus": limits.nano_cpus, "PidsLimit": limits.pids}
    for key, value in {**asked, **fixed}.items():
        # A joined namespace has a row of its own. This one would name the sidecar's id, which differs for each run.
        if key not in _APART and not (key == "NetworkMode" and str(value).startswith(options.JOINED_TO)):
            what, read = NAMED.get(key, (key, format_value))
            rows.append(_make_row(role, what, read(value), read(host[key]) if key in host else MISSING))
    return rows


def _inspect_networks(role: str, spec: SandboxSpec, answer: Json, sidecar_id: str | None) -> list[Row]:
    """`sidecar_id`: the sidecar whose network namespace main has to be in; None if main has its own."""
    is_joined = role == "main" and sidecar_id is not None
    expected = [] if is_joined or spec.network == "none" else [naming.name_network(spec.run_id)]
    if (role, spec.network) == ("sidecar", "egress"):
        expected.append(naming.name_egress_network(spec.run_id))
    settings = answer.get("NetworkSettings") or {}
    reported = (
        format_value([name for name in settings["Networks"] or {} if name != "none"])
        if "Networks" in settings
        else MISSING
    )
    mode = (answer.get("HostConfig") or {}).get("NetworkMode", MISSING)
    namespace = SIDECARS if is_joined else OWN
    return [
        _make_row(role, "networks", format_value(expected), reported, promise=True),
        _make_row(role, "network namespace", namespace, _format_network_mode(mode, sidecar_id), promise=True),
    ]


def _format_network_mode(mode: str, sidecar_id: str | None) -> str:
    if sidecar_id and mode == f"container:{sidecar_id}":
        return SIDECARS
    return mode if mode in ("host", MISSING) or mode.startswith("container:") else OWN


def _inspect_network(name: str, spec: SandboxSpec, body: Json, answer: Json, own_names: Set[str]) -> list[Row]:
    of = "network" if name == naming.name_network(spec.run_id) else "way out"
    closed = of == "network" and spec.network in ("isolated", "egress")
    requested, reported = body.get("Options") or {}, answer.get("Options") or {}

    def same(key: str) -> Row:
        return _make_row(
            of, key.lower(), format_value(body.get(key)), format_value(answer[key]) if key in answer else MISSING
        )

    rows = [same("Driver"), same("Attachable")]
    internal = True if closed else body.get("Internal")
    rows.append(
        _make_row(of, "internal", format_value(internal), format_value(answer.get("Internal", MISSING)), promise=closed)
    )
    if closed:
        rows.append(_make_row(of, "address of the host", NOTHING, _format_host_address(reported), promise=True))
    rows.append(_make_row(of, "IPv6", "no", format_value(answer.get("EnableIPv6", MISSING)), promise=closed))
    rows.append(
        _make_row(of, "subnet", _format_subnets(body), _format_subnets(answer) if "IPAM" in answer else MISSING)
    )
    rows.append(
        _make_row(
            of, "other containers", NOTHING, _format_other_containers(answer, own_names), promise="Containers" in answer
        )
    )
    for key, value in requested.items():
        rows.append(
            _make_row(of, key.rpartition(".bridge.")[2], format_value(value), format_value(reported.get(key, MISSING)))
        )
    return rows


def _format_host_address(options: Json) -> str:
    prefix = "com.docker.network.bridge."
    kept_off = options.get(prefix + "inhibit_ipv4") == "true" or options.get(prefix + "gateway_mode_ipv4") == "isolated"
    return NOTHING if kept_off else "one on its bridge"


def _format_subnets(value: Json) -> str:
    return format_value([config.get("Subnet") for config in (value.get("IPAM") or {}).get("Config") or []])


def _format_other_containers(answer: Json, own_names: Set[str]) -> str:
    if "Containers" not in answer:
        return MISSING
    return format_value(
        [
            container.get("Name")
            for container in (answer["Containers"] or {}).values()
            if container.get("Name") not in own_names
        ]
    )
