"""A run's sidecar: starts its container, and connects it to the run."""

import logging
import threading
from collections.abc import Callable

from executor import failpoints, naming
from executor.docker.attachment import SplitAttachment
from executor.docker.errors import EngineError
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


class Sidecar:
    """`start`, then `bind` unless it was started with a binding; or `reopen` for one that an earlier process started.

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

    def start(self, binding: Binding | None, refuse_aborted: Callable[[], None]) -> None:
        """Returns when the sidecar is ready for the run of `binding`; without one, when it waits for its configuration.

        `refuse_aborted` raises if the sandbox is no longer wanted.
        """
        assert self._networks.inside is not None
        self.image = self._engine.describe_image(self._spec.sidecar_image)
        body = options.build_sidecar_container(self._spec, self._networks.inside, self.image)
        self._containers.create(self.name, body)
        failpoints.hit("sidecar-created")
        body["NetworkingConfig"]["EndpointsConfig"] |= self._networks.connect_sidecar(self.name)
        self._channel = SidecarChannel(self._attach(self.name), self._spec.run_id)
        refuse_aborted()
        self._engine.start(self.name)
        failpoints.hit("sidecar-started")
        self._channel.listen()
        if binding:
            self._channel.configure(build_configuration(binding.spec, self._networks), binding)
        self._containers.describe(self.name)  # while it boots, so it costs no time
        if binding:
            self._channel.wait_ready()
        else:
            self._channel.wait_loaded()

    def bind(self, binding: Binding) -> None:
        """Send the configuration to a sidecar that waits for it. Returns when the sidecar is ready."""
        assert self._channel is not None
        self._channel.configure(build_configuration(binding.spec, self._networks), binding)
        self._channel.wait_ready()

    def reopen(self, binding: Binding) -> None:
        """Connect to the run's sidecar again. Without a sidecar the script continues, and its API calls fail."""
        try:
            if self._spec.network == "none":
                return
            state = self._engine.inspect(self._containers.find_id(self.name))
            if not state.is_running or not is_container_of(self._engine, self._spec, state):
                return
            channel = SidecarChannel(self._attach(state.id), self._spec.run_id)
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
