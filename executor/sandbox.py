"""One run's sandbox: subnet, network, sidecar and main, built up and taken down.

Names follow from the run's id, so taking down needs nothing that building up has learnt: every step's
undo is known before the step, and may run at any time, in any order, twice.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from ipaddress import IPv4Network
from typing import Any, Protocol

from executor import options, payload
from executor.engine import Attachment, ContainerState, Found
from executor.errors import AddressTaken, Conflict, EngineError
from executor.sidecar import SidecarChannel
from executor.spec import Reply, RunSpec
from executor.subnets import SubnetPool

log = logging.getLogger("cronium.sandbox")
MAIN_GRACE, SIDECAR_GRACE = 10, 5  # seconds between SIGTERM and SIGKILL
SUBNET_TRIES = 20


class EngineLike(Protocol):
    """What a sandbox needs of an engine; `engine.Engine` and the tests' fake both have it."""

    @property
    def version(self) -> str: ...
    @property
    def log_driver(self) -> str: ...
    @property
    def default_runtime(self) -> str: ...
    def runtimes(self) -> tuple[str, ...]: ...
    def ping(self) -> None: ...
    def image_id(self, reference: str) -> str: ...
    def create_network(self, body: dict[str, Any]) -> None: ...
    def remove_network(self, name: str) -> None: ...
    def create_container(self, name: str, body: dict[str, Any]) -> str: ...
    def attach(self, name: str, *, stdin: bool, output: bool) -> Attachment: ...
    def start(self, name: str) -> None: ...
    def inspect(self, name: str) -> ContainerState: ...
    def describe_container(self, name: str) -> dict[str, Any]: ...
    def describe_network(self, name: str) -> dict[str, Any]: ...
    def wait(self, name: str, seconds: int) -> None: ...
    def stop(self, name: str, grace: int) -> None: ...
    def remove_container(self, name: str) -> None: ...
    def memory_peak(self, name: str) -> int | None: ...
    def find_ours(self, instance: str) -> list[Found]: ...


