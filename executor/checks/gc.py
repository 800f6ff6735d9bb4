"""Garbage collection: removes leftover containers and networks of this instance (see `ownership`) from the engine."""

import logging
from collections.abc import Callable, Set

from executor.docker import errors
from executor.docker.models import EngineObject
from executor.docker.protocol import EngineLike

log = logging.getLogger("cronium.reaper")


def list_leftovers(
    engine: EngineLike,
    instance: str,
    host: str,
    living: Callable[[Set[str]], Set[str]],
    deserted: Callable[[Set[tuple[str, str]]], Set[tuple[str, str]]] = lambda things: frozenset(),
) -> list[EngineObject]:
    """This instance's containers and networks of runs that are over; containers first.

    `living` returns which of this host's run ids are still active. `deserted` gets the objects of other hosts as (host,
    run id) and returns those that no host manages any more. Both are called after the listing: a run that starts later
    has objects with other ids. Raises EngineError if the listing fails.
    """
    ours = engine.list_own_objects(instance)
    own = {one.run_id for one in ours if one.host == host}
    keep = living(own) if own else frozenset()
    others = {(one.host, one.run_id) for one in ours if one.host != host}
    nobodys = deserted(others) if others else frozenset()
    over = {(host, run_id) for run_id in own - keep} | nobodys
    return sorted((one for one in ours if (one.host, one.run_id) in over), key=lambda one: one.kind)


def collect_leftovers(
    engine: EngineLike,
    instance: str,
    host: str,
    living: Callable[[Set[str]], Set[str]],
    deserted: Callable[[Set[tuple[str, str]]], Set[tuple[str, str]]] = lambda things: frozenset(),
) -> list[EngineObject]:
    """Remove the leftover objects by id, and return the removed ones. After an error the next call retries."""
    gone = []
    for one in list_leftovers(engine, instance, host, living, deserted):
        try:
            if one.kind == "container":
                engine.remove_container(one.id)
            else:
                engine.remove_network(one.id)
        except errors.EngineError as error:
            log.warning("could not remove %s %s: %s", one.kind, one.name, error, extra={"run_id": one.run_id})
            continue
        log.info("removed leftover %s %s", one.kind, one.name, extra={"run_id": one.run_id})
        gone.append(one)
    return gone
