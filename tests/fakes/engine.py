"""A fake engine without Docker: containers are local shells, networks are names. Tests inject its faults.

It has the behaviour that tests of sandbox, slot and supervisor need, and passes the same contract as the real engine
(tests/fakes/contract.py). It isolates nothing: run only trusted scripts in it.
"""

import copy
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import IO, Any

from executor import naming
from executor.docker.attachment import Attachment
from executor.docker.errors import AddressTaken, Conflict, EngineError, Forbidden, ImageMissing, NotFound
from executor.docker.models import (
    ContainerState,
    EngineObject,
    Image,
    ImageFacts,
    Usage,
    overlaps_any,
    parse_ipv4_subnets,
)
from executor.docker.ownership import filter_own
from tests.fakes.images import FakeImages
from tests.fakes.log import FakeLog, chunk, frame

BRIDGE = "com.docker.network.bridge.name"
# Settings of a container that an engine reports although they were not requested.
NOT_ASKED = {
    **dict.fromkeys(("Binds", "CapAdd", "Devices", "DeviceCgroupRules", "PortBindings", "VolumesFrom", "GroupAdd")),
    **{"PidMode": "", "UTSMode": "", "UsernsMode": "", "IpcMode": "private", "Runtime": "runc"},
    **{"Privileged": False, "PublishAllPorts": False},
}


@dataclass
class FakeContainer:
    """One container: the request, and its state."""

    name: str
    body: dict[str, Any]
    folder: Path
    id: str = field(default_factory=lambda: secrets.token_hex(32))
    status: str = "created"
    exit_code: int = 0
    started: bool = False
    oom_killed: bool = False
    started_at: float = 0.0
    finished_at: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    outputs: list[socket.socket] = field(default_factory=list)  # our ends
    inputs: list[socket.socket] = field(default_factory=list)
    sent: int = 0
    networks: dict[str, Any] = field(default_factory=dict)
    gone: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    log: FakeLog = field(default_factory=FakeLog)

    @property
    def role(self) -> str:
        return str((self.body.get("Labels") or {}).get(naming.LABEL_ROLE, ""))


def _digest(reference: str) -> str:
    return "sha256:" + hashlib.sha256(reference.encode()).hexdigest()


class FakeArchives:
    """The fake engine's `archives`: measures nothing, and makes no image."""

    def __init__(self) -> None:
        self.written = 0  # bytes that every container has written to its root
        self.labelled: dict[tuple[str, str], list[Image]] = {}  # images by label and its value

    def measure_disk(self, container: str) -> int:
        return self.written

    def read_image(self, reference: str) -> dict[str, Any] | None:
        raise NotImplementedError

    def read_names(self, image_id: str) -> list[str] | None:
        raise NotImplementedError

    def list_labelled(self, label: str, value: str) -> list[Image]:
        return self.labelled.get((label, value), [])

    def commit(self, container: str, name: str, tag: str) -> str:
        raise NotImplementedError

    def save(self, reference: str, target: IO[bytes]) -> None:
        raise NotImplementedError

    def load(self, source: IO[bytes]) -> str:
        raise NotImplementedError


