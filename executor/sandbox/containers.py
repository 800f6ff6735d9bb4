"""The containers of one run: creates, describes and removes them by name."""

import logging
from contextlib import suppress
from typing import Any

from executor.docker.errors import Conflict, EngineError, NotFound
from executor.docker.ownership import is_container_of
from executor.docker.protocol import EngineLike
from executor.spec import SandboxSpec

log = logging.getLogger("cronium.sandbox")


class Containers:
    """Keeps the ids of the created containers, because a container may be renamed from outside."""

    def __init__(self, engine: EngineLike, spec: SandboxSpec) -> None:
        self._engine = engine
        self._spec = spec
        self._ids: dict[str, str] = {}
        # By name, for the inspection: the bodies sent to the engine, and its answers to `inspect`.
        self.requested: dict[str, dict[str, Any]] = {}
        self.reported: dict[str, dict[str, Any]] = {}

    def find_id(self, name: str) -> str:
        return self._ids.get(name, name)

    def set_id(self, name: str, container_id: str) -> None:
        self._ids[name] = container_id

    def create(self, name: str, body: dict[str, Any]) -> None:
        try:
            container_id = self._engine.create_container(name, body)
        except Conflict:
            # Left by an earlier attempt at this run. A later attempt's container is not removed.
            if not self.remove(name, 0):
                raise
            container_id = self._engine.create_container(name, body)
        self._ids[name] = container_id
        self.requested[name] = body

    def describe(self, name: str) -> dict[str, Any]:
        self.reported[name] = self._engine.describe_container(name)
        return self.reported[name]

    def remove(self, name: str, grace: int) -> bool:
        """Stop and remove a container; False, with an error in the log, if it is left.

        A container of the same name that belongs to something else is not removed and counts as gone.
        """
        try:
            state = self._engine.inspect(self.find_id(name))
            if not is_container_of(self._engine, self._spec, state):
                log.warning("run %s: %s was not created by Cronium and is not removed", self._spec.run_id, name)
                return True
            if state.epoch > self._spec.epoch:
                raise Conflict(f"A later attempt at this run has created {name}.")
            if state.is_running:
                with suppress(EngineError):  # the removal kills it anyway
                    self._engine.stop(state.id, grace)
            self._engine.remove_container(state.id)  # by id: a later attempt may use the name by now
        except NotFound:
            return True
        except EngineError as error:
            log.warning("run %s: %s could not be removed: %s", self._spec.run_id, name, error)
            return False
        return True
