"""Checks of the Docker Engine: version and limits, images, clock, and addresses."""

from collections.abc import Iterator
from datetime import datetime
from ipaddress import IPv4Network
from pathlib import Path

import docker
from django.conf import settings
from docker.errors import ImageNotFound

from cronium_admin.images.models import Language
from cronium_admin.images.resolution import RULES, ImageChoice, resolve_image
from cronium_admin.workers.health.probe import HealthProbe
from cronium_admin.workers.health.results import CheckResult, State
from cronium_admin.workers.run_spec import SIDECAR_IMAGE as SIDECAR
from executor.naming import LABEL_INSTANCE

TLS = "Set CRONIUM_DOCKER_CERT_PATH, or connect over SSH: see docs/deploy.md."
LIMITS = {"MemoryLimit": "memory", "SwapLimit": "swap", "PidsLimit": "processes", "CpuCfsQuota": "CPU"}


def check_engine(probe: HealthProbe) -> Iterator[CheckResult]:
    if probe.client is None:
        yield CheckResult("engine", "failed", probe.engine_error, "Start dockerd, or set CRONIUM_DOCKER_HOST.")
        return
    version, info = probe.client.version(), probe.info
    description = (
        f"Docker Engine {version['Version']}, API {version['ApiVersion']}, cgroup v{info.get('CgroupVersion', '?')}, "
        f"storage driver {info.get('Driver', '?')}"
    )
    missing = [word for key, word in LIMITS.items() if info.get(key) is False]
    if info.get("OSType", "linux") != "linux":
        yield CheckResult(
            "engine", "failed", description + "; it does not run Linux containers", "Switch it to Linux containers."
        )
    elif missing:
        mend = "Enable these cgroup controllers in the host's kernel; until then these limits of runs have no effect."
        yield CheckResult("engine", "warning", f"{description}; it cannot limit {', '.join(missing)}", mend)
    elif probe.client.base_url.startswith("http://"):
        yield CheckResult("engine", "warning", f"{description}; over TCP without TLS: any client has root access", TLS)
    else:
        yield CheckResult("engine", "ok", description)


def check_images(probe: HealthProbe) -> Iterator[CheckResult]:
    assert probe.client is not None
    choices = probe.call_database(lambda: [(language, resolve_image(language)) for language in Language])
    yield from (_check_image(probe.client, language, choice) for language, choice in choices)
    if _has_image(probe.client, SIDECAR):
        yield CheckResult("image sidecar", "ok", SIDECAR)
    else:
        yield CheckResult("image sidecar", "failed", f"{SIDECAR} is not on the engine", "Run `manage.py images build`.")


def _check_image(client: docker.APIClient, language: Language, choice: ImageChoice) -> CheckResult:
    name, description = f"image {language.value}", f"{choice.reference} ({RULES[choice.rule]})"
    if _has_image(client, choice.reference):
        return CheckResult(name, "ok", description)
    if choice.rule == "default":
        return CheckResult(name, "failed", f"{description} is not on the engine", "Run `manage.py images build`.")
    mend = f"Run `docker pull {choice.reference}`, or choose another image for {language.label}."
    return CheckResult(name, "failed", f"{description} is not on the engine", mend)


def _has_image(client: docker.APIClient, reference: str) -> bool:
    try:
        client.inspect_image(reference)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return False
    return True


def check_address_pool(probe: HealthProbe) -> Iterator[CheckResult]:
    assert probe.client is not None
    pool = settings.CONFIG.subnet_pool
    description = f"{pool}: {2 ** (29 - pool.prefixlen):,} networks of one run each"
    own, foreign = _list_networks(probe.client)
    overlapping = [(name, net) for name, net in foreign if net.overlaps(pool)]
    overlapping += [(f"route {net}", net) for net in read_host_routes() if net.overlaps(pool) and net not in own]
    if not overlapping:
        yield CheckResult("address pool", "ok", description)
        return
    names = ", ".join(name for name, _ in overlapping[:3])
    state: State = "failed" if any(pool.subnet_of(net) for _, net in overlapping) else "warning"
    mend = "Set CRONIUM_SUBNET_POOL to a private network that nothing else uses."
    yield CheckResult("address pool", state, f"{description}; it overlaps {names}", mend)


def _list_networks(client: docker.APIClient) -> tuple[set[IPv4Network], list[tuple[str, IPv4Network]]]:
    """The subnets of runs and waiting sandboxes, some of which have a route on the host; and the other networks."""
    own: set[IPv4Network] = set()
    foreign: list[tuple[str, IPv4Network]] = []
    for network in client.networks():
        for config in (network.get("IPAM") or {}).get("Config") or []:
            subnet = config.get("Subnet", "")
            if "." not in subnet:
                continue
            if LABEL_INSTANCE in (network.get("Labels") or {}):
                own.add(IPv4Network(subnet, strict=False))
            else:
                foreign.append((f"network {network['Name']}", IPv4Network(subnet, strict=False)))
    return own, foreign


def read_host_routes(table: Path = Path("/proc/net/route")) -> Iterator[IPv4Network]:
    lines = table.read_text().splitlines()[1:] if table.exists() else []
    for line in lines:
        fields = line.split()
        target, mask = (int.from_bytes(bytes.fromhex(fields[column]), "little") for column in (1, 7))
        if mask:
            yield IPv4Network((target, bin(mask).count("1")), strict=False)


def check_clock(probe: HealthProbe) -> Iterator[CheckResult]:
    text = str(probe.info.get("SystemTime", ""))
    try:
        # Python does not parse nanoseconds.
        engine_time = (
            datetime.fromisoformat(text[:19] + "+00:00") if text.endswith("Z") else datetime.fromisoformat(text)
        )
    except ValueError:
        yield CheckResult("clock", "warning", f"The engine's clock is unreadable: {text!r}", "See `docker info`.")
        return
    difference = abs(engine_time.timestamp() - probe.asked_at)
    state: State = "failed" if difference > 60 else "warning" if difference > 5 else "ok"
    mend = "" if state == "ok" else "Synchronize both machines with a time server (NTP): tokens and timeouts need it."
    yield CheckResult("clock", state, f"Engine and this machine differ by less than {int(difference) + 1} s", mend)
