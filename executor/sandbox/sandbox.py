"""One run's sandbox: builds and removes its networks, sidecar container and main container.

Names follow from the run's id, so `take_down` needs no state of `prepare`: the undo of each step is known before the
step, is idempotent, and may run at any time and in any order.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress

from executor import failpoints
from executor.docker.attachment import Attachment
from executor.docker.errors import (
    Conflict,
    EngineError,
    NotFound,
    SandboxDefect,
    SandboxDrift,
    SandboxGone,
    SandboxMismatch,
    SandboxTampered,
)
from executor.docker.models import NO_IMAGE, ContainerState
from executor.docker.ownership import is_container_of
from executor.docker.protocol import EngineLike
from executor.sandbox import inspection, options
from executor.sandbox.binding import Binding
from executor.sandbox.containers import Containers
from executor.sandbox.image import explain_removed_image, find_image, refuse_unknown_runtime
from executor.sandbox.main_container import MainContainer
from executor.sandbox.networks import Networks
from executor.sandbox.shape import (
    EngineTraits,
    compute_shape_digest,
    compute_stem_digest,
    describe_difference,
    find_shape_digest,
    find_stem_digest,
)
from executor.sandbox.sidecar import Sidecar
from executor.sandbox.steps import Steps
from executor.sandbox.subnets import SubnetPool
from executor.sandbox.topology import choose_topology
from executor.spec import RunSpec, SandboxSpec

SAME_SECONDS = 0.001  # tolerance between two readings of the same time
CLOCK_SECONDS = 5.0  # tolerance for a clock that is set back while a script runs
MAIN_GRACE, SIDECAR_GRACE = 10, 5  # seconds between SIGTERM and SIGKILL
NETWORKS_CREATED, SIDECAR_CREATED, SIDECAR_STARTED = "networks created", "sidecar created", "sidecar started"


class Sandbox:
    """One run's sandbox: `prepare` and `bind`, then `send_payload` and `output`, then `take_down`.

    `prepare` needs no run: it creates everything that follows from the shape and the run's id. `bind` gives the sandbox
    to a run. `prepare(binding)` does both, and sends the sidecar's configuration while main starts. `prepare_stem`
    creates everything but main, which follows with `add_main`, or with `bind`.
    """

    def __init__(self, engine: EngineLike, spec: SandboxSpec, subnets: SubnetPool) -> None:
        self._engine = engine
        self._spec = spec
        self._networks = Networks(engine, spec, subnets)
        self._containers = Containers(engine, spec)
        self._sidecar = Sidecar(engine, spec, self._networks, self._containers)
        self._main = MainContainer(engine, self._containers, spec.run_id)
        self._steps = Steps(self.abort)
        self._lock = threading.Lock()  # guards the next attribute
        self._binding: Binding | None = None
        self._aborted = threading.Event()
        self._is_joined = False
        self.is_stem = False
        self.shape_digest = ""  # of a sandbox that was prepared without a binding; of a stem: `find_stem_digest`
        self.image_id = ""
        self._image = NO_IMAGE
        self.booted_at = 0.0  # the engine's start, read before main's output was attached or main was seen running

    @property
    def main(self) -> str:
        return self._main.name

    @property
    def image_digests(self) -> tuple[str, ...]:
        return self._image.digests

    @property
    def output(self) -> Attachment | None:
        return self._main.output

    def prepare(self, binding: Binding | None = None) -> None:
        """Create the networks, sidecar and main. Returns when both containers wait for their input.

        With a `binding`, the sandbox is also bound, as after `bind`. Raises EngineError; `take_down` then removes the
        partial sandbox.
        """
        if binding:
            if binding.spec.sandbox != self._spec:
                raise SandboxMismatch("The sandbox was created for another run.")
            self._set_binding(binding)
        self._choose_topology()
        self._find_image()
        if self._is_joined:
            self._steps.run(self._create_networks, self._build_sidecar, self._build_main)
        else:
            self._create_networks()
            self._steps.run(*([self._build_sidecar] if self._networks.inside else []), self._build_main)
        if not binding:
            self.shape_digest = self._compute_shape_digest()

    def prepare_stem(self) -> None:
        """Create the network and the sidecar. Raises EngineError; SandboxMismatch if main may not join the sidecar."""
        self._choose_topology()
        if not self._is_joined:
            raise SandboxMismatch("Only a sandbox whose main joins the sidecar's network can wait without main.")
        self.is_stem = True
        self._steps.run(self._create_networks, self._build_sidecar)
        self.shape_digest = compute_stem_digest(self._spec, self._sidecar.image, EngineTraits.read(self._engine))

    def add_main(self, spec: SandboxSpec) -> None:
        """Make a whole waiting sandbox of a stem. Raises SandboxMismatch and changes nothing if it does not fit `spec`.

        After another error the sandbox can only be taken down.
        """
        self._refuse_aborted_mismatch()
        self._refuse_other_stem(spec)
        self._spec = spec
        self._find_image()
        self._steps.run(self._build_main)
        self.is_stem = False
        self.shape_digest = self._compute_shape_digest()

    def bind(self, binding: Binding) -> None:
        """Give a prepared sandbox to a run; a stem gets the run's main. Returns when the sidecar is ready for it.

        Raises SandboxMismatch and sends nothing if a sandbox created for the run now would have another shape, or if
        this one was stopped; SandboxDrift if it violates a requirement by now. Raises the errors of the engine.
        """
        self._refuse_aborted_mismatch()
        if self.is_stem:
            self._refuse_other_stem(binding.spec.sandbox)
        elif self.shape_digest:
            self._refuse_mismatch(binding.spec)
        elif not self._binding:
            raise SandboxMismatch("The sandbox is not prepared.")
        self._refuse_changed()
        self._set_binding(binding)
        if self.is_stem:
            self._spec = binding.spec.sandbox
            self._find_image()
            self._steps.run(self._configure_sidecar, self._build_main)
            self.is_stem = False
        elif self._networks.inside:
            self._configure_sidecar()

    def find_defect(self) -> str:
        """Why a waiting sandbox can't be used any more; empty if it can. Asks no engine."""
        if self._aborted.is_set():
            return "it was stopped"
        if self._sidecar.has_ended:
            return "its sidecar has ended, or the connection to it"
        return "its main container has ended, or the connection to it" if self._main.has_ended else ""

    def _refuse_aborted_mismatch(self) -> None:
        if self._aborted.is_set():
            raise SandboxMismatch("The sandbox was stopped before it was bound to a run.")

    def _refuse_mismatch(self, spec: RunSpec) -> None:
        self._refuse_other_identity(spec)
        if find_shape_digest(self._engine, spec) != self.shape_digest:
            raise SandboxMismatch(self._describe_mismatch(spec))

    def _refuse_other_stem(self, spec: SandboxSpec) -> None:
        if not self.is_stem:
            raise SandboxMismatch("The sandbox has a main container already.")
        self._refuse_other_identity(spec)
        if find_stem_digest(self._engine, spec) != self.shape_digest:
            raise SandboxMismatch(self._describe_mismatch(spec))

    def _refuse_other_identity(self, spec: SandboxSpec) -> None:
        if (spec.run_id, spec.epoch) != (self._spec.run_id, self._spec.epoch):
            raise SandboxMismatch(
                f"The sandbox was prepared for {self._spec.run_id}, epoch {self._spec.epoch}, and not for "
                f"{spec.run_id}, epoch {spec.epoch}."
            )

    def _describe_mismatch(self, spec: SandboxSpec) -> str:
        names = (
            describe_difference(self._spec, spec, is_stem=self.is_stem)
            or "an image or the engine, which changed meanwhile"
        )
        return f"The sandbox was prepared with other settings than the run's: {names}."

    def _refuse_changed(self) -> None:
        # Somebody with access to the engine may have changed it since it was prepared.
        earlier = self.build_report()
        for name in self._containers.requested:
            if (self._containers.describe(name).get("State") or {}).get("Paused"):
                raise SandboxDefect(f"The sandbox cannot be used: its container {name} is paused.")
        self._networks.describe()
        rows = self.build_report()
        if violations := inspection.describe_violations(rows):
            raise SandboxDrift(violations)
        if changes := inspection.describe_changes(earlier, rows):
            raise SandboxDrift(changes)

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
        return self._main.started_at != 0.0

    def inspect_main(self) -> ContainerState:
        """Main's state. SandboxGone when it does not exist, SandboxTampered when it was started again."""
        try:
            state = self._engine.inspect(self.find_id(self.main))
        except NotFound as error:
            raise SandboxGone(f"The container {self.main} does not exist any more.") from error
        if not is_container_of(self._engine, self._spec, state):
            raise SandboxGone(f"The container {self.main} is not the one that was created for this run.")
        started_at = self._main.started_at or state.started_at
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
            least = time.monotonic() - begun_at  # before the engine's clock is read, which takes a while
            age = self._engine.read_clock() - state.started_at
            if age < least - CLOCK_SECONDS:
                raise SandboxTampered(f"The container {self.main} was started again from outside Cronium.")
        self._main.started_at = state.started_at
        self._containers.set_id(self.main, state.id)
        self._networks.adopt()
        if state.is_running:
            self.booted_at = booted_at
            self._sidecar.reopen(binding)
        return state

    def _choose_topology(self) -> None:
        refuse_unknown_runtime(self._engine, self._spec)
        self.booted_at = self._engine.read_boot_time()
        self._is_joined = choose_topology(self._spec, self._engine.default_runtime) == "joined"

    def _find_image(self) -> None:
        self._image = find_image(self._engine, self._spec)
        self.image_id = self._image.id
        options.cover_volumes(self._spec, self._image)  # refuse an unusable image before creating anything

    def _compute_shape_digest(self) -> str:
        return compute_shape_digest(self._spec.shape, self._image, self._sidecar.image, EngineTraits.read(self._engine))

    def _create_networks(self) -> None:
        self._networks.create()
        failpoints.hit("network-created")
        self._note_phase("network_made")
        self._steps.note(NETWORKS_CREATED)

    def _build_sidecar(self) -> None:
        binding = self._binding
        self._sidecar.create(self._is_joined)
        self._steps.note(SIDECAR_CREATED)
        self._refuse_aborted()
        self._sidecar.start()
        self._steps.note(SIDECAR_STARTED)
        if self._is_joined:
            self._steps.wait_for(NETWORKS_CREATED)
            with self._sidecar.explain_errors():
                self._networks.connect_running(self._sidecar.name)
        if binding:
            # After it was connected: the engine then rewrites the file of names in which the sidecar finds itself.
            self._sidecar.configure(binding)
        if self._is_joined:
            self._networks.describe()
        self._containers.describe(self._sidecar.name)  # while it boots, so it costs no time
        if binding:
            self._sidecar.wait_ready()
        else:
            self._sidecar.wait_loaded()
            self._sidecar.start_server()

    def _configure_sidecar(self) -> None:
        assert self._binding is not None
        self._sidecar.configure(self._binding)
        self._sidecar.wait_ready()

    def _build_main(self) -> None:
        sidecar_id = None
        if self._is_joined:
            self._steps.wait_for(SIDECAR_CREATED)
            sidecar_id = self._containers.find_id(self._sidecar.name)
        addresses, log_driver = self._networks.inside, self._engine.log_driver
        body = options.build_main_container(self._spec, addresses, log_driver, self._image, sidecar_id)
        with explain_removed_image(self._spec):
            self._main.create(body)
        if self._is_joined:
            self._steps.wait_for(SIDECAR_STARTED)
        self._refuse_aborted()
        with self._sidecar.explain_errors() if self._is_joined else nullcontext():
            self._main.start()
        self._note_phase("main_started")
        if not self._is_joined:
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
        self._main.send_payload(payload)

    def take_down(self) -> bool:
        """Stop and remove everything; True when nothing is left. Logs errors and never raises them."""
        self._aborted.set()
        self._sidecar.expect_end()
        self._main.close_input()
        clean = self._remove_all()
        self._main.close_output()
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
        self._main.close_input()
        self._main.close_output()

    def _remove_all(self) -> bool:
        containers = (self.main, MAIN_GRACE), (self._sidecar.name, SIDECAR_GRACE)
        with ThreadPoolExecutor(2, "take-down") as pool:
            removed = list(pool.map(lambda pair: self._containers.remove(*pair), containers))
        failpoints.hit("main-removed")
        without_networks = self._networks.remove()
        failpoints.hit("network-removed")
        return without_networks and all(removed)
