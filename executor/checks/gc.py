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
    still_active: Callable[[Set[str]], Set[str]],
    orphaned_elsewhere: Callable[[Set[tuple[str, str]]], Set[tuple[str, str]]] = lambda things: frozenset(),
) -> list[EngineObject]:
    """This instance's containers and networks of runs that are over; containers first.

    `still_active` gets this host's run ids and returns the active ones. `orphaned_elsewhere` gets the objects of other
    hosts as (host, run id) and returns the pairs whose host manages them no more. Both are called after the listing: a
    run that starts later has objects with other ids. Raises EngineError if the listing fails.
    """
    listed = engine.list_own_objects(instance)
    own_ids = {item.run_id for item in listed if item.host == host}
    active = still_active(own_ids) if own_ids else frozenset()
    foreign = {(item.host, item.run_id) for item in listed if item.host != host}
    orphaned = orphaned_elsewhere(foreign) if foreign else frozenset()
    leftovers = {(host, run_id) for run_id in own_ids - active} | orphaned
    return sorted((item for item in listed if (item.host, item.run_id) in leftovers), key=lambda item: item.kind)


def collect_leftovers(
    engine: EngineLike,
    instance: str,
    host: str,
    still_active: Callable[[Set[str]], Set[str]],
    orphaned_elsewhere: Callable[[Set[tuple[str, str]]], Set[tuple[str, str]]] = lambda things: frozenset(),
) -> list[EngineObject]:
    """Remove the leftover objects by id, and return the removed ones. After an error the next call retries."""
    removed = []
    for item in list_leftovers(engine, instance, host, still_active, orphaned_elsewhere):
        try:
            if item.kind == "container":
                engine.remove_container(item.id)
            else:
                engine.remove_network(item.id)
        except errors.EngineError as error:
            log.warning("could not remove %s %s: %s", item.kind, item.name, error, extra={"run_id": item.run_id})
            continue
        log.info("removed leftover %s %s", item.kind, item.name, extra={"run_id": item.run_id})
        removed.append(item)
    return removed
