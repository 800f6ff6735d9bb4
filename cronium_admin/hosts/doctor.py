"""Looks whether this machine can run jobs: one row a matter, with the mend. It keeps the canary's verdict, no more."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Literal

import docker
import redis
import requests
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from docker.errors import DockerException, ImageNotFound

from cronium_admin.errors import Refused
from cronium_admin.hosts import canary
from cronium_admin.hosts.models import EMBEDDED
from cronium_admin.hosts.specs import SIDECAR_IMAGE as SIDECAR
from cronium_admin.images.engine import connect
from cronium_admin.images.models import Language
from cronium_admin.images.resolve import RULES, resolve
from executor.canary import Probe, mend
from executor.engine import REVERSE_PATH
from executor.engine import Engine as RunEngine
from executor.errors import EngineError
from executor.options import LABEL_INSTANCE

State = Literal["ok", "warning", "failed"]
SECONDS = 5
GB = 1024**3


@dataclass(frozen=True)
class Row:
    """One matter: its state, what was found, and for what is not ok the mend."""

    name: str
    state: State
    found: str
    mend: str = ""


class Engine:
    """One connection for all checks of the engine that `host` runs on; `why` says why there is none."""

    def __init__(self, host: str = EMBEDDED) -> None:
        self.host = host
        self.why = ""
        self.client: docker.APIClient | None = None
        self.info: dict[str, Any] = {}
        self.asked_at = time.time()
        try:
            self.client = connect(SECONDS)
            self.asked_at = time.time()
            self.info = self.client.info()
        except Refused as error:
            self.why = error.message
        except (DockerException, requests.RequestException) as error:
            self.why = f"The Docker Engine does not answer: {error}"
            self.client = None


def examine(host: str = EMBEDDED) -> list[Row]:
    """All rows, in the order in which a newcomer would mend them; the canary's are kept as `host`'s verdict."""
    engine = Engine(host)
    rows: list[Row] = []
    for name, check in CHECKS.items():
        if name in _NEED_ENGINE and engine.client is None:
            rows.append(Row(name, "warning", "Not checked: there is no engine to ask.", "Mend the engine first."))
            continue
        try:
            rows.extend(check(engine))
        except (DockerException, requests.RequestException, DatabaseError, OSError) as error:
            rows.append(Row(name, "failed", f"Could not be checked: {error}", "Mend what the message names."))
    return rows


def _engine(engine: Engine) -> Iterator[Row]:
    if engine.client is None:
        yield Row("engine", "failed", engine.why, "Start dockerd, or set CRONIUM_DOCKER_HOST.")
        return
    version, info = engine.client.version(), engine.info
    found = (
        f"Docker Engine {version['Version']}, API {version['ApiVersion']}, cgroup v{info.get('CgroupVersion', '?')}, "
        f"storage driver {info.get('Driver', '?')}"
    )
    limits = {"MemoryLimit": "memory", "SwapLimit": "swap", "PidsLimit": "processes", "CpuCfsQuota": "CPU"}
    missing = [word for key, word in limits.items() if info.get(key) is False]
    if info.get("OSType", "linux") != "linux":
        yield Row("engine", "failed", found + "; it runs no Linux containers", "Switch it to Linux containers.")
    elif missing:
        mend = "Enable these cgroup controllers in the host's kernel; until then a run's limits do not hold."
        yield Row("engine", "warning", f"{found}; it can't limit {', '.join(missing)}", mend)
    else:
        yield Row("engine", "ok", found)


def _images(engine: Engine) -> Iterator[Row]:
    assert engine.client is not None
    for language in Language:
        choice = resolve(language)
        name, found = f"image {language.value}", f"{choice.reference} ({RULES[choice.rule]})"
        if _present(engine.client, choice.reference):
            yield Row(name, "ok", found)
        elif choice.rule == "default":
            yield Row(name, "failed", f"{found} is not on the engine", "Run `manage.py images build`.")
        else:
            mend = f"Run `docker pull {choice.reference}`, or choose another image for {language.label}."
            yield Row(name, "failed", f"{found} is not on the engine", mend)
    if _present(engine.client, SIDECAR):
        yield Row("image sidecar", "ok", SIDECAR)
    else:
        yield Row("image sidecar", "failed", f"{SIDECAR} is not on the engine", "Run `manage.py images build`.")


def _present(client: docker.APIClient, reference: str) -> bool:
    try:
        client.inspect_image(reference)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return False
    return True


def _database(_: Engine) -> Iterator[Row]:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    found = f"{connection.display_name}"
    if waiting:
        names = ", ".join(str(migration) for migration, _ in waiting[:3])
        yield Row("database", "failed", f"{found}; {len(waiting)} migrations wait: {names}", "Run `manage.py migrate`.")
    elif connection.vendor == "sqlite" and (mode := _journal_mode()) != "wal":
        mend = "Put CRONIUM_DATA_DIR on a local disk: network file systems don't carry SQLite's WAL."
        yield Row("database", "warning", f"{found}, journal mode {mode}", mend)
    else:
        yield Row("database", "ok", found + (", WAL" if connection.vendor == "sqlite" else ""))


def _journal_mode() -> str:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        return str(cursor.fetchone()[0])


def _broker(_: Engine) -> Iterator[Row]:
    if not settings.CONFIG.redis_url:
        yield Row("broker", "ok", "In memory: web and worker are one process (`manage.py serve`)")
        return
    mend = "Start Redis or Valkey, or correct CRONIUM_REDIS_URL."
    try:
        client = redis.Redis.from_url(
            settings.CELERY_BROKER_URL, socket_timeout=SECONDS, socket_connect_timeout=SECONDS
        )
        server: Any = client.info("server")
        yield Row("broker", "ok", f"Redis {server['redis_version']}")
        async_to_sync(_layer_round_trip)()
        yield Row("channel layer", "ok", "A message came back")
    except (redis.RedisError, ValueError, TimeoutError) as error:
        yield Row("broker", "failed", f"No answer: {error or type(error).__name__}", mend)


async def _layer_round_trip() -> None:
    layer = get_channel_layer()
    name = await layer.new_channel("doctor")
    await layer.send(name, {"type": "doctor"})
    await asyncio.wait_for(layer.receive(name), SECONDS)


def _disk(engine: Engine) -> Iterator[Row]:
    places = {"data folder": Path(settings.DATA_DIR)}
    root = Path(engine.info.get("DockerRootDir", ""))
    if root.is_absolute() and root.is_dir():  # an engine on this machine
        places["engine's folder"] = root
    for what, place in places.items():
        usage = shutil.disk_usage(place)
        found = f"{what} {place}: {usage.free / GB:.1f} GB of {usage.total / GB:.1f} GB free"
        mend = "Free some space; `docker image prune` removes images that nothing uses."
        state: State = "failed" if usage.free < GB / 4 else "warning" if usage.free < 2 * GB else "ok"
        yield Row("disk", state, found, "" if state == "ok" else mend)


def _address_pool(engine: Engine) -> Iterator[Row]:
    assert engine.client is not None
    pool = settings.CONFIG.subnet_pool
    found = f"{pool}: {2 ** (29 - pool.prefixlen):,} networks of one run each"
    taken = [(name, net) for name, net in _foreign_networks(engine.client) if net.overlaps(pool)]
    taken += [(f"route {net}", net) for net in _host_routes() if net.overlaps(pool)]
    if not taken:
        yield Row("address pool", "ok", found)
        return
    names = ", ".join(name for name, _ in taken[:3])
    state: State = "failed" if any(pool.subnet_of(net) for _, net in taken) else "warning"
    mend = "Set CRONIUM_SUBNET_POOL to a private network that nothing else uses."
    yield Row("address pool", state, f"{found}; it overlaps {names}", mend)


def _foreign_networks(client: docker.APIClient) -> Iterator[tuple[str, IPv4Network]]:
    """The engine's networks that Cronium did not make."""
    for network in client.networks():
        if LABEL_INSTANCE in (network.get("Labels") or {}):
            continue
        for config in (network.get("IPAM") or {}).get("Config") or []:
            subnet = config.get("Subnet", "")
            if "." in subnet:
                yield f"network {network['Name']}", IPv4Network(subnet, strict=False)