class FakeEngine:
    """Has the methods of `EngineLike`. `fail` makes one of them raise; `sidecar` sets the behaviour of sidecars."""

    version, log_driver, default_runtime = "fake", "local", "runc"
    is_local, image_folder = True, "/"

    def __init__(self, images: tuple[str, ...] = ("runner:bash", "sidecar:latest")) -> None:
        self.images = set(images)
        self.archives = FakeArchives()
        self.tags: dict[str, str] = {}  # names that were moved to another image, by that image's own name
        self.brings: dict[str, ImageFacts] = {}  # by id
        self.pulled: dict[str, str] = {}  # names that were pulled or made by `image_calls`, with their ids
        self.image_calls = FakeImages(self)
        self.containers: dict[str, FakeContainer] = {}
        self.networks: dict[str, dict[str, Any]] = {}
        self.calls: Counter[str] = Counter()
        self.sidecar = "ready"  # ready, silent, ends, or old (without the message "loaded")
        self.read_by_sidecar: dict[str, list[bytes]] = {}  # its first line, by its name
        self.clock_ahead = 0.0  # seconds
        self.cut_output_after: int | None = None  # bytes of frames, then main's output stream ends
        self.is_mute = False  # main's connections are dead: they bring nothing any more, and no end
        self.cut_log_after: int | None = None  # bytes, then the reading of a log breaks, once
        self.offered = ("runc",)
        self.booted = 0.0  # unix seconds
        self.twist: Callable[[str, dict[str, Any]], None] = lambda name, told: None  # changes the report
        self.before: dict[str, Callable[[], None]] = {}  # called before a method, by its name
        self._faults: dict[tuple[str, int], EngineError] = {}
        self._lock = threading.RLock()
        self._folder = Path(tempfile.mkdtemp(prefix="fake-engine-"))

    # Attributes that tests set and read.

    def fail(self, method: str, error: EngineError, nth: int = 1) -> None:
        """The `nth` call of `method` from now raises `error`."""
        self._faults[method, self.calls[method] + nth] = error

    def close(self) -> None:
        for name in list(self.containers):
            self.remove_container(name)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def left(self) -> list[str]:
        """The names of all objects."""
        return [*self.containers, *self.networks]

    def restart(self, name: str) -> None:
        """Like `docker restart`: no client is attached afterwards, and its standard input stays open."""
        container = self._get(name)
        with container.lock:
            container.inputs.clear()
        self._signal(container, signal.SIGKILL)
        assert container.gone.wait(5)
        container.gone, container.process, container.log = threading.Event(), None, FakeLog()
        container.status, container.exit_code, container.started_at = "running", 0, self._time()
        threading.Thread(target=self._run_main, args=(container,), daemon=True).start()

    def rename(self, name: str, other: str) -> None:
        """Like `docker rename`."""
        with self._lock:
            container = self.containers.pop(name)
            container.name = other
            self.containers[other] = container

    def ask(self, run_id: str, operation: str, body: Any) -> dict[str, Any]:
        """Sends a request of a run's sidecar to its worker; returns the answer."""
        container = self.containers[naming.name_sidecar(run_id)]
        self.say(run_id, {"type": "request", "id": 1, "op": operation, "body": body})
        return dict(json.loads(self._read_line(container.inputs[-1])))

    def say(self, run_id: str, *messages: dict[str, Any]) -> None:
        """Sends a message on the channel of a run's sidecar."""
        container = self.containers[naming.name_sidecar(run_id)]
        self._emit(container, 1, b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def _enter(self, method: str) -> None:
        with self._lock:
            self.calls[method] += 1
            fault = self._faults.pop((method, self.calls[method]), None)
        if hook := self.before.get(method):
            hook()
        if fault:
            raise fault

    def _get(self, name: str) -> FakeContainer:
        """By name or id."""
        with self._lock:
            if name in self.containers:
                return self.containers[name]
            for container in self.containers.values():
                if container.id == name:
                    return container
        raise NotFound(f"No such container: {name}")

    # EngineLike.

    def ping(self) -> None:
        self._enter("ping")

    def list_images(self) -> list[Image]:
        self._enter("list_images")
        known = {name: _digest(name) for name in self.images} | self.pulled
        return [Image(found, (name,), 1000) for name, found in sorted(known.items())]

    def describe_image(self, reference: str) -> ImageFacts:
        self._enter("describe_image")
        if (found := self._image(reference)) is None:
            raise ImageMissing(f"The image {reference} is not on this host.")
        return self.brings.get(found, ImageFacts(found))

    def bring(self, reference: str, **facts: Any) -> None:
        """Adds volumes, variables or labels to an image."""
        found = _digest(reference)
        self.brings[found] = ImageFacts(found, **facts)

    def _image(self, reference: str) -> str | None:
        """The id of an image by name or id."""
        ids = {name: _digest(self.tags.get(name, name)) for name in self.images}
        ids |= {
            f"@{number}": _digest(name) for number, name in enumerate(self.tags)
        }  # an image stays when its tag moves
        ids |= self.pulled
        return ids.get(reference) or (reference if reference in ids.values() else None)

    def list_runtimes(self) -> tuple[str, ...]:
        self._enter("list_runtimes")
        return self.offered

    def read_resources(self) -> tuple[float, int]:
        self._enter("read_resources")
        return 8.0, 32 * 1024**3

    def create_network(self, body: dict[str, Any]) -> None:
        self._enter("create_network")
        wanted = IPv4Network(body["IPAM"]["Config"][0]["Subnet"])
        with self._lock:
            if body["Name"] in self.networks:
                raise Conflict(f"network with name {body['Name']} already exists")
            if len(body["Options"].get(BRIDGE, "")) > 15:
                raise EngineError("The bridge's name is too long")
            if overlaps_any(wanted, self.list_subnets()):
                raise AddressTaken("Pool overlaps with other one on this address space")
            self.networks[body["Name"]] = body

    def list_subnets(self) -> frozenset[IPv4Network]:
        self._enter("list_subnets")
        with self._lock:
            return frozenset(subnet for body in self.networks.values() for subnet in parse_ipv4_subnets(body))

    def connect_network(
        self, container: str, network: str, address: IPv4Address, aliases: tuple[str, ...] = ()
    ) -> None:
        self._enter("connect_network")
        with self._lock:
            if network not in self.networks:
                raise NotFound(f"No such network: {network}")
            joined = self._get(container).networks
            if "none" in joined:
                raise Forbidden("container cannot be connected to multiple networks with one in private mode")
            joined[network] = {"IPAMConfig": {"IPv4Address": str(address)}, "Aliases": list(aliases)}

    def disconnect_network(self, container: str, network: str) -> None:
        self._enter("disconnect_network")
        with self._lock:
            if self._get(container).networks.pop(network, None) is None:
                raise Forbidden(f"container {container} is not connected to the network {network}")

    def remove_network(self, name: str) -> None:
        self._enter("remove_network")
        with self._lock:
            self.networks.pop(name, None)
            for container in self.containers.values():
                container.networks.pop(name, None)

    def create_container(self, name: str, body: dict[str, Any]) -> str:
        self._enter("create_container")
        with self._lock:
            if name in self.containers:
                raise Conflict(f"The container name {name} is already in use")
            if self._image(body["Image"]) is None:
                raise ImageMissing(f"The image {body['Image']} is not on this host.")
            folder = self._folder / name
            shutil.rmtree(folder, ignore_errors=True)  # of one with this name that was removed
            folder.mkdir()
            self.containers[name] = made = FakeContainer(name, body, folder)
            mode = body.get("HostConfig", {}).get("NetworkMode", "none")
            given = body.get("NetworkingConfig", {}).get("EndpointsConfig") or {mode: {}}
            made.networks = {} if mode.startswith("container:") else copy.deepcopy(given)
        return made.id

    def attach(self, name: str, *, stdin: bool, output: bool) -> Attachment:
        self._enter("attach")
        container = self._get(name)
        ours, theirs = socket.socketpair()
        with container.lock:
            if output:
                container.outputs.append(ours)
            if stdin:
                container.inputs.append(ours)
        if stdin and container.role == "sidecar" and container.status == "running":
            threading.Thread(target=self._reattached, args=(container, ours), daemon=True).start()
        return Attachment(theirs)

    def open_log(self, name: str, *, follow: bool, new_only: bool = False) -> Attachment:
        self._enter("open_log")
        container = self._get(name)
        ours, theirs = socket.socketpair()
        threading.Thread(target=self._send_log, args=(container, ours, follow, new_only), daemon=True).start()
        return Attachment(theirs)

    def _send_log(self, container: FakeContainer, reader: socket.socket, follow: bool, new_only: bool) -> None:
        """To its end or, once, until `cut_log_after` bytes were sent."""
        sent = 0
        with suppress(OSError):
            for message in container.log.messages(follow, new_only):
                sent += len(message)
                if self.cut_log_after is not None and sent > self.cut_log_after:
                    self.cut_log_after = None
                    break
                reader.sendall(chunk(message))
            else:
                reader.sendall(chunk(b""))
        reader.close()

    def start(self, name: str, *, is_new: bool = False) -> None:
        self._enter("start")
        container = self._get(name)
        mode, _, other = str(container.body["HostConfig"]["NetworkMode"]).partition(":")
        if mode == "container" and self._get(other).status != "running":
            raise Conflict("cannot join network of a non running container")
        with container.lock:
            if container.started and not is_new:
                raise Conflict(f"The container {name} was started before.")
            container.started, container.status, container.started_at = True, "running", self._time()
        target = self._run_sidecar if container.role == "sidecar" else self._run_main
        threading.Thread(target=target, args=(container,), daemon=True).start()

    def inspect(self, name: str) -> ContainerState:
        self._enter("inspect")
        return self._state(self._get(name))

    def _state(self, one: FakeContainer) -> ContainerState:
        epoch = naming.parse_epoch(one.body.get("Labels") or {})
        times = one.started_at, one.finished_at
        labels, image = one.body.get("Labels") or {}, self._image(one.body["Image"]) or ""
        inherited = self.brings[image].labels if image in self.brings else {}
        return ContainerState(
            one.status,
            one.exit_code,
            one.oom_killed,
            one.started,
            "",
            one.id,
            epoch,
            *times,
            inherited | labels,
            image,
        )

    def describe_container(self, name: str) -> dict[str, Any]:
        """The request in the form of an engine's answer, changed by `twist`."""
        self._enter("describe_container")
        body, joined = self._get(name).body, self._get(name).networks
        image = self._image(body["Image"])
        volumes = self.brings[image].volumes if image in self.brings else ()
        covered = {*body["HostConfig"].get("Tmpfs", {})}
        told = {
            "Id": self._get(name).id,
            "Image": image,
            "State": {"StartedAt": datetime.fromtimestamp(self._get(name).started_at, UTC).isoformat()},
            "Config": {key: value for key, value in body.items() if key not in ("HostConfig", "NetworkingConfig")}
            | {"Volumes": dict.fromkeys(volumes)},
            "HostConfig": {**NOT_ASKED, **body["HostConfig"]},
            "Mounts": [{"Type": "volume", "Destination": path} for path in volumes if path not in covered],
            "NetworkSettings": {"Networks": copy.deepcopy(joined)},
        }
        told = copy.deepcopy(told)
        self.twist(name, told)
        return told

    def describe_network(self, name: str) -> dict[str, Any]:
        self._enter("describe_network")
        with self._lock:
            if name not in self.networks:
                raise NotFound(f"No such network: {name}")
            members = [one for one in self.containers.values() if name in one.networks and one.status == "running"]
            told = {"Id": name, "EnableIPv6": False, **copy.deepcopy(self.networks[name])}
            told["Containers"] = {one.id: {"Name": one.name} for one in members}
        self.twist(name, told)
        return told

    def wait(self, name: str, seconds: int) -> None:
        self._enter("wait")
        with suppress(NotFound):
            self._get(name).gone.wait(seconds)

    def stop(self, name: str, grace: int) -> None:
        self._enter("stop")
        with suppress(NotFound):
            container = self._get(name)
            if container.status != "running":
                return
            self._signal(container, signal.SIGTERM)
            if not container.gone.wait(grace):
                self._signal(container, signal.SIGKILL)
                container.gone.wait(5)

    def remove_container(self, name: str) -> None:
        self._enter("remove_container")
        with suppress(NotFound):
            container = self._get(name)
            if container.status == "running":
                self._signal(container, signal.SIGKILL)
                container.gone.wait(5)
            self._close_streams(container)
            container.log.end()
            with self._lock:
                self.containers.pop(container.name, None)

    def read_usage(self, name: str) -> Usage:
        self._enter("read_usage")
        self._get(name)
        return Usage(1_234_567, 1.5)

    def list_own_objects(self, instance: str) -> list[EngineObject]:
        self._enter("list_own_objects")
        with self._lock:
            states = {one.name: self._state(one) for one in self.containers.values()}
            rows = [("container", name, one.labels, one.id, one.image_id) for name, one in states.items()]
            rows += [("network", name, body["Labels"], name, "") for name, body in self.networks.items()]
        wanted = (naming.LABEL_RUN, naming.LABEL_ROLE, naming.LABEL_HOST)
        listed = [
            EngineObject(kind, name, *(labels.get(label, "") for label in wanted), container_id, image)
            for kind, name, labels, container_id, image in rows
            if labels.get(naming.LABEL_INSTANCE) == instance
        ]
        return filter_own(self, listed)

    def read_clock(self) -> float:
        self._enter("read_clock")
        return self._time()

    def read_boot_time(self) -> float:
        self._enter("read_boot_time")
        return self.booted

    def _time(self) -> float:
        return time.time() + self.clock_ahead

    # How containers behave.

    def _run_main(self, container: FakeContainer) -> None:
        """Runs the entrypoint as a local shell with a separate folder as /workspace."""
        process = subprocess.Popen(
            [*container.body["Entrypoint"], *container.body["Cmd"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=container.folder,
            env={"PATH": os.environ["PATH"], **dict(pair.split("=", 1) for pair in container.body["Env"])},
            start_new_session=True,
        )
        container.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        pipes = [(1, process.stdout.fileno()), (2, process.stderr.fileno())]
        pumps = [threading.Thread(target=self._pump, args=(container, *pipe), daemon=True) for pipe in pipes]
        pumps.append(threading.Thread(target=self._feed, args=(container, process), daemon=True))
        for pump in pumps:
            pump.start()
        code = process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a container's end takes all of its processes along
        for pump in pumps[:2]:
            pump.join()
        self._end(container, code if code >= 0 else 128 - code)

    def _feed(self, container: FakeContainer, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        given = b""
        if not container.inputs:
            container.gone.wait()
        for source in container.inputs[:1]:
            with suppress(OSError):
                while block := source.recv(65536):
                    given += block
        with suppress(OSError):
            process.stdin.write(given.replace(b"/workspace", bytes(container.folder)))
        with suppress(OSError):
            process.stdin.close()

    def _pump(self, container: FakeContainer, stream: int, pipe: int) -> None:
        while block := os.read(pipe, 15_000):
            self._emit(container, stream, block)

    def _emit(self, container: FakeContainer, stream: int, data: bytes) -> None:
        """Sends to every attached reader; a reader that does not read blocks the container."""
        container.log.write(stream, data, int(self._time() * 1e9))
        block = frame(stream, data)
        if self._is_dead(container):
            return
        if self.cut_output_after is not None and container.role == "main":
            block = block[: max(0, self.cut_output_after - container.sent)]
            container.sent += len(block)
        with container.lock:
            for reader in container.outputs:
                with suppress(OSError):
                    reader.sendall(block)
                    if self.cut_output_after == container.sent and container.role == "main":
                        self.booted = self._time()  # an engine that ends a stream before its container was restarted
                        reader.shutdown(socket.SHUT_RDWR)

    def _is_dead(self, container: FakeContainer) -> bool:
        return self.is_mute and container.role == "main"

    def _run_sidecar(self, container: FakeContainer) -> None:
        if self.sidecar == "ends":
            self._emit(container, 2, b"cannot listen\nthe port is taken\n")
            self._end(container, 1)
            return
        if self.sidecar != "old":
            self._emit(container, 1, b'{"type": "loaded"}\n')
        line = self._read_line(container.inputs[0])
        if line == b'{"type":"listen"}\n':
            self._emit(container, 1, b'{"type": "listening"}\n')
            line = self._read_line(container.inputs[0])
        if line:
            self.read_by_sidecar.setdefault(container.name, []).append(line)
        config = json.loads(line or b"{}")
        if set(config) >= {"run_id", "token_sha256", "token_expires_at", "context", "input"}:
            if self.sidecar != "silent":
                self._emit(container, 1, b'{"type": "ready"}\n')
        else:
            self._emit(container, 2, b"no configuration came\n")
            self._end(container, 1)

    def _reattached(self, container: FakeContainer, source: socket.socket) -> None:
        if self._read_line(source) == b"\n" and json.loads(self._read_line(source)) == {"type": "attached"}:
            self._emit(container, 1, b'{"type": "ready"}\n')

    @staticmethod
    def _read_line(source: socket.socket) -> bytes:
        line = b""
        with suppress(OSError):
            while not line.endswith(b"\n") and (byte := source.recv(1)):
                line += byte
        return line

    def _signal(self, container: FakeContainer, number: signal.Signals) -> None:
        """Signals the first process, as an init does; a sidecar is no process here and simply ends."""
        end = time.monotonic() + 5
        while container.role == "main" and container.process is None and time.monotonic() < end:
            container.gone.wait(0.01)  # between start and its process
        if container.process:
            with suppress(ProcessLookupError):
                os.kill(container.process.pid, number)
        else:
            self._end(container, 128 + number)

    def _end(self, container: FakeContainer, code: int) -> None:
        container.exit_code, container.status, container.finished_at = code, "exited", self._time()
        container.log.end(int(self._time() * 1e9))
        self._close_streams(container)
        container.gone.set()

    def _close_streams(self, container: FakeContainer) -> None:
        outputs = [] if self._is_dead(container) else container.outputs
        for end in (*outputs, *container.inputs):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
