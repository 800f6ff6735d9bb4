"""The only module that calls docker-py for containers and networks. Raises the types of `executor.docker.errors`.

Every method may be retried after a failure; removals treat "not found" as done.
"""

import time
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import docker

from executor import naming
from executor.docker import errors
from executor.docker.attachment import Attachment, take_over_connection
from executor.docker.connection import EngineAddress
from executor.docker.image_archives import ImageArchives
from executor.docker.image_calls import ImageCalls
from executor.docker.models import (
    ContainerState,
    EngineObject,
    Image,
    ImageFacts,
    Usage,
    find_image_folder,
    overlaps_any,
    parse_image,
    parse_image_facts,
    parse_ipv4_subnets,
    parse_object,
    parse_state,
    parse_time,
)
from executor.docker.ownership import filter_own
from executor.docker.protocol import ImageEngine
from executor.docker.reverse_path import enable_reverse_path_filter
from executor.docker.session import CONTROL_SECONDS, SessionCache, translate_errors


def _take_over(client: Any, response: Any) -> Attachment:
    try:
        return take_over_connection(response, client._get_raw_response_socket(response))
    except BaseException:
        response.close()
        raise


class Engine:
    """One Docker Engine. Thread-safe: streams and control calls have separate connection pools."""

    def __init__(self, url: str = "", pool: int = 64, certificates: str = "") -> None:
        self._address = EngineAddress(url, certificates)
        self._sessions = SessionCache(self._address, pool)
        self.image_calls: ImageEngine = ImageCalls(self._sessions)
        self.archives = ImageArchives(self._sessions)

    @property
    def _control_client(self) -> docker.APIClient:
        return self._sessions.open_session().control

    @property
    def _stream_client(self) -> docker.APIClient:
        return self._sessions.open_session().streams

    @property
    def _engine_info(self) -> dict[str, Any]:
        return self._sessions.open_session().info

    @property
    def is_local(self) -> bool:
        """Whether its socket is on this machine, so that its files may be too."""
        return self._address.url.startswith(("unix:", "/")) or not self._address.url

    @property
    def image_folder(self) -> str:
        return find_image_folder(self._engine_info)

    @property
    def version(self) -> str:
        return str(self._engine_info.get("ServerVersion", ""))

    @property
    def default_runtime(self) -> str:
        return str(self._engine_info.get("DefaultRuntime") or "")

    def list_runtimes(self) -> tuple[str, ...]:
        # Not cached: a runtime may be added.
        with translate_errors("list its runtimes"):
            return tuple(sorted(self._control_client.info().get("Runtimes") or ()))

    def read_resources(self) -> tuple[float, int]:
        with translate_errors("report its resources"):
            info = self._control_client.info()
        self._sessions.update_info(info)
        return float(info.get("NCPU") or 0), int(info.get("MemTotal") or 0)

    @property
    def log_driver(self) -> str:
        # `local` keeps every byte.
        drivers = (self._engine_info.get("Plugins") or {}).get("Log") or []
        return "local" if "local" in drivers else "json-file"

    def ping(self) -> None:
        """Raise EngineUnreachable unless the engine answers on a new connection."""
        with translate_errors("answer a ping"), self._sessions.open_fresh_client() as fresh:
            client: Any = fresh  # docker-py's `ping` sends an API version, which a newer engine may refuse
            answer = client._get(client._url("/_ping", versioned_api=False))
            client._raise_for_status(answer)
        self._sessions.forget_replaced(api_version=answer.headers.get("Api-Version", ""))

    def list_images(self) -> list[Image]:
        with translate_errors("list its images"):
            return [parse_image(row) for row in self._control_client.images()]

    def describe_image(self, reference: str) -> ImageFacts:
        """ImageMissing when the engine does not have the image."""
        try:
            with translate_errors(f"look up the image {reference}"):
                return parse_image_facts(self._control_client.inspect_image(reference))  # type: ignore[no-untyped-call]
        except errors.NotFound as error:
            raise errors.ImageMissing(
                f"The image {reference} is not on this host. Build or pull it there, or choose another image."
            ) from error

    def create_network(self, body: dict[str, Any]) -> None:
        """AddressTaken when the network's subnet overlaps with another network of the engine."""
        try:
            with translate_errors("create the run's network"):
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
            # No status is specific to an overlap: engines answer 403 or 400, also for other errors.
            if overlaps_any(IPv4Network(body["IPAM"]["Config"][0]["Subnet"]), self.list_subnets()):
                raise errors.AddressTaken(str(error)) from error
            raise
        if body["Internal"]:
            enable_reverse_path_filter(body["Options"]["com.docker.network.bridge.name"])

    def connect_network(
        self, container: str, network: str, address: IPv4Address, aliases: tuple[str, ...] = ()
    ) -> None:
        with translate_errors(f"connect {container} to {network}"):
            self._control_client.connect_container_to_network(
                container, network, ipv4_address=str(address), aliases=list(aliases) or None
            )

    def disconnect_network(self, container: str, network: str) -> None:
        with translate_errors(f"disconnect {container} from {network}"):
            self._control_client.disconnect_container_from_network(container, network)

    def remove_network(self, name: str) -> None:
        """Remove a network, and disconnect endpoints that are still on it. A missing network is no error."""
        with suppress(errors.NotFound):
            try:
                with translate_errors(f"remove the network {name}"):
                    self._control_client.remove_network(name)
            except (errors.Conflict, errors.EngineError) as error:
                if isinstance(error, (errors.EngineUnreachable, errors.NotFound)):
                    raise
                self._disconnect_all(name)
                with translate_errors(f"remove the network {name}"):
                    self._control_client.remove_network(name)

    def _disconnect_all(self, name: str) -> None:
        with translate_errors(f"inspect the network {name}"):
            members = self._control_client.inspect_network(name).get("Containers") or {}
        for member in members.values():
            with suppress(errors.NotFound, errors.EngineError), translate_errors("disconnect a container"):
                self._control_client.disconnect_container_from_network(member["Name"], name, force=True)

    def create_container(self, name: str, body: dict[str, Any]) -> str:
        """Create a container without starting it, and return its id; Conflict when the name is taken."""
        try:
            with translate_errors(f"create the container {name}"):
                created = self._control_client.create_container_from_config(body, name)  # type: ignore[no-untyped-call]
                return str(created["Id"])
        except errors.Invalid as error:
            # Newer engines check addresses before the name.
            with suppress(errors.NotFound):
                self.inspect(name)
                raise errors.Conflict(f"The name {name} is taken.") from error
            raise
        except errors.NotFound as error:
            raise errors.ImageMissing(
                f"The image {body['Image']} is not on this host. Build or pull it there, or choose another image."
            ) from error

    def attach(self, name: str, *, stdin: bool, output: bool) -> Attachment:
        """Connect to the container's streams. Output must be read until its end, or the engine stalls."""
        params = {"stream": 1, "stdin": int(stdin), "stdout": int(output), "stderr": int(output)}
        client: Any = self._stream_client  # docker-py's `attach` loses bytes that arrive with the headers
        with translate_errors(f"attach to {name}"):
            path, upgrade = client._url("/containers/{0}/attach", name), {"Connection": "Upgrade", "Upgrade": "tcp"}
            return _take_over(client, client._post(path, params=params, headers=upgrade, stream=True))

    def open_log(self, name: str, *, follow: bool, new_only: bool = False) -> Attachment:
        """The container's log as an HTTP body (`output.docker_log` parses it): from its start, or new output only."""
        params: dict[str, Any] = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
        params |= {"tail": 0} if new_only else {}
        client: Any = self._stream_client  # docker-py's `logs` drops the stream numbers and hides a lost connection
        with translate_errors(f"read the log of {name}"):
            path, limits = client._url("/containers/{0}/logs", name), (5, CONTROL_SECONDS)
            return _take_over(client, client._get(path, params=params, stream=True, timeout=limits))

    def start(self, name: str, *, is_new: bool = False) -> None:
        """Start a created container. Conflict if it was ever started: it would run its script again.

        `is_new`: the caller has created it and given it no script yet, so this is not checked.
        """
        if not is_new and self.inspect(name).ever_started:
            raise errors.Conflict(f"The container {name} was started before.")
        try:
            with translate_errors(f"start {name}"):
                self._control_client.start(name)
        except errors.Invalid as error:
            raise errors.ImageUnusable(f"{error}. The image must have `/bin/sh`.") from error

    def inspect(self, name: str) -> ContainerState:
        with translate_errors(f"inspect {name}"):
            return parse_state(self._control_client.inspect_container(name))

    def describe_container(self, name: str) -> dict[str, Any]:
        """The engine's whole answer to an inspect, which includes the environment."""
        with translate_errors(f"describe {name}"):
            return dict(self._control_client.inspect_container(name))

    def describe_network(self, name: str) -> dict[str, Any]:
        with translate_errors(f"describe the network {name}"):
            return dict(self._control_client.inspect_network(name))

    def wait(self, name: str, seconds: int) -> None:
        """Wait until the container has stopped, or for `seconds`. Only a hint: confirm with `inspect`."""
        with suppress(errors.EngineError), translate_errors(f"wait for {name}"):
            self._stream_client.wait(name, timeout=seconds)

    def stop(self, name: str, grace: int) -> None:
        """SIGTERM, `grace` seconds, SIGKILL. Returns when the container has stopped; a missing one is no error."""
        with suppress(errors.NotFound), translate_errors(f"stop {name}"):
            self._control_client.stop(name, timeout=grace)

    def remove_container(self, name: str) -> None:
        """Kill and remove a container with its anonymous volumes. A missing container is no error.

        Conflict when another removal is in progress and does not end.
        """
        with suppress(errors.NotFound):
            try:
                with translate_errors(f"remove {name}"):
                    self._control_client.remove_container(name, force=True, v=True)
            except errors.Conflict:
                self.wait_removed(name)
                self.inspect(name)
                raise

    def wait_removed(self, name: str) -> None:
        with suppress(errors.EngineError), translate_errors(f"wait for the end of {name}"):
            self._stream_client.wait(name, timeout=CONTROL_SECONDS, condition="removed")

    def read_usage(self, name: str) -> Usage:
        with translate_errors(f"measure {name}"):
            stats = self._control_client.stats(name, stream=False, one_shot=True)
        memory, cpu = stats.get("memory_stats") or {}, (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
        peak, nanoseconds = memory.get("max_usage") or memory.get("usage"), cpu.get("total_usage")
        return Usage(int(peak) if peak else None, int(nanoseconds) / 1e9 if nanoseconds else None)

    def list_own_objects(self, instance: str) -> list[EngineObject]:
        filters = {"label": [f"{naming.LABEL_INSTANCE}={instance}"]}
        with translate_errors("list its containers and networks"):
            containers = self._control_client.containers(all=True, filters=filters)
            networks = self._control_client.networks(filters=filters)
        listed = [parse_object("container", row) for row in containers] + [
            parse_object("network", row) for row in networks
        ]
        return filter_own(self, listed)

    def read_clock(self) -> float:
        """The engine's clock in unix seconds. For a local socket this is this machine's clock."""
        if self.is_local:
            return time.time()
        with translate_errors("report its clock"):
            return parse_time(self._control_client.info().get("SystemTime"))

    def read_boot_time(self) -> float:
        """When the engine was started, in unix seconds; 0.0 if unknown. EngineUnreachable while it is stopped.

        Read from the creation time of the default bridge, which the engine recreates at every start, except with
        live-restore.
        """
        booted_at = 0.0
        with (
            suppress(errors.NotFound),
            translate_errors("report its start time"),
            self._sessions.open_fresh_client() as client,
        ):
            booted_at = parse_time(client.inspect_network("bridge").get("Created"))
        self._sessions.forget_replaced(booted_at=booted_at)
        return booted_at

    def list_subnets(self) -> frozenset[IPv4Network]:
        with translate_errors("list its networks"):
            networks = self._control_client.networks()
        return frozenset(subnet for row in networks for subnet in parse_ipv4_subnets(row))