def _host_routes(table: Path = Path("/proc/net/route")) -> Iterator[IPv4Network]:
    """This machine's routes less the default one; none where there is no such table."""
    lines = table.read_text().splitlines()[1:] if table.exists() else []
    for line in lines:
        fields = line.split()
        target, mask = (int.from_bytes(bytes.fromhex(fields[at]), "little") for at in (1, 7))
        if mask:
            yield IPv4Network((target, bin(mask).count("1")), strict=False)


def _reverse_path(_: Engine) -> Iterator[Row]:
    """Datagrams that want no answer, such as broadcasts, must not reach this machine from a run's bridge."""
    setting = REVERSE_PATH / "all" / "rp_filter"
    if not setting.exists():
        mend = "On the machine of the engine, run `sysctl -w net.ipv4.conf.all.rp_filter=1`."
        yield Row("reverse path", "warning", "Not checked: the engine's kernel is not this machine's.", mend)
    elif setting.read_text().strip() != "0":
        yield Row("reverse path", "ok", "The kernel drops what comes from a run's network to this machine")
    elif os.access(setting, os.W_OK):
        yield Row("reverse path", "ok", "The worker has the kernel drop what comes from a run's network")
    else:
        found = "A run can send datagrams without an answer to what listens on every address of this machine"
        mend = "Run `sysctl -w net.ipv4.conf.all.rp_filter=1` as root, and keep it in /etc/sysctl.d."
        yield Row("reverse path", "warning", found, mend)


