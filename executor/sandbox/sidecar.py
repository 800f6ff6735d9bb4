"""A run's sidecar: starts its container, and connects it to the run."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from executor import failpoints, naming
from executor.docker.attachment import SplitAttachment
from executor.docker.errors import (
    EngineError,
    EngineUnreachable,
    ImageMissing,
    NotFound,
    SidecarImageMissing,
    SidecarUnhealthy,
)
from executor.docker.models import NO_IMAGE
from executor.docker.ownership import is_container_of
from executor.docker.protocol import EngineLike
from executor.sandbox import options
from executor.sandbox.binding import Binding, build_configuration
from executor.sandbox.containers import Containers
from executor.sandbox.networks import Networks
from executor.sandbox.sidecar_channel import SidecarChannel
from executor.spec import SandboxSpec

log = logging.getLogger("cronium.sandbox")
STOP_SECONDS = 5  # between the end of a sidecar's output and its own end
END_SECONDS = 1.0  # between the end of a sidecar and the end of its output


class Sidecar:
    """`create`, `start` and `wait_loaded` or `wait_ready`, with `configure` once its run is known; or `reopen` for a
    sidecar that an earlier process started.

    `close`, `detach` and `drain` may be called from any thread at any time.
    """

    def __init__(self, engine: EngineLike, spec: SandboxSpec, networks: Networks, containers: Containers) -> None:
        self.name = naming.name_sidecar(spec.run_id)
        self.image = NO_IMAGE
        self._engine = engine
        self._spec = spec
        self._networks = networks
        self._containers = containers
        self._lock = threading.Lock()  # the next two
        self._channel: SidecarChannel | None = None
        self._is_detached = False
        self._is_expected = threading.Event()

    def create(self, is_joined: bool) -> None:
        """Create it on the run's networks; without a network for a main that joins its network namespace."""
        addresses = None if is_joined else self._networks.inside
        try:
            self.image = self._engine.describe_image(self._spec.sidecar_image)
            body = options.build_sidecar_container(self._spec, addresses, self.image)
            self._containers.create(self.name, body)
        except ImageMissing as error:
            raise SidecarImageMissing(
                f"The image {self._spec.sidecar_image} of the runtime API is not on the host {self._spec.host}. An "
                "administrator builds it there with `manage.py images build`."
            ) from error
        failpoints.hit("sidecar-created")
        if self._networks.outside:
            body["NetworkingConfig"]["EndpointsConfig"] |= self._networks.connect_egress(self.name)
        self._channel = self._open_channel(self.name)

    def start(self) -> None:
        assert self._channel is not None
        self._engine.start(self._containers.find_id(self.name), is_new=True)
        failpoints.hit("sidecar-started")
        self._channel.listen()

    def configure(self, binding: Binding) -> None:
        """Give it to a run: send its configuration, and serve the run from now on."""
        assert self._channel is not None
        self._channel.configure(build_configuration(binding.spec, self._networks), binding)

    def wait_loaded(self) -> None:
        assert self._channel is not None
        self._channel.wait_loaded()

    def start_server(self) -> None:
        """Before its run is known. Does nothing with egress, as the configuration names the address to listen on."""
        assert self._channel is not None
        if not self._networks.outside:
            self._channel.start_server()

    def wait_ready(self) -> None:
        assert self._channel is not None
        self._channel.wait_ready()

    @contextmanager
    def explain_errors(self) -> Iterator[None]:
        """When the engine refuses to use a sidecar that has ended, raise SidecarUnhealthy instead."""
        try:
            yield
        except EngineUnreachable:
            raise
        except EngineError as error:
            if self._channel:
                try:
                    self._channel.refuse_ended(END_SECONDS)
                except SidecarUnhealthy as failure:
                    raise failure from error
            raise

    @property
    def has_ended(self) -> bool:
        return self._channel is not None and self._channel.has_ended

    def reopen(self, binding: Binding) -> None:
        """Connect to the run's sidecar again. Without a sidecar the script continues, and its API calls fail."""
        try:
            if self._spec.network == "none":
                return
            state = self._engine.inspect(self._containers.find_id(self.name))
            if not state.is_running or not is_container_of(self._engine, self._spec, state):
                return
            channel = self._open_channel(state.id)
            with self._lock:
                previous, self._channel = self._channel, channel
                is_detached = self._is_detached
            if previous:
                previous.close()
            if is_detached:
                channel.close()
            else:
                channel.reopen(binding)
        except EngineError as error:
            log.warning("run %s: no connection to its sidecar: %s", self._spec.run_id, error)

    def expect_end(self) -> None:
        """It is about to be removed, so that its end is no event of the run."""
        self._is_expected.set()

    def _record_end(self, binding: Binding) -> None:
        """Tell the run that its sidecar has ended while its script runs."""
        if self._is_expected.is_set():
            return
        try:
            self._engine.wait(self._containers.find_id(self.name), STOP_SECONDS)  # its output ends first
            if self._is_running(self.name) or not self._is_running(naming.name_main(self._spec.run_id)):
                return
            if not self._is_expected.is_set():
                more = ", and the script may have lost its network" if self._spec.network == "open" else ""
                binding.record_event("sidecar_ended", f"The sidecar has ended: calls of the runtime API fail{more}")
        except EngineUnreachable:
            log.info("run %s: no connection to its sidecar", self._spec.run_id)
        except Exception:
            log.exception("run %s: the end of its sidecar could not be recorded", self._spec.run_id)

    def _is_running(self, name: str) -> bool:
        try:
            return self._engine.inspect(self._containers.find_id(name)).is_running
        except NotFound:
            return False

    def _open_channel(self, container: str) -> SidecarChannel:
        return SidecarChannel(self._attach(container), self._spec.run_id, self._record_end)

    def _attach(self, container: str) -> SplitAttachment:
        output = self._engine.attach(container, stdin=False, output=True)
        try:
            return SplitAttachment(output, self._engine.attach(container, stdin=True, output=False))
        except BaseException:
            output.close()
            raise

    def close(self) -> None:
        if self._channel:
            self._channel.close()

    def detach(self) -> None:
        with self._lock:
            self._is_detached = True  # seen by a thread that is about to connect again
            channel = self._channel
        if channel:
            channel.close()

    def drain(self) -> None:
        if self._channel:
            self._channel.drain()
