"""The canary: tests the engine's isolation with an ordinary run, and a second run as its neighbour.

Reports which probes were contained; uses no database. A canary that cannot run is an error, not a result.
"""

import json
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from executor import naming
from executor.checks.memory_handler import MemoryHandler
from executor.docker.errors import EngineError, SandboxDrift
from executor.docker.protocol import EngineLike
from executor.run.slot import Slot
from executor.sandbox import options
from executor.sandbox.subnets import SubnetPool
from executor.spec import MB, Limits, RunSpec

SECONDS = 20.0
LIMITS = Limits(nano_cpus=1_000_000_000, memory_bytes=256 * MB, pids=100)
NEIGHBOUR_PORT = 9000
NAME = "example.com"  # resolves wherever DNS works
SCRIPT = Path(__file__).with_name("isolation_probe.py")
NEIGHBOUR = f"""
import socket, time
listener = socket.create_server(("0.0.0.0", {NEIGHBOUR_PORT}))
print("ready", flush=True)
time.sleep(600)
"""
_ENGINE = "Update the Docker Engine to 20.10 or later; dockerd must run with seccomp (docker info names it)."
REMEDIES = {
    "sandbox": "The message names the settings that differ from the request. Fix the engine's configuration.",
    "host": "Block traffic from a run's bridge to this machine. Check its firewall and routes, and other tools that "
    "change the engine's networks.",
    "neighbour": "Keep the engine's firewall rules (--iptables on), and forward no traffic between bridges.",
    "DNS": "The engine's resolver must not forward a run's queries. Update the engine, and keep its dns setting.",
    "setuid": "Update the engine and its runtime: no-new-privileges and dropped capabilities have no effect here.",
    "root file system": "Use a storage driver and runtime that can mount a root read-only, such as overlay2 and runc.",
    "disk": "Remove mounts that the engine's settings add to containers, and make sure that tmpfs mounts work.",
    "engine socket": "Remove the engine's socket from the image and from the engine's default mounts.",
}


class CanaryFailed(EngineError):
    """The canary produced no result."""


@dataclass(frozen=True)
class Probe:
    """The result of one probe. `held`: the sandbox contained it; else `found` describes the escape."""

    name: str
    held: bool | None  # None: the probe could not run, and `found` is the error
    found: str


def find_remedy(name: str) -> str:
    return REMEDIES.get(name, _ENGINE)


