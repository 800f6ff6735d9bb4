"""Removes one container of a run."""

import logging
from contextlib import suppress

from executor.docker.errors import Conflict, EngineError, NotFound
from executor.docker.ownership import is_container_of
from executor.docker.protocol import EngineLike
from executor.spec import RunSpec

log = logging.getLogger("cronium.sandbox")


def remove_container(engine: EngineLike, spec: RunSpec, container: str, name: str, grace: int) -> bool:
    """Stop and remove a container of the run by its id or name; False, with an error in the log, if it is left.

    A container of the same name that belongs to something else is not removed and counts as gone.
    """
    try:
        state = engine.inspect(container)
        if not is_container_of(engine, spec, state):
            log.warning("run %s: %s was not created by Cronium and is not removed", spec.run_id, name)
            return True
        if state.epoch > spec.epoch:
            raise Conflict(f"A later attempt at this run has created {name}.")
        if state.is_running:
            with suppress(EngineError):  # the removal kills it anyway
                engine.stop(state.id, grace)
        engine.remove_container(state.id)  # by id: a later attempt may use the name by now
    except NotFound:
        return True
    except EngineError as error:
        log.warning("run %s: %s could not be removed: %s", spec.run_id, name, error)
        return False
    return True
