"""The engine: what it is and can limit, whether it has the images, and whether its clock and addresses fit ours."""

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

TLS = "Set CRONIUM_DOCKER_CERT_PATH, or reach it over SSH: see docs/deploy.md."
LIMITS = {"MemoryLimit": "memory", "SwapLimit": "swap", "PidsLimit": "processes", "CpuCfsQuota": "CPU"}


def check_engine(patient: HealthProbe) -> Iterator[CheckResult]:
    if patient.client is None:
        yield CheckResult("engine", "failed", patient.engine_error, "Start dockerd, or set CRONIUM_DOCKER_HOST.")
        return
    version, info = patient.client.version(), patient.info
    found = (
        f"Docker Engine {version['Version']}, API {version['ApiVersion']}, cgroup v{info.get('CgroupVersion', '?')}, "
        f"storage driver {info.get('Driver', '?')}"
    )
    missing = [word for key, word in LIMITS.items() if info.get(key) is False]
    if info.get("OSType", "linux") != "linux":
        yield CheckResult("engine", "failed", found + "; it runs no Linux containers", "Switch it to Linux containers.")
    elif missing:
        mend = "Enable these cgroup controllers in the host's kernel; until then a run's limits do not hold."
        yield CheckResult("engine", "warning", f"{found}; it can't limit {', '.join(missing)}", mend)
    elif patient.client.base_url.startswith("http://"):
        yield CheckResult(
            "engine", "warning", f"{found}; over TCP without TLS, so whoever reaches it is root there", TLS
        )
    else:
        yield CheckResult("engine", "ok", found)


def check_images(patient: HealthProbe) -> Iterator[CheckResult]:
    assert patient.client is not None
    choices = patient.call_database(lambda: [(language, resolve_image(language)) for language in Language])
    yield from (_check_image(patient.client, language, choice) for language, choice in choices)
    if _has_image(patient.client, SIDECAR):
        yield CheckResult("image sidecar", "ok", SIDECAR)
    else:
        yield CheckResult("image sidecar", "failed", f"{SIDECAR} is not on the engine", "Run `manage.py images build`.")


def _check_image(client: docker.APIClient, language: Language, choice: ImageChoice) -> CheckResult:
    name, found = f"image {language.value}", f"{choice.reference} ({RULES[choice.rule]})"
    if _has_image(client, choice.reference):
        return CheckResult(name, "ok", found)
    if choice.rule == "default":
        return CheckResult(name, "failed", f"{found} is not on the engine", "Run `manage.py images build`.")
    mend = f"Run `docker pull {choice.reference}`, or choose another image for {language.label}."
    return CheckResult(name, "failed", f"{found} is not on the engine", mend)


def _has_image(client: docker.APIClient, reference: str) -> bool:
    try:
        client.inspect_image(reference)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return False
    return True


def check_address_pool(patient: HealthProbe) -> Iterator[CheckResult]:
    assert patient.client is not None
    pool = settings.CONFIG.subnet_pool
    found = f"{pool}: {2 ** (29 - pool.prefixlen):,} networks of one run each"
    taken = [(name, net) for name, net in _list_foreign_networks(patient.client) if net.overlaps(pool)]
    taken += [(f"route {net}", net) for net in read_host_routes() if net.overlaps(pool)]
    if not taken:
        yield CheckResult("address pool", "ok", found)
        return
    names = ", ".join(name for name, _ in taken[:3])
    state: State = "failed" if any(pool.subnet_of(net) for _, net in taken) else "warning"
    mend = "Set CRONIUM_SUBNET_POOL to a private network that nothing else uses."
    yield CheckResult("address pool", state, f"{found}; it overlaps {names}", mend)


def _list_foreign_networks(client: docker.APIClient) -> Iterator[tuple[str, IPv4Network]]:
    """The engine's networks that Cronium did not make."""
    for network in client.networks():
        if LABEL_INSTANCE in (network.get("Labels") or {}):
            continue
        for config in (network.get("IPAM") or {}).get("Config") or []:
            subnet = config.get("Subnet", "")
            if "." in subnet:
                yield f"network {network['Name']}", IPv4Network(subnet, strict=False)


def read_host_routes(table: Path = Path("/proc/net/route")) -> Iterator[IPv4Network]:
    """This machine's routes less the default one; none where there is no such table."""
    lines = table.read_text().splitlines()[1:] if table.exists() else []
    for line in lines:
        fields = line.split()
        target, mask = (int.from_bytes(bytes.fromhex(fields[at]), "little") for at in (1, 7))
        if mask:
            yield IPv4Network((target, bin(mask).count("1")), strict=False)


def check_clock(patient: HealthProbe) -> Iterator[CheckResult]:
    text = str(patient.info.get("SystemTime", ""))
    try:
        # Nanoseconds are more digits than Python reads.
        theirs = datetime.fromisoformat(text[:19] + "+00:00") if text.endswith("Z") else datetime.fromisoformat(text)
    except ValueError:
        yield CheckResult("clock", "warning", f"The engine's clock is unreadable: {text!r}", "Look at `docker info`.")
        return
    apart = abs(theirs.timestamp() - patient.asked_at)
    state: State = "failed" if apart > 60 else "warning" if apart > 5 else "ok"
    mend = "" if state == "ok" else "Let both machines follow a time server (NTP): tokens and timeouts need it."
    yield CheckResult("clock", state, f"Engine and this machine differ by less than {int(apart) + 1} s", mend)