class Sandbox:
    """Built by `build`, used by `send_payload` and `output`, ended by `take_down`."""

    def __init__(
        self, engine: EngineLike, spec: RunSpec, subnets: SubnetPool, answer: Callable[[str, Any], Reply], sha256: str
    ) -> None:
        self._engine = engine
        self._spec = spec
        self._subnets = subnets
        self._answer = answer
        self._token_sha256 = sha256
        self._subnet: IPv4Network | None = None
        self._stdin: Attachment | None = None
        self._sidecar: SidecarChannel | None = None
        self._aborted = threading.Event()
        self._failure: BaseException | None = None
        self.main = options.main_name(spec.run_id)
        self.output: Attachment | None = None
        self.image_id = ""
        # By name, for `report`: the bodies sent to the engine, and what it says of what it made of them.
        self.asked: dict[str, dict[str, Any]] = {}
        self.found: dict[str, dict[str, Any]] = {}

    def build(self) -> None:
        """Network, then sidecar and main side by side; returns when the sidecar is healthy and main waits.

        Raises EngineError; what was built until then is `take_down`'s to remove.
        """
        self.image_id = self._engine.image_id(self._spec.image)
        addresses = self._create_network()
        with ThreadPoolExecutor(2, "build") as pool:
            steps = [pool.submit(self._step, step, addresses) for step in (self._start_sidecar, self._start_main)]
            wait(steps)
        if self._failure:
            raise self._failure

    def _step(self, step: Callable[[options.Addresses], None], addresses: options.Addresses) -> None:
        try:
            step(addresses)
        except BaseException as error:
            # The first one counts, and is kept before the abort: what the other side then says is not news.
            self._failure = self._failure or error
            self.abort()  # the other side need not wait for its health
            raise

    def _create_network(self) -> options.Addresses:
        refused: AddressTaken | None = None
        for _ in range(SUBNET_TRIES):
            self._subnet = self._subnets.take()
            if self._subnet is None:
                raise AddressTaken("Every /29 of CRONIUM_SUBNET_POOL is in use. Choose a larger pool.")
            addresses = options.Addresses(self._subnet)
            try:
                body = options.network(self._spec, addresses, self._engine.version)
                self._engine.create_network(body)
                self.asked[body["Name"]] = body
            except AddressTaken as error:
                # Not given back: somebody else has it, and the next run would only try it again.
                refused = error
                continue
            except Conflict:
                # An earlier attempt at this run, before any payload, left its things: clear them and go on.
                self._subnets.give_back(self._subnet)
                self._remove_all()
                continue
            return addresses
        raise refused or AddressTaken("No subnet was free.")

    def _create_container(self, name: str, body: dict[str, Any]) -> None:
        self._engine.create_container(name, body)
        self.asked[name] = body

    def _start_sidecar(self, addresses: options.Addresses) -> None:
        name = options.sidecar_name(self._spec.run_id)
        self._create_container(name, options.sidecar_container(self._spec, addresses))
        attachment = self._engine.attach(name, stdin=True, output=True)
        self._sidecar = SidecarChannel(attachment, self._spec, self._answer)
        self._refuse_aborted()
        self._engine.start(name)
        self._sidecar.open(self._token_sha256)
        self.found[name] = self._engine.describe_container(name)  # while it boots, so it costs no time
        self._sidecar.wait_ready()

    def _start_main(self, addresses: options.Addresses) -> None:
        body = options.main_container(self._spec, addresses, self._engine.log_driver)
        self._create_container(self.main, body)
        # Before the start: an attach that comes later loses lines.
        self.output = self._engine.attach(self.main, stdin=False, output=True)
        self._stdin = self._engine.attach(self.main, stdin=True, output=False)
        self._refuse_aborted()
        self._engine.start(self.main)
        self.found[self.main] = self._engine.describe_container(self.main)
        for name in [name for name, asked in list(self.asked.items()) if "Driver" in asked]:
            self.found[name] = self._engine.describe_network(name)

    def _refuse_aborted(self) -> None:
        if self._aborted.is_set():
            raise Conflict("The run was cancelled while its sandbox was built.")

    def abort(self) -> None:
        """From any thread: make a `build` under way end soon."""
        self._aborted.set()
        if self._sidecar:
            self._sidecar.close()

    def send_payload(self) -> None:
        """Hand over the script: user code starts now."""
        assert self._stdin is not None
        self._stdin.send(payload.build(self._spec))
        self._stdin.close_write()
        self._stdin.close()

    def take_down(self) -> bool:
        """Stop and remove all of it; True when nothing is left. Errors are logged and never raised."""
        if self._stdin:
            self._stdin.close()  # a main that still waits for its payload ends by itself, at once
        clean = self._remove_all()
        for attachment in (self.output, self._sidecar):
            if attachment:
                attachment.close()
        if clean and self._subnet:
            self._subnets.give_back(self._subnet)
        return clean

    def _remove_all(self) -> bool:
        containers = (self.main, MAIN_GRACE), (options.sidecar_name(self._spec.run_id), SIDECAR_GRACE)
        with ThreadPoolExecutor(2, "take-down") as pool:
            gone = list(pool.map(lambda pair: self._remove_container(*pair), containers))
        network = options.network_name(self._spec.run_id)
        return self._quietly(lambda: self._engine.remove_network(network), network) and all(gone)

    def _remove_container(self, name: str, grace: int) -> bool:
        with suppress(EngineError):
            if self._engine.inspect(name).running:
                self._engine.stop(name, grace)
        return self._quietly(lambda: self._engine.remove_container(name), name)

    def _quietly(self, step: Callable[[], None], name: str) -> bool:
        try:
            step()
        except EngineError as error:
            log.warning("run %s: %s is still there: %s", self._spec.run_id, name, error)
            return False
        return True