class Canary:
    """One canary run. `images` are tried in order until one has Python. `stop` may be called from any thread."""

    def __init__(
        self,
        engine: EngineLike,
        images: Sequence[str],
        sidecar_image: str,
        instance: str,
        host: str,
        subnets: SubnetPool,
        joined_network: bool = True,
    ) -> None:
        self._engine = engine
        self._images = images
        self._sidecar_image = sidecar_image
        self._instance = instance
        self._host = make_host_label(host)
        self._subnets = subnets
        self._joined_network = joined_network  # as for every other run
        self._builds = threading.Semaphore(2)
        self._slots: list[Slot] = []
        self._stopped = False

    def run(self) -> list[Probe]:
        """Run the probes, which takes a few seconds. EngineError when there is no result."""
        failure: EngineError = CanaryFailed("There is no image for the canary. Run `manage.py images build`.")
        for image in self._images:
            try:
                return self._try_image(image)
            except EngineError as error:
                failure = error
                if self._stopped:
                    break
        raise failure

    def stop(self) -> None:
        self._stopped = True
        for slot in list(self._slots):
            slot.stop()

    def _try_image(self, image: str) -> list[Probe]:
        waiting = MemoryHandler(b"ready")
        neighbour, thread = self._start_run(image, NEIGHBOUR, {}, waiting)
        try:
            if not waiting.changed.wait(SECONDS + 20):
                raise CanaryFailed(_explain_failure(waiting))
            if waiting.result:
                return _parse_probes(waiting)
            with closing(_open_listener()) as listener:
                targets = {
                    "host": list_host_addresses(),
                    "port": listener.getsockname()[1],
                    "neighbour": self._list_addresses(neighbour.spec.run_id),
                    "name": NAME,
                }
                probing = MemoryHandler()
                _, probing_thread = self._start_run(
                    image, SCRIPT.read_text(), {"CANARY_TARGETS": json.dumps(targets)}, probing
                )
                probing.over.wait()
                neighbour.stop()  # removes both sandboxes in parallel
                probing_thread.join()
            return _parse_probes(probing)
        finally:
            neighbour.stop()
            thread.join()

    def _start_run(
        self, image: str, script: str, env: dict[str, str], handler: MemoryHandler
    ) -> tuple[Slot, threading.Thread]:
        slot = Slot(self._engine, self._build_spec(image, script, env), handler, self._subnets, self._builds)
        self._slots.append(slot)
        if self._stopped:
            slot.stop()
        thread = threading.Thread(target=slot.run, name="canary-run", daemon=True)
        thread.start()
        return slot, thread

    def _build_spec(self, image: str, script: str, env: dict[str, str]) -> RunSpec:
        return RunSpec(
            run_id=str(uuid.uuid4()),
            instance=self._instance,
            host=self._host,
            language="python",
            script=script,
            image=image,
            sidecar_image=self._sidecar_image,
            limits=LIMITS,
            timeout_seconds=SECONDS,
            log_limit_bytes=MB,
            token=secrets.token_urlsafe(32),
            token_expires_at=int(time.time() + 120),
            env=env,
            joined_network=self._joined_network,
        )

    def _list_addresses(self, run_id: str) -> list[tuple[str, int]]:
        """The addresses of a run's containers, each with the ports of both: they may share a network namespace."""
        addresses = []
        for name in (naming.name_main(run_id), naming.name_sidecar(run_id)):
            networks = self._engine.describe_container(name)["NetworkSettings"]["Networks"]
            addresses += [str(endpoint["IPAddress"]) for endpoint in networks.values() if endpoint.get("IPAddress")]
        return [(address, port) for address in addresses for port in (NEIGHBOUR_PORT, options.SIDECAR_PORT)]


_HOST_PREFIX = "canary@"


def make_host_label(host: str) -> str:
    return f"{_HOST_PREFIX}{host}"


def is_canary_host(host: str) -> bool:
    return host.startswith(_HOST_PREFIX)


def _open_listener() -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("0.0.0.0", 0))  # noqa: S104 - that is what must not be reached


def list_host_addresses(proc: Path = Path("/proc/net")) -> list[str]:
    addresses: dict[str, None] = {}
    address = ""
    for line in _read_lines(proc / "fib_trie"):
        fields = line.split()
        if fields[:1] == ["|--"]:
            address = fields[1]
        elif fields == ["/32", "host", "LOCAL"] and not address.startswith("127."):
            addresses[address] = None
    for line in _read_lines(proc / "if_inet6"):
        bits, _, _, scope, _, _ = line.split()
        if scope == "00":  # global
            addresses[socket.inet_ntop(socket.AF_INET6, bytes.fromhex(bits))] = None
    return list(addresses)[:64]


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _explain_failure(handler: MemoryHandler) -> str:
    output = handler.text.decode(errors="replace").strip()[-300:]
    quoted = f" It said: {output}" if output else ""
    return (
        f"The canary did not run: {handler.result.message if handler.result else 'it was not ready in time.'}{quoted}"
    )


def _parse_probes(handler: MemoryHandler) -> list[Probe]:
    if handler.result and handler.result.reason == SandboxDrift.reason:
        return [Probe("sandbox", False, handler.result.message)]
    try:
        rows = json.loads(handler.text.splitlines()[-1])
        probes = [Probe(row["name"], row["held"], row["found"]) for row in rows]
    except (ValueError, LookupError, TypeError) as error:
        raise CanaryFailed(_explain_failure(handler)) from error
    if not probes:
        raise CanaryFailed(_explain_failure(handler))
    return probes
