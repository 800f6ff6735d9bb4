"""The networks of one run and their subnets. Created before the run's containers, removed after them."""

import logging
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Network
from typing import Any

from executor import naming
from executor.docker.errors import AddressTaken, Conflict, EngineError, Forbidden, Invalid, NotFound
from executor.docker.models import parse_ipv4_subnets
from executor.docker.ownership import is_network_of
from executor.docker.protocol import NetworkEngine
from executor.sandbox import options
from executor.sandbox.options import Addresses
from executor.sandbox.subnets import SubnetPool
from executor.spec import SandboxSpec

log = logging.getLogger("cronium.networks")
SUBNET_TRIES = 20
REFUSAL_TRIES = 3
NO_SUBNET = "CRONIUM_SUBNET_POOL has no free subnet for the run's network."
LARGER_POOL = "Choose another or a larger pool, or remove unused networks."


class Networks:
    """A run's networks by `spec.network`: none, the job's own network, or also the sidecar's egress network.

    Their names follow from the run's id. `remove` is idempotent and may be called at any time, also without `create`.
    """

    def __init__(self, engine: NetworkEngine, spec: SandboxSpec, subnets: SubnetPool) -> None:
        self._engine = engine
        self._spec = spec
        self._subnets = subnets
        self._taken: list[IPv4Network] = []
        self.inside: Addresses | None = None
        self.outside: Addresses | None = None
        # By name, for the inspection: the bodies sent to the engine, and its answers to `inspect`.
        self.requested: dict[str, dict[str, Any]] = {}
        self.reported: dict[str, dict[str, Any]] = {}

    @property
    def subnets(self) -> tuple[IPv4Network, ...]:
        return tuple(self._taken)

    def create(self) -> None:
        """Create the networks. Networks of an earlier attempt at the run are removed."""
        if self._spec.network == "none":
            return
        version = self._engine.version
        self.inside = self._create_network(lambda addresses: options.build_network(self._spec, addresses, version))
        if self._spec.network == "egress":
            self.outside = self._create_network(lambda addresses: options.build_egress_network(self._spec, addresses))

    def _create_network(self, body_of: Callable[[Addresses], dict[str, Any]]) -> Addresses:
        refusals = 0
        for _ in range(SUBNET_TRIES):
            addresses = Addresses(self._take_subnet())
            body = body_of(addresses)
            try:
                self._engine.create_network(body)
            except AddressTaken:
                self._drop_subnet(addresses.subnet)
                self._subnets.refresh(self._engine.list_subnets())
            except Conflict:
                # An earlier attempt at this run, before any payload, left its network: remove it and retry. Its
                # containers lose their connection; the creation of this attempt's containers removes them.
                self._drop_subnet(addresses.subnet)
                refusals += 1
                if refusals == REFUSAL_TRIES:
                    raise
                self._remove_network(body["Name"])
            except (Forbidden, Invalid):
                # Possibly an overlap with a network that the engine's list does not contain yet, or no longer.
                self._drop_subnet(addresses.subnet)
                refusals += 1
                if refusals == REFUSAL_TRIES:
                    raise
            else:
                self.requested[body["Name"]] = body
                return addresses
        raise AddressTaken(f"{NO_SUBNET} The engine refused {SUBNET_TRIES} of its subnets. {LARGER_POOL}")

    def _take_subnet(self) -> IPv4Network:
        subnet = self._subnets.take()
        if subnet is None:
            self._subnets.refresh(self._engine.list_subnets())
            subnet = self._subnets.take()
        if subnet is None:
            raise AddressTaken(f"{NO_SUBNET} Every /29 of it is in use by a network of the engine. {LARGER_POOL}")
        self._taken.append(subnet)
        return subnet

    def _drop_subnet(self, subnet: IPv4Network) -> None:
        self._taken.remove(subnet)
        self._subnets.release(subnet)

    def adopt(self) -> None:
        for name in naming.list_network_names(self._spec):
            with suppress(NotFound):
                answer = self._engine.describe_network(name)
                for subnet in parse_ipv4_subnets(answer) if is_network_of(self._spec, answer) else ():
                    self._subnets.reserve(subnet)
                    self._taken.append(subnet)

    def connect_egress(self, sidecar: str) -> dict[str, Any]:
        """Connect the created sidecar to the egress network, if any. Returns its additional endpoints."""
        if self.outside is None:
            return {}
        network = naming.name_egress_network(self._spec.run_id)
        # Between create and start: engines before 25 accept only one network at create.
        self._engine.connect_network(sidecar, network, self.outside.sidecar)
        return {network: {"IPAMConfig": {"IPv4Address": str(self.outside.sidecar)}}}

    def connect_running(self, sidecar: str) -> None:
        """Connect a running sidecar that was created without a network to the job's network."""
        assert self.inside is not None
        self._engine.disconnect_network(sidecar, "none")  # else the engine refuses every other network
        network = naming.name_network(self._spec.run_id)
        self._engine.connect_network(sidecar, network, self.inside.sidecar, options.SIDECAR_NAMES)

    def describe(self) -> None:
        for name in self.requested:
            self.reported[name] = self._engine.describe_network(name)

    def remove(self) -> bool:
        """Remove all networks; False, with an error in the log, if one is left."""
        removed = [self._remove_network(name) for name in naming.list_network_names(self._spec)]  # a list: try each one
        return all(removed)

    def _remove_network(self, name: str) -> bool:
        try:
            answer = self._engine.describe_network(name)
            if not is_network_of(self._spec, answer):
                log.warning("run %s: %s was not created by Cronium and is not removed", self._spec.run_id, name)
                return True
            if naming.parse_epoch(answer.get("Labels") or {}) > self._spec.epoch:
                raise Conflict(f"A later attempt at this run has created {name}.")
            self._engine.remove_network(str(answer["Id"]))
        except NotFound:
            return True
        except EngineError as error:
            log.warning("run %s: %s could not be removed: %s", self._spec.run_id, name, error)
            return False
        return True

    def release_subnets(self) -> None:
        """Free the subnets, once the networks and their containers are gone. Idempotent."""
        while self._taken:
            with suppress(IndexError):  # taken by another thread
                self._subnets.release(self._taken.pop())

    def abandon_subnets(self) -> None:
        """Stop holding the subnets although their networks may still exist. Idempotent."""
        while self._taken:
            with suppress(IndexError):  # taken by another thread
                self._subnets.abandon(self._taken.pop())
