"""Removes what is left over on this engine: ours by label, of no run that is held here."""

import logging
from collections.abc import Set

from executor import errors
from executor.engine import Found
from executor.sandbox import EngineLike

log = logging.getLogger("cronium.reaper")


def leftovers(engine: EngineLike, instance: str, host: str, held: Set[str]) -> list[Found]:
    """This instance's and host's containers and networks whose run is not among `held`; containers first."""
    found = [one for one in engine.find_ours(instance) if one.host == host and one.run_id not in held]
    return sorted(found, key=lambda one: one.kind)


def reap(engine: EngineLike, instance: str, host: str, held: Set[str]) -> list[Found]:
    """Remove the leftovers and return those that are gone. An error keeps one for the next time."""
    gone = []
    for one in leftovers(engine, instance, host, held):
        try:
            if one.kind == "container":
                engine.remove_container(one.name)
            else:
                engine.remove_network(one.name)
        except errors.EngineError as error:
            log.warning("could not remove %s %s: %s", one.kind, one.name, error)
            continue
        log.info("removed left-over %s %s", one.kind, one.name)
        gone.append(one)
    return gone
