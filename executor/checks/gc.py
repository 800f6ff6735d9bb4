"""Removes what is left over on this engine: ours (see `ownership`), of no run that lives."""

import logging
from collections.abc import Callable, Set

from executor.docker import errors
from executor.docker.models import EngineObject
from executor.sandbox.sandbox import EngineLike

log = logging.getLogger("cronium.reaper")


def list_leftovers(
    engine: EngineLike,
    instance: str,
    host: str,
    living: Callable[[Set[str]], Set[str]],
    deserted: Callable[[Set[tuple[str, str]]], Set[tuple[str, str]]] = lambda things: frozenset(),
) -> list[EngineObject]:
    """This instance's containers and networks of runs that don't live; containers first.

    `living` says which of the ids of this host's runs must be left alone. `deserted` is given what belongs to other
    hosts, as (host, run id), and says what of it nobody sees to any more. Both are asked after the listing: what comes
    to life later has things with other ids. Raises EngineError where there is no listing.
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
    """Remove the leftovers, by id, and return those that are gone. An error keeps one for the next time."""
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
        log.info("removed left-over %s %s", one.kind, one.name, extra={"run_id": one.run_id})
        gone.append(one)
    return gone
