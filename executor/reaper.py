"""Removes what is left over on this engine: ours by label, of no run that lives."""

import logging
from collections.abc import Callable, Set

from executor import errors
from executor.sandbox import EngineLike
from executor.seen import Found

log = logging.getLogger("cronium.reaper")


def leftovers(engine: EngineLike, instance: str, host: str, living: Callable[[Set[str]], Set[str]]) -> list[Found]:
    """This instance's and host's containers and networks of runs that don't live; containers first.

    `living` says which of the run ids it is given must be left alone. It is asked after the listing: what
    comes to life later has things with other ids.
    """
    ours = [one for one in engine.find_ours(instance) if one.host == host]
    keep = living({one.run_id for one in ours}) if ours else frozenset()
    return sorted((one for one in ours if one.run_id not in keep), key=lambda one: one.kind)


def reap(engine: EngineLike, instance: str, host: str, living: Callable[[Set[str]], Set[str]]) -> list[Found]:
    """Remove the leftovers, by id, and return those that are gone. An error keeps one for the next time."""
    gone = []
    for one in leftovers(engine, instance, host, living):
        try:
            if one.kind == "container":
                engine.remove_container(one.id)
            else:
                engine.remove_network(one.id)
        except errors.EngineError as error:
            log.warning("could not remove %s %s: %s", one.kind, one.name, error, extra={"run_id": one.run_id})
            continue
        log.info("removed left-over %s %s", one.kind, one.name, extra={"run_id": one.run_id})
        gone.append(one)
    return gone