def _isolation(engine: Engine) -> Iterator[Row]:
    """What a run like any other gets through to."""
    try:
        probes = canary.make(RunEngine(settings.CONFIG.docker_host), engine.host).run()
    except EngineError as error:
        again = "Mend what the message names, and run doctor again: nothing is known of this host's isolation."
        yield Row("isolation", "warning", str(error), again)
        return
    yield from map(_probe, probes)
    canary.store(engine.host, probes)


def _probe(probe: Probe) -> Row:
    name = f"isolation: {probe.name}"
    if probe.held is None:
        return Row(name, "warning", f"not tried: {probe.found}", "Look at the message; the other probes were made.")
    if probe.held:
        return Row(name, "ok", "held")
    return Row(name, "failed", f"got through: {probe.found}", mend(probe.name))


def _clock(engine: Engine) -> Iterator[Row]:
    text = str(engine.info.get("SystemTime", ""))
    try:
        # Nanoseconds are more digits than Python reads.
        theirs = datetime.fromisoformat(text[:19] + "+00:00") if text.endswith("Z") else datetime.fromisoformat(text)
    except ValueError:
        yield Row("clock", "warning", f"The engine's clock is unreadable: {text!r}", "Look at `docker info`.")
        return
    apart = abs(theirs.timestamp() - engine.asked_at)
    state: State = "failed" if apart > 60 else "warning" if apart > 5 else "ok"
    mend = "" if state == "ok" else "Let both machines follow a time server (NTP): tokens and timeouts need it."
    yield Row("clock", state, f"Engine and this machine differ by less than {int(apart) + 1} s", mend)


CHECKS: dict[str, Callable[[Engine], Iterator[Row]]] = {
    "engine": _engine,
    "database": _database,
    "images": _images,
    "broker": _broker,
    "disk": _disk,
    "address pool": _address_pool,
    "reverse path": _reverse_path,
    "clock": _clock,
    "isolation": _isolation,
}
_NEED_ENGINE = frozenset({"images", "address pool", "clock", "isolation"})
