"""A run's objects, made with plain docker-py, one call after the other: the floor that runs are compared with.

Network, sidecar and main have the create bodies of a run of the default profile, with all hardening. No database, no
log store, no dashboard; no script of the runtime API is served.
"""

import itertools
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from typing import Any

from bench.results import connect_engine
from executor import naming
from executor.docker.models import ImageFacts, parse_image_facts
from executor.run.payload import build_payload
from executor.sandbox import options
from executor.sandbox.options import Addresses
from executor.sandbox.topology import choose_topology
from executor.spec import MB, Limits, RunSpec

POOL = IPv4Network("10.216.0.0/16")
SIDECAR_IMAGE = "cronium/runtime-api:latest"
SMALL = Limits(nano_cpus=500_000_000, memory_bytes=512 * MB, pids=100)


class PlainDocker:
    """Thread-safe."""

    def __init__(self, image: str, script: str) -> None:
        self._image, self._script = image, script
        self._client = connect_engine()
        self._version = str(self._client.version()["Version"])
        drivers = (self._client.info().get("Plugins") or {}).get("Log") or []
        self._driver = "local" if "local" in drivers else "json-file"
        self._subnets: Iterator[IPv4Network] = itertools.cycle(POOL.subnets(new_prefix=29))
        self._lock = threading.Lock()
        self.topology = choose_topology(self._make_spec())  # as a server with the default settings
        self._facts: dict[str, ImageFacts] = {
            name: parse_image_facts(self._client.inspect_image(name))  # type: ignore[no-untyped-call]
            for name in (image, SIDECAR_IMAGE)
        }

    def run(self) -> float:
        """Make, run and remove the objects of one run. Returns the seconds from its begin to its first output."""
        began = time.perf_counter()
        spec = self._make_spec()
        with self._lock:
            addresses = Addresses(next(self._subnets))
        network = options.build_network(spec, addresses, self._version)
        sidecar, main = naming.name_sidecar(spec.run_id), naming.name_main(spec.run_id)
        self._create_network(network)
        try:
            sidecar_id = self._start_sidecar(spec, sidecar, network["Name"], addresses)
            facts = self._facts[self._image]
            body = options.build_main_container(spec, addresses, self._driver, facts, sidecar_id)
            self._create_container(main, body)
            output = self._client.attach(main, stream=True)
            stdin = self._client.attach_socket(main, params={"stdin": 1, "stream": 1})
            self._client.start(main)
            stdin._sock.sendall(build_payload(spec))
            stdin._sock.shutdown(1)
            next(output)
            first = time.perf_counter() - began
            for _ in output:
                pass
            self._client.wait(main)
            stdin.close()
        finally:
            for name in (main, sidecar):
                self._client.remove_container(name, force=True, v=True)
            self._client.remove_network(network["Name"])
        return first

    def run_many(self, number: int, parallel: int) -> float:
        """Seconds until `number` runs, `parallel` at a time, have ended and are removed."""
        began = time.perf_counter()
        with ThreadPoolExecutor(parallel) as pool:
            list(pool.map(lambda _: self.run(), range(number)))
        return time.perf_counter() - began

    def _make_spec(self) -> RunSpec:
        return RunSpec(
            run_id=str(uuid.uuid4()),
            instance="bench-plain-docker",
            host="bench",
            epoch=1,
            language="bash",
            script=self._script,
            image=self._image,
            sidecar_image=SIDECAR_IMAGE,
            limits=SMALL,
            timeout_seconds=600.0,
            log_limit_bytes=50 * MB,
            token="",
            token_expires_at=0,
        )

    def _start_sidecar(self, spec: RunSpec, name: str, network: str, addresses: Addresses) -> str | None:
        """Its id if main joins its network namespace."""
        facts, client = self._facts[SIDECAR_IMAGE], self._client
        if self.topology == "apart":
            self._create_container(name, options.build_sidecar_container(spec, addresses, facts))
            client.start(name)
            return None
        sidecar_id = self._create_container(name, options.build_sidecar_container(spec, None, facts))
        client.start(name)
        client.disconnect_container_from_network(name, "none")
        client.connect_container_to_network(name, network, ipv4_address=str(addresses.sidecar))
        return sidecar_id

    def _create_network(self, body: dict[str, Any]) -> None:
        self._client.create_network(
            body["Name"],
            driver=body["Driver"],
            options=body["Options"],
            ipam=body["IPAM"],
            check_duplicate=body["CheckDuplicate"],
            internal=body["Internal"],
            attachable=body["Attachable"],
            labels=body["Labels"],
        )

    def _create_container(self, name: str, body: dict[str, Any]) -> str:
        created = self._client.create_container_from_config(body, name)  # type: ignore[no-untyped-call]
        return str(created["Id"])
