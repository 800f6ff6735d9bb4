"""One run's sandbox: builds and removes its networks, sidecar container and main container.

Names follow from the run's id, so `take_down` needs no state of `prepare`: the undo of each step is known before the
step, is idempotent, and may run at any time and in any order.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress

from executor import failpoints, naming
from executor.docker.attachment import Attachment
from executor.docker.errors import Conflict, EngineError, NotFound, SandboxGone, SandboxMismatch, SandboxTampered
from executor.docker.models import NO_IMAGE, ContainerState, parse_time
from executor.docker.ownership import is_container_of
from executor.docker.protocol import EngineLike
from executor.sandbox import inspection, options
from executor.sandbox.binding import Binding
from executor.sandbox.containers import Containers
from executor.sandbox.image import find_image, refuse_unknown_runtime
from executor.sandbox.networks import Networks
from executor.sandbox.shape import compute_shape_digest, describe_difference, find_shape_digest
from executor.sandbox.sidecar import Sidecar
from executor.sandbox.subnets import SubnetPool
from executor.spec import RunSpec, SandboxSpec

SAME_SECONDS = 0.001  # tolerance between two readings of the same time
CLOCK_SECONDS = 5.0  # tolerance for a clock that is set back while a script runs
MAIN_GRACE, SIDECAR_GRACE = 10, 5  # seconds between SIGTERM and SIGKILL


class Sandbox:
    """One run's sandbox: `prepare` and `bind`, then `send_payload` and `output`, then `take_down`.

    `prepare` needs no run: it creates everything that follows from the shape and the run's id. `bind` gives the sandbox
    to a run. `prepare(binding)` does both, and sends the sidecar's configuration while main starts.
    """

    def __init__(self, engine: EngineLike, spec: SandboxSpec, subnets: SubnetPool) -> None:
        self._engine = engine
        self._spec = spec
        self._networks = Networks(engine, spec, subnets)
        self._containers = Containers(engine, spec)
        self._sidecar = Sidecar(engine, spec, self._networks, self._containers)
        self._stdin: Attachment | None = None
        self._lock = threading.Lock()  # guards the next attribute
        self._binding: Binding | None = None
        self._aborted = threading.Event()
        self._failure: BaseException | None = None
        self.main = naming.name_main(spec.run_id)
        self.output: Attachment | None = None
        self.shape_digest = ""  # of a sandbox that was prepared without a binding
        self.image_id = ""
        self._image = NO_IMAGE
        self._started_at = 0.0  # main's start, by the engine's clock
        self.booted_at = 0.0  # the engine's start, read before main's output was attached or main was seen running

    def prepare(self, binding: Binding | None = None) -> None:
        """Create the networks, then sidecar and main in parallel. Returns when both containers wait for their input.

        With a `binding`, the sandbox is also bound, as after `bind`. Raises EngineError; `take_down` then removes the
        partial sandbox.
        """
        if binding:
            if binding.spec.sandbox != self._spec:
                raise SandboxMismatch("The sandbox was created for another run.")
            self._set_binding(binding)
        refuse_unknown_runtime(self._engine, self._spec)
        self.booted_at = self._engine.read_boot_time()
        self._image = find_image(self._engine, self._spec)
        self.image_id = self._image.id
        options.cover_volumes(self._spec, self._image)  # refuse an unusable image before creating anything
        self._networks.create(self._remove_all)
        failpoints.hit("network-created")
        self._note_phase("network_made")
        steps = (self._start_sidecar, self._start_main) if self._networks.inside else (self._start_main,)
        with ThreadPoolExecutor(2, "build") as pool:
            wait([pool.submit(self._run_step, step) for step in steps])
        if self._failure:
            raise self._failure
        if not binding:
            engine = self._engine
            self.shape_digest = compute_shape_digest(
                self._spec.shape, self._image, self._sidecar.image, engine.version, engine.log_driver
            )

    def bind(self, binding: Binding) -> None:
        """Give a prepared sandbox to a run. Returns when the sidecar is ready for it.

        Raises SandboxMismatch and sends nothing if a sandbox created for the run now would have another shape, or if
        this one was stopped. Raises the errors of the engine.
        """
        if self._aborted.is_set():
            raise SandboxMismatch("The sandbox was stopped before it was bound to a run.")
        if self.shape_digest:
            self._refuse_mismatch(binding.spec)
        elif not self._binding:
            raise SandboxMismatch("The sandbox is not prepared.")
        self._set_binding(binding)
        if self._networks.inside:
            self._sidecar.bind(binding)

    def _refuse_mismatch(self, spec: RunSpec) -> None:
        if (spec.run_id, spec.epoch) != (self._spec.run_id, self._spec.epoch):
            raise SandboxMismatch(
                f"The sandbox was prepared for {self._spec.run_id}, epoch {self._spec.epoch}, and not for "
                f"{spec.run_id}, epoch {spec.epoch}."
            )
        if find_shape_digest(self._engine, spec) != self.shape_digest:
            names = describe_difference(self._spec, spec) or "an image or the engine, which changed meanwhile"
            raise SandboxMismatch(f"The sandbox was prepared with other settings than the run's: {names}.")

    def _set_binding(self, binding: Binding) -> None:
        with self._lock:
            if self._binding:
                raise SandboxMismatch("The sandbox is bound to a run already.")
            self._binding = binding

    def build_report(self) -> list[inspection.Row]:
        requested = self._networks.requested | self._containers.requested
        reported = self._networks.reported | self._containers.reported
        return inspection.build_rows(self._spec, requested, reported, self._engine.default_runtime, self.image_id)

    def is_engine_restarted(self) -> bool:
        try:
            return self.booted_at != 0.0 and self.booted_at != self._engine.read_boot_time()
        except EngineError:
            return self.booted_at != 0.0  # without a first answer a restart is unknown

    def find_id(self, name: str) -> str:
        return self._containers.find_id(name)

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
        """Connect to the sidecar of a bound sandbox again. Raises as `inspect_main` does."""
        assert self._binding is not None
        self.inspect_main()
        self._sidecar.reopen(self._binding)

    def adopt(self, binding: Binding, begun_at: float = 0.0) -> ContainerState:
        """Adopt the sandbox that an earlier process built and bound, and return main's state. May be repeated.

        Raises as `inspect_main` does. `begun_at`: when the script began, by `time.monotonic`, after main's only start;
        0.0 if unknown.
        """
        self._binding = binding
        booted_at = self._engine.read_boot_time()
        state = self.inspect_main()
        if begun_at and not state.is_running:  # for a running container, the engine reports a second start
            age, least = self._engine.read_clock() - state.started_at, time.monotonic() - begun_at
            if age < least - CLOCK_SECONDS:
                raise SandboxTampered(f"The container {self.main} was started again from outside Cronium.")
        self._started_at = state.started_at
        self._containers.set_id(self.main, state.id)
        self._networks.adopt()
        if state.is_running:
            self.booted_at = booted_at
            self._sidecar.reopen(binding)
        return state

    def _run_step(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException as error:
            # Keep the first error, before `abort`: the other step fails because of it.
            self._failure = self._failure or error
            self.abort()  # the other step need not wait for the sidecar
            raise

    def _start_sidecar(self) -> None:
        self._sidecar.start(self._binding, self._refuse_aborted)

    def _start_main(self) -> None:
        body = options.build_main_container(self._spec, self._networks.inside, self._engine.log_driver, self._image)
        self._containers.create(self.main, body)
        failpoints.hit("main-created")
        # Before the start: a later attach loses lines.
        self.output = self._engine.attach(self.main, stdin=False, output=True)
        self._stdin = self._engine.attach(self.main, stdin=True, output=False)
        self._refuse_aborted()
        self._engine.start(self.main)
        failpoints.hit("main-started")
        self._note_phase("main_started")
        reported = self._containers.describe(self.main)
        self._started_at = parse_time(reported["State"]["StartedAt"])
        self._networks.describe()

    def _note_phase(self, phase: str) -> None:
        if self._binding:
            self._binding.note_phase(phase)

    def _refuse_aborted(self) -> None:
        if self._aborted.is_set():
            raise Conflict("The run was cancelled while its sandbox was being built.")

    def abort(self) -> None:
        self._aborted.set()
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
        self._aborted.set()
        if self._stdin:
            self._stdin.close()  # a main that still waits for its payload exits at once
        clean = self._remove_all()
        if self.output:
            self.output.close()
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
        self._sidecar.detach()
        for attachment in (self._stdin, self.output):
            if attachment:
                attachment.close()

    def _remove_all(self) -> bool:
        containers = (self.main, MAIN_GRACE), (self._sidecar.name, SIDECAR_GRACE)
        with ThreadPoolExecutor(2, "take-down") as pool:
            removed = list(pool.map(lambda pair: self._containers.remove(*pair), containers))
        failpoints.hit("main-removed")
        without_networks = self._networks.remove()
        failpoints.hit("network-removed")
        return without_networks and all(removed)
