"""One run's sandbox: builds and removes its networks, sidecar container and main container.

Names follow from the run's id, so `take_down` needs no state of `build`: the undo of each step is known before the
step, is idempotent, and may run at any time and in any order.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from typing import Any

from executor import failpoints, naming
from executor.docker.attachment import Attachment, SplitAttachment
from executor.docker.errors import (
    Conflict,
    EngineError,
    NotFound,
    SandboxGone,
    SandboxTampered,
)
from executor.docker.models import NO_IMAGE, ContainerState, parse_time
from executor.docker.ownership import is_container_of
from executor.docker.protocol import EngineLike
from executor.sandbox import options
from executor.sandbox.image import find_image, refuse_unknown_runtime
from executor.sandbox.networks import Networks
from executor.sandbox.removal import remove_container
from executor.sandbox.sidecar_channel import SidecarChannel
from executor.sandbox.subnets import SubnetPool
from executor.spec import Reply, RunSpec

log = logging.getLogger("cronium.sandbox")
SAME_SECONDS = 0.001  # tolerance between two readings of the same time
CLOCK_SECONDS = 5.0  # tolerance for a clock that is set back while a script runs
MAIN_GRACE, SIDECAR_GRACE = 10, 5  # seconds between SIGTERM and SIGKILL


class Sandbox:
    """One run's sandbox: `build`, then `send_payload` and `output`, then `take_down`."""

    def __init__(
        self,
        engine: EngineLike,
        spec: RunSpec,
        subnets: SubnetPool,
        answer: Callable[[str, Any], Reply],
        tell: Callable[[str, str], None],
        sha256: str,
    ) -> None:
        self._engine = engine
        self._spec = spec
        self._networks = Networks(engine, spec, subnets)
        self._answer = answer
        self._tell = tell
        self._token_sha256 = sha256
        self._stdin: Attachment | None = None
        self._lock = threading.Lock()  # the next two
        self._sidecar: SidecarChannel | None = None
        self._is_detached = False
        self._aborted = threading.Event()
        self._failure: BaseException | None = None
        self.main = naming.name_main(spec.run_id)
        self._ids: dict[str, str] = {}  # container ids by name: a container may be renamed from outside
        self.output: Attachment | None = None
        self.image_id = ""
        self._image = NO_IMAGE
        self._started_at = 0.0  # main's start, by the engine's clock
        self.booted_at = 0.0  # the engine's start, read before main's output was attached or main was seen running
        # By name, for the inspection: the bodies sent to the engine, and its answers to `inspect`.
        self.requested: dict[str, dict[str, Any]] = {}
        self.reported: dict[str, dict[str, Any]] = {}

    def build(self) -> None:
        """Create the networks, then sidecar and main in parallel. Returns when the sidecar is ready and main waits.

        Raises EngineError; `take_down` then removes the partial sandbox.
        """
        refuse_unknown_runtime(self._engine, self._spec)
        self.booted_at = self._engine.read_boot_time()
        self._image = find_image(self._engine, self._spec)
        self.image_id = self._image.id
        if self._spec.image_digest:
            self._spec = replace(self._spec, image_digest=self.image_id)  # as this engine calls it
        options.cover_volumes(self._spec, self._image)  # refuse an unusable image before creating anything
        self._networks.create(self._remove_all)
        self.requested |= self._networks.requested
        failpoints.hit("network-created")
        steps = (self._start_sidecar, self._start_main) if self._networks.inside else (self._start_main,)
        with ThreadPoolExecutor(2, "build") as pool:
            wait([pool.submit(self._run_step, step) for step in steps])
        if self._failure:
            raise self._failure

    def is_engine_restarted(self) -> bool:
        try:
            return self.booted_at != 0.0 and self.booted_at != self._engine.read_boot_time()
        except EngineError:
            return self.booted_at != 0.0  # without a first answer a restart is unknown

    def find_id(self, name: str) -> str:
        return self._ids.get(name, name)

    @property
    def has_seen_main(self) -> bool:
        return self._started_at != 0.0

    def inspect_main(self) -> ContainerState:
        """Main's state. SandboxGone when it does not exist, SandboxTampered when it was started again."""
        try:
            state = self._engine.inspect(self.find_id(self.main))
        except NotFound as error:
            raise SandboxGone(f"The container {self.main} does not exist any more.") from error
        if not is_container_of(self._engine, self._spec, state):
            raise SandboxGone(f"The container {self.main} is not the one that was created for this run.")
        started_at = self._started_at or state.started_at
        if state.is_restarted or abs(state.started_at - started_at) > SAME_SECONDS:
            raise SandboxTampered(f"The container {self.main} was started again from outside Cronium.")
        return state

    def reconnect(self) -> None:
        self.inspect_main()
        self.reopen_sidecar()

    def adopt(self, begun_at: float = 0.0) -> ContainerState:
        """Adopt the sandbox that an earlier process built, and return main's state. Raises as `inspect_main` does.

        `begun_at`: when the script began, by `time.monotonic`, after main's only start; 0.0 if unknown.
        """
        booted_at = self._engine.read_boot_time()
        state = self.inspect_main()
        if begun_at and not state.is_running:  # for a running container, the engine reports a second start
            age, least = self._engine.read_clock() - state.started_at, time.monotonic() - begun_at
            if age < least - CLOCK_SECONDS:
                raise SandboxTampered(f"The container {self.main} was started again from outside Cronium.")
        self._started_at = state.started_at
        self._ids[self.main] = state.id
        self._networks.adopt()
        if state.is_running:
            self.booted_at = booted_at
            self.reopen_sidecar()
        return state

    def reopen_sidecar(self) -> None:
        """Connect to the run's sidecar again. Without a sidecar the script continues, and its API calls fail."""
        name = naming.name_sidecar(self._spec.run_id)
        try:
            if self._spec.network == "none":
                return
            state = self._engine.inspect(self.find_id(name))
            if not state.is_running or not is_container_of(self._engine, self._spec, state):
                return
            channel = SidecarChannel(self._attach_sidecar(state.id), self._spec, self._answer, self._tell)
            with self._lock:
                previous, self._sidecar = self._sidecar, channel
                is_detached = self._is_detached
            if previous:
                previous.close()
            if is_detached:
                channel.close()
            else:
                channel.reopen()
        except EngineError as error:
            log.warning("run %s: no connection to its sidecar: %s", self._spec.run_id, error)

    def _run_step(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException as error:
            # Keep the first error, before `abort`: the other step fails because of it.
            self._failure = self._failure or error
            self.abort()  # the other step need not wait for the sidecar
            raise

    def _create_container(self, name: str, body: dict[str, Any]) -> None:
        try:
            container_id = self._engine.create_container(name, body)
        except Conflict:
            # Left by an earlier attempt at this run. A later attempt's container is not removed.
            if not self._remove_container(name, 0):
                raise
            container_id = self._engine.create_container(name, body)
        self._ids[name] = container_id
        self.requested[name] = body

    def _start_sidecar(self) -> None:
        assert self._networks.inside is not None
        name = naming.name_sidecar(self._spec.run_id)
        image = self._engine.describe_image(self._spec.sidecar_image)
        body = options.build_sidecar_container(self._spec, self._networks.inside, image)
        self._create_container(name, body)
        failpoints.hit("sidecar-created")
        body["NetworkingConfig"]["EndpointsConfig"] |= self._networks.connect_sidecar(name)
        attachment = self._attach_sidecar(name)
        self._sidecar = SidecarChannel(attachment, self._spec, self._answer, self._tell)
        self._refuse_aborted()
        self._engine.start(name)
        failpoints.hit("sidecar-started")
        self._sidecar.open(self._token_sha256, self._networks)
        self.reported[name] = self._engine.describe_container(name)  # while it boots, so it costs no time
        self._sidecar.wait_ready()

    def _attach_sidecar(self, name: str) -> SplitAttachment:
        output = self._engine.attach(name, stdin=False, output=True)
        try:
            return SplitAttachment(output, self._engine.attach(name, stdin=True, output=False))
        except BaseException:
            output.close()
            raise

    def _start_main(self) -> None:
        body = options.build_main_container(self._spec, self._networks.inside, self._engine.log_driver, self._image)
        self._create_container(self.main, body)
        failpoints.hit("main-created")
        # Before the start: a later attach loses lines.
        self.output = self._engine.attach(self.main, stdin=False, output=True)
        self._stdin = self._engine.attach(self.main, stdin=True, output=False)
        self._refuse_aborted()
        self._engine.start(self.main)
        failpoints.hit("main-started")
        self.reported[self.main] = self._engine.describe_container(self.main)
        self._started_at = parse_time(self.reported[self.main]["State"]["StartedAt"])
        for name in [name for name, body in list(self.requested.items()) if "Driver" in body]:
            self.reported[name] = self._engine.describe_network(name)

    def _refuse_aborted(self) -> None:
        if self._aborted.is_set():
            raise Conflict("The run was cancelled while its sandbox was being built.")

    def abort(self) -> None:
        self._aborted.set()
        if self._sidecar:
            self._sidecar.close()

    def send_payload(self, payload: bytes) -> None:
        assert self._stdin is not None
        half = len(payload) // 2
        self._stdin.send(payload[:half])
        failpoints.hit("payload-half")
        self._stdin.send(payload[half:])
        self._stdin.close_write()
        self._stdin.close()

    def take_down(self) -> bool:
        """Stop and remove everything; True when nothing is left. Logs errors and never raises them."""
        if self._stdin:
            self._stdin.close()  # a main that still waits for its payload exits at once
        clean = self._remove_all()
        if self.output:
            self.output.close()
        if self._sidecar:
            self._sidecar.drain()
        if clean:
            self._networks.release_subnets()
        return clean

    def abandon(self) -> None:
        """Stop holding the run's subnets. Remaining networks are left to garbage collection or another worker."""
        self._networks.abandon_subnets()

    def can_main_run(self) -> bool:
        try:
            state = self._engine.inspect(self.find_id(self.main))
            return state.is_running and is_container_of(self._engine, self._spec, state)
        except NotFound:
            return False
        except EngineError:
            return True

    def stop_main(self) -> None:
        """SIGTERM, MAIN_GRACE seconds, SIGKILL. Returns when main has stopped; a missing container is no error."""
        with suppress(NotFound):
            state = self._engine.inspect(self.find_id(self.main))
            if is_container_of(self._engine, self._spec, state):
                self._engine.stop(state.id, MAIN_GRACE)

    def detach(self) -> None:
        """Close all connections and change nothing: another process holds the run, or will."""
        with self._lock:
            self._is_detached = True  # seen by a reader that is about to connect again
            attachments = self._stdin, self.output, self._sidecar
        for attachment in attachments:
            if attachment:
                attachment.close()

    def _remove_all(self) -> bool:
        containers = (self.main, MAIN_GRACE), (naming.name_sidecar(self._spec.run_id), SIDECAR_GRACE)
        with ThreadPoolExecutor(2, "take-down") as pool:
            removed = list(pool.map(lambda pair: self._remove_container(*pair), containers))
        failpoints.hit("main-removed")
        without_networks = self._networks.remove()
        failpoints.hit("network-removed")
        return without_networks and all(removed)

    def _remove_container(self, name: str, grace: int) -> bool:
        return remove_container(self._engine, self._spec, self.find_id(name), name, grace)
