"""The only file that talks to docker-py for containers and networks; raises the types of `errors`.

Every method may be called again after a failure; the removals treat "not found" as done.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException

from executor.docker import connection, errors
from executor.docker.attachment import Attachment, take_over_connection
from executor.docker.connection import EngineAddress
from executor.docker.models import (
    ContainerState,
    EngineObject,
    Image,
    parse_image,
    parse_ipv4_subnets,
    parse_object,
    parse_state,
    parse_time,
)
from executor.docker.ssh import TunnelDown
from executor.sandbox import options
from executor.sandbox.image_facts import ImageFacts, parse_image_facts
from executor.sandbox.ownership import filter_own
from executor.sandbox.reverse_path import enable_reverse_path_filter
from executor.sandbox.subnets import overlaps_any

log = logging.getLogger("cronium.engine")
CONTROL_SECONDS = 30  # an answer to a control call; `stop` adds its grace


@contextmanager
def _translate_errors(what: str) -> Iterator[None]:
    """Turn docker-py's and requests' errors into ours."""
    try:
        yield
    except APIError as error:
        status = error.response.status_code if error.response is not None else 500
        text = f"The engine could not {what}: {error.explanation or error}"
        raise errors.BY_STATUS.get(status, errors.EngineError)(text) from error
    except TunnelDown as error:
        raise errors.EngineUnreachable(str(error)) from error
    except (requests.exceptions.RequestException, DockerException, OSError) as error:
        tls = f" (TLS: {said})" if (said := connection.explain_tls_error(error)) else ""
        raise errors.EngineUnreachable(
            f"The Docker Engine gave no answer when asked to {what}{tls}. Is it running? `manage.py doctor` tells more."
        ) from error


def _take_over(client: Any, response: Any) -> Attachment:
    try:
        return take_over_connection(response, client._get_raw_response_socket(response))
    except BaseException:
        response.close()
        raise


@dataclass(frozen=True)
class _Session:
    """Two clients of an engine, and what does not change until it is started anew."""

    control: docker.APIClient
    streams: docker.APIClient
    api_version: str
    info: dict[str, Any]


class Engine:
    """One Docker Engine. Thread-safe: streams and control calls use connection pools of their own."""

    def __init__(self, url: str = "", pool: int = 64, certificates: str = "") -> None:
        self._reach, self._pool = EngineAddress(url, certificates), pool
        self._lock = threading.Lock()  # the next two
        self._connected: _Session | None = None
        self._booted_at = 0.0

    def _open_session(self) -> _Session:
        """Ask for its version and facts at first use, and once it was replaced: an engine may come up later than we
        do, and be upgraded under us."""
        with self._lock, _translate_errors("say its version"):
            self._reach.ensure_reachable()
            if self._connected is None:
                control = self._reach.open_client(timeout=CONTROL_SECONDS, max_pool_size=self._pool)
                version = str(control.api_version)
                streams = self._reach.open_client(
                    timeout=CONTROL_SECONDS, version=version, max_pool_size=3 * self._pool
                )
                self._connected = _Session(control, streams, version, control.info())
            return self._connected

    def _forget_replaced(self, api_version: str = "", booted_at: float = 0.0) -> None:
        """Have all asked anew when the engine says other than before. Calls under way keep the old clients."""
        with self._lock:
            before = self._connected
            another = before is not None and api_version not in ("", before.api_version)
            if another or (booted_at and self._booted_at not in (0.0, booted_at)):
                log.info("the engine was restarted or replaced; its version and settings are asked for again")
                self._connected = None
            self._booted_at = booted_at or self._booted_at

    @property
    def _control_client(self) -> docker.APIClient:
        return self._open_session().control

    @property
    def _stream_client(self) -> docker.APIClient:
        return self._open_session().streams

    @contextmanager
    def _open_fresh_client(self) -> Iterator[docker.APIClient]:
        """Over a connection of its own: an engine that is being stopped takes no new ones, but goes on answering on
        those it has until its containers have ended."""
        client = self._reach.open_client(timeout=CONTROL_SECONDS, version=self._open_session().api_version)
        try:
            yield client
        finally:
            client.close()

    @property
    def _engine_info(self) -> dict[str, Any]:
        return self._open_session().info

    @property
    def version(self) -> str:
        return str(self._engine_info.get("ServerVersion", ""))

    @property
    def default_runtime(self) -> str:
        """What runs a container that asks for no runtime."""
        return str(self._engine_info.get("DefaultRuntime") or "")

    def list_runtimes(self) -> tuple[str, ...]:
        """The names of what this engine can run containers with; asked anew, for an engine may learn one."""
        with _translate_errors("say which runtimes it has"):
            return tuple(sorted(self._control_client.info().get("Runtimes") or ()))

    def read_resources(self) -> tuple[float, int]:
        """CPUs and bytes of memory that this engine's containers share."""
        with _translate_errors("say what it has"):
            info = self._control_client.info()
        with self._lock:  # one whose containers lived on was restarted without another sign
            self._connected = self._connected and replace(self._connected, info=info)
        return float(info.get("NCPU") or 0), int(info.get("MemTotal") or 0)

    @property
    def log_driver(self) -> str:
        """`local`, which keeps every byte, where the engine has it."""
        drivers = (self._engine_info.get("Plugins") or {}).get("Log") or []
        return "local" if "local" in drivers else "json-file"

    def ping(self) -> None:
        """Raise EngineUnreachable unless the engine answers now, and is not on its way out."""
        with _translate_errors("answer"), self._open_fresh_client() as made:
            client: Any = made  # its own way to ping names a version, which a newer engine may refuse
            answer = client._get(client._url("/_ping", versioned_api=False))
            client._raise_for_status(answer)
        self._forget_replaced(api_version=answer.headers.get("Api-Version", ""))

    def list_images(self) -> list[Image]:
        """What this engine has; intermediate layers apart."""
        with _translate_errors("list its images"):
            return [parse_image(row) for row in self._control_client.images()]

    def describe_image(self, reference: str) -> ImageFacts:
        """The image that `reference` names on this engine; ImageMissing when there is none."""
        try:
            with _translate_errors(f"look up the image {reference}"):
                return parse_image_facts(self._control_client.inspect_image(reference))  # type: ignore[no-untyped-call]
        except errors.NotFound as error:
            raise errors.ImageMissing(
                f"The image {reference} is not on this host. Build or pull it there, or choose another image."
            ) from error

    def create_network(self, body: dict[str, Any]) -> None:
        """Create from `options.network`; AddressTaken when a network of the engine overlaps with its subnet."""
        try:
            with _translate_errors("create the run's network"):
                self._control_client.create_network(
                    body["Name"],
                    driver=body["Driver"],
                    options=body["Options"],
                    ipam=body["IPAM"],
                    check_duplicate=body["CheckDuplicate"],
                    internal=body["Internal"],
                    attachable=body["Attachable"],
                    labels=body["Labels"],
                )
        except (errors.Conflict, errors.EngineUnreachable):
            raise
        except errors.EngineError as error:
            # No status means an overlap and nothing else: engines answer 403 or 400, and so to other faults too.
            if overlaps_any(IPv4Network(body["IPAM"]["Config"][0]["Subnet"]), self.list_subnets()):
                raise errors.AddressTaken(str(error)) from error
            raise
        if body["Internal"]:
            enable_reverse_path_filter(body["Options"]["com.docker.network.bridge.name"])

    def connect_network(self, container: str, network: str, address: IPv4Address) -> None:
        """Put a created container on one more network."""
        with _translate_errors(f"connect {container} to {network}"):
            self._control_client.connect_container_to_network(container, network, ipv4_address=str(address))

    def remove_network(self, name: str) -> None:
        """Remove it, throwing out endpoints that are still on it. Gone already is fine."""
        with suppress(errors.NotFound):
            try:
                with _translate_errors(f"remove the network {name}"):
                    self._control_client.remove_network(name)
            except (errors.Conflict, errors.EngineError) as error:
                if isinstance(error, (errors.EngineUnreachable, errors.NotFound)):
                    raise
                self._disconnect_all(name)
                with _translate_errors(f"remove the network {name}"):
                    self._control_client.remove_network(name)

    def _disconnect_all(self, name: str) -> None:
        with _translate_errors(f"look at the network {name}"):
            members = self._control_client.inspect_network(name).get("Containers") or {}
        for member in members.values():
            with suppress(errors.NotFound, errors.EngineError), _translate_errors("disconnect a container"):
                self._control_client.disconnect_container_from_network(member["Name"], name, force=True)

    def create_container(self, name: str, body: dict[str, Any]) -> str:
        """Create (not start) a container and return its id; Conflict when the name is taken."""
        try:
            with _translate_errors(f"create the container {name}"):
                created = self._control_client.create_container_from_config(body, name)  # type: ignore[no-untyped-call]
                return str(created["Id"])
        except errors.Invalid as error:
            # Newer engines check the addresses before the name.
            with suppress(errors.NotFound):
                self.inspect(name)
                raise errors.Conflict(f"The name {name} is taken.") from error
            raise
        except errors.NotFound as error:
            raise errors.ImageMissing(
                f"The image {body['Image']} is not on this host. Build or pull it there, or choose another image."
            ) from error

    def attach(self, name: str, *, stdin: bool, output: bool) -> Attachment:
        """Connect to the container's streams. Output needs a reader until the end, or the engine stalls."""
        wanted = {"stream": 1, "stdin": int(stdin), "stdout": int(output), "stderr": int(output)}
        client: Any = self._stream_client  # its own way to attach forgets what came together with the answer's headers
        with _translate_errors(f"attach to {name}"):
            path, upgrade = client._url("/containers/{0}/attach", name), {"Connection": "Upgrade", "Upgrade": "tcp"}
            return _take_over(client, client._post(path, params=wanted, headers=upgrade, stream=True))

    def open_log(self, name: str, *, follow: bool, new_only: bool = False) -> Attachment:
        """The container's own log, as HTTP carries it (`engine_log` takes it apart): from its start, or from now on."""
        wanted: dict[str, Any] = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
        wanted |= {"tail": 0} if new_only else {}
        client: Any = self._stream_client  # its own reader of logs drops the streams and takes a cut for an end
        with _translate_errors(f"read the log of {name}"):
            path, limits = client._url("/containers/{0}/logs", name), (5, CONTROL_SECONDS)
            return _take_over(client, client._get(path, params=wanted, stream=True, timeout=limits))

    def start(self, name: str) -> None:
        """Start a created container, once: one that ever ran is refused, for it would run its script again."""
        if self.inspect(name).ever_started:
            raise errors.Conflict(f"The container {name} was started before.")
        try:
            with _translate_errors(f"start {name}"):
                self._control_client.start(name)
        except errors.Invalid as error:
            raise errors.ImageUnusable(f"{error}. The image must have `/bin/sh`.") from error

    def inspect(self, name: str) -> ContainerState:
        with _translate_errors(f"inspect {name}"):
            return parse_state(self._control_client.inspect_container(name))

    def describe_container(self, name: str) -> dict[str, Any]:
        """All that the engine says of a container; its environment is in it."""
        with _translate_errors(f"describe {name}"):
            return dict(self._control_client.inspect_container(name))

    def describe_network(self, name: str) -> dict[str, Any]:
        """All that the engine says of a network, with who is on it now."""
        with _translate_errors(f"describe the network {name}"):
            return dict(self._control_client.inspect_network(name))

    def wait(self, name: str, seconds: int) -> None:
        """Wait until it does not run, or the time is over: a hint only, `inspect` says what is so."""
        with suppress(errors.EngineError), _translate_errors(f"wait for {name}"):
            self._stream_client.wait(name, timeout=seconds)

    def stop(self, name: str, grace: int) -> None:
        """SIGTERM, `grace` seconds, SIGKILL. Returns when it does not run; gone already is fine."""
        with suppress(errors.NotFound), _translate_errors(f"stop {name}"):
            self._control_client.stop(name, timeout=grace)

    def remove_container(self, name: str) -> None:
        """Kill and remove it, with its anonymous volumes. Gone already is fine.

        Conflict when a removal is under way that does not end.
        """
        with suppress(errors.NotFound):
            try:
                with _translate_errors(f"remove {name}"):
                    self._control_client.remove_container(name, force=True, v=True)
            except errors.Conflict:
                self.wait_removed(name)
                self.inspect(name)
                raise

    def wait_removed(self, name: str) -> None:
        with suppress(errors.EngineError), _translate_errors(f"wait for the end of {name}"):
            self._stream_client.wait(name, timeout=CONTROL_SECONDS, condition="removed")

    def read_peak_memory(self, name: str) -> int | None:
        """Bytes: the most used so far where the engine knows it (cgroup v1), else what is used now."""
        with _translate_errors(f"measure {name}"):
            stats = self._control_client.stats(name, stream=False, one_shot=True)
        memory = stats.get("memory_stats") or {}
        value = memory.get("max_usage") or memory.get("usage")
        return int(value) if value else None

    def list_own_objects(self, instance: str) -> list[EngineObject]:
        """Every container, in any state, and network that this instance made: see `ownership`."""
        wanted = {"label": [f"{options.LABEL_INSTANCE}={instance}"]}
        with _translate_errors("list what is ours"):
            containers = self._control_client.containers(all=True, filters=wanted)
            networks = self._control_client.networks(filters=wanted)
        listed = [parse_object("container", row) for row in containers] + [
            parse_object("network", row) for row in networks
        ]
        return filter_own(self, listed)

    def read_clock(self) -> float:
        """What its clock says, unix seconds; over a socket of this machine, that is ours."""
        if self._reach.url.startswith(("unix:", "/")) or not self._reach.url:
            return time.time()
        with _translate_errors("say the time"):
            return parse_time(self._control_client.info().get("SystemTime"))

    def read_boot_time(self) -> float:
        """When this engine was started, unix seconds; 0.0 where it can't be known. Unreachable while it is stopped.

        It makes its own bridge anew at every start, unless containers lived on.
        """
        booted_at = 0.0
        with (
            suppress(errors.NotFound),
            _translate_errors("say when it was started"),
            self._open_fresh_client() as client,
        ):
            booted_at = parse_time(client.inspect_network("bridge").get("Created"))
        self._forget_replaced(booted_at=booted_at)
        return booted_at

    def list_subnets(self) -> frozenset[IPv4Network]:
        """The IPv4 subnets of all networks on this engine."""
        with _translate_errors("list its networks"):
            networks = self._control_client.networks()
        return frozenset(subnet for row in networks for subnet in parse_ipv4_subnets(row))
