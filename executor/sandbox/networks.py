"""The networks of one run and the subnets they stand on: made before its containers, removed after them."""

import logging
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Protocol

from executor.docker.errors import AddressTaken, Conflict, EngineError, Forbidden, Invalid, NotFound
from executor.docker.models import parse_ipv4_subnets
from executor.sandbox import options
from executor.sandbox.options import Addresses
from executor.sandbox.ownership import is_network_of
from executor.sandbox.subnets import SubnetPool
from executor.spec import RunSpec

log = logging.getLogger("cronium.networks")
SUBNET_TRIES = 20
REFUSAL_TRIES = 3
NO_SUBNET = "CRONIUM_SUBNET_POOL has no free subnet for the run's network."
LARGER_POOL = "Choose another or a larger pool, or remove networks that nobody needs."


class NetworkEngine(Protocol):
    """What the networks need of an engine."""

    @property
    def version(self) -> str: ...
    def create_network(self, body: dict[str, Any]) -> None: ...
    def connect_network(self, container: str, network: str, address: IPv4Address) -> None: ...
    def describe_network(self, name: str) -> dict[str, Any]: ...
    def remove_network(self, name: str) -> None: ...
    def list_subnets(self) -> frozenset[IPv4Network]: ...


class Networks:
    """None, the job's own, or that and the sidecar's way out; by `spec.network`.

    Their names follow from the run's id, so `remove` may come at any time, twice, and needs no `create`.
    """

    def __init__(self, engine: NetworkEngine, spec: RunSpec, subnets: SubnetPool) -> None:
        self._engine = engine
        self._spec = spec
        self._subnets = subnets
        self._taken: list[IPv4Network] = []
        self.inside: Addresses | None = None
        self.outside: Addresses | None = None
        self.asked: dict[str, dict[str, Any]] = {}  # by name, the bodies sent to the engine

    @property
    def subnets(self) -> tuple[IPv4Network, ...]:
        """What the run's own containers stand on."""
        return tuple(self._taken)

    def create(self, clear: Callable[[], object]) -> None:
        """Make what the run needs. `clear` removes all that an earlier attempt at it has left."""
        if self._spec.network == "none":
            clear()  # no network's name would tell of an earlier attempt
            return
        version = self._engine.version
        self.inside = self._create_network(
            lambda addresses: options.build_network(self._spec, addresses, version), clear
        )
        if self._spec.network == "egress":
            name = options.name_egress_network(self._spec.run_id)
            self.outside = self._create_network(
                lambda addresses: options.build_egress_network(self._spec, addresses),
                lambda: self._remove_network(name),
            )

    def _create_network(self, body_of: Callable[[Addresses], dict[str, Any]], clear: Callable[[], object]) -> Addresses:
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
                # An earlier attempt at this run, before any payload, left its things: clear them and go on.
                self._drop_subnet(addresses.subnet)
                refusals += 1
                if refusals == REFUSAL_TRIES:
                    raise
                clear()
            except (Forbidden, Invalid):
                # Perhaps an overlap with a network that is not in the engine's list yet, or not any more.
                self._drop_subnet(addresses.subnet)
                refusals += 1
                if refusals == REFUSAL_TRIES:
                    raise
            else:
                self.asked[body["Name"]] = body
                return addresses
        raise AddressTaken(f"{NO_SUBNET} The engine refused {SUBNET_TRIES} of its subnets. {LARGER_POOL}")

    def _take_subnet(self) -> IPv4Network:
        """Hold a free subnet. When none is left, what the engine has decides which of them are free."""
        subnet = self._subnets.take()
        if subnet is None:
            self._subnets.refresh(self._engine.list_subnets())
            subnet = self._subnets.take()
        if subnet is None:
            raise AddressTaken(f"{NO_SUBNET} Every /29 of it is in use by a network of the engine. {LARGER_POOL}")
        self._taken.append(subnet)
        return subnet

    def _drop_subnet(self, subnet: IPv4Network) -> None:
        """No network of this run stands on it."""
        self._taken.remove(subnet)
        self._subnets.release(subnet)

    def adopt(self) -> None:
        """Know again what an earlier process has made for this run."""
        for name in options.list_network_names(self._spec):
            with suppress(NotFound):
                told = self._engine.describe_network(name)
                for subnet in parse_ipv4_subnets(told) if is_network_of(self._spec, told) else ():
                    self._subnets.reserve(subnet)
                    self._taken.append(subnet)

    def connect_sidecar(self, name: str) -> dict[str, Any]:
        """Give the created sidecar its way out, if the run has one; the endpoints that it then has besides."""
        if self.outside is None:
            return {}
        network = options.name_egress_network(self._spec.run_id)
        # Between create and start: engines before 25 take one network at create.
        self._engine.connect_network(name, network, self.outside.sidecar)
        return {network: {"IPAMConfig": {"IPv4Address": str(self.outside.sidecar)}}}

    def remove(self) -> bool:
        """Remove them all; False, with the error in the log, when one is still there."""
        gone = [
            self._remove_network(name) for name in options.list_network_names(self._spec)
        ]  # each, whatever the others do
        return all(gone)

    def _remove_network(self, name: str) -> bool:
        try:
            told = self._engine.describe_network(name)
            if not is_network_of(self._spec, told):
                log.warning("run %s: %s was not made by Cronium and is left alone", self._spec.run_id, name)
                return True
            if options.parse_epoch(told.get("Labels") or {}) > self._spec.epoch:
                raise Conflict(f"A later attempt at this run has made {name}.")
            self._engine.remove_network(str(told["Id"]))
        except NotFound:
            return True
        except EngineError as error:
            log.warning("run %s: %s is still there: %s", self._spec.run_id, name, error)
            return False
        return True

    def release_subnets(self) -> None:
        """Their subnets are free again. Call it when they and the containers on them are gone; twice does no harm."""
        while self._taken:
            with suppress(IndexError):  # another thread's
                self._subnets.release(self._taken.pop())

    def abandon_subnets(self) -> None:
        """Hold no subnet any more, though networks may still stand on them. Twice does no harm."""
        while self._taken:
            with suppress(IndexError):  # another thread's
                self._subnets.abandon(self._taken.pop())
