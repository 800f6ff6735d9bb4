"""Looks whether this machine can run jobs: one row a matter, with the mend. It stores the canary's verdict, no more."""

from collections.abc import Callable, Iterator

import requests
from django.db import DatabaseError
from docker.errors import DockerException

from cronium_admin.workers.health import canary
from cronium_admin.workers.health.checks import docker_engine, machine, services
from cronium_admin.workers.health.checks.ceilings import ceilings
from cronium_admin.workers.health.checks.log_storage import log_storage
from cronium_admin.workers.health.probe import Ask, Patient, directly
from cronium_admin.workers.health.results import Row
from cronium_admin.workers.own_engine import own_engine
from executor.checks.isolation import Probe, mend
from executor.docker.errors import EngineError

# In the order in which a newcomer would mend them. Each takes milliseconds where all is well.
CHECKS: dict[str, Callable[[Patient], Iterator[Row]]] = {
    "engine": docker_engine.engine,
    "database": services.database,
    "ceilings": ceilings,
    "images": docker_engine.images,
    "broker": services.broker,
    "proxies": services.proxies,
    "log storage": log_storage,
    "data folder": machine.data_folder,
    "disk": machine.disk,
    "address pool": docker_engine.address_pool,
    "reverse path": machine.reverse_path,
    "clock": docker_engine.clock,
}
_NEED_ENGINE = frozenset({"images", "address pool", "clock"})
NOT_CHECKED = "Could not be checked"


def examine(ask: Ask = directly) -> list[Row]:
    """All rows but those of the isolation. While the engine is asked, the database is not held: see `ask`."""
    patient = Patient(ask)
    try:
        return [row for name, check in CHECKS.items() for row in _rows(name, check, patient)]
    finally:
        patient.close()


def _rows(name: str, check: Callable[[Patient], Iterator[Row]], patient: Patient) -> list[Row]:
    if name in _NEED_ENGINE and patient.client is None:
        return [Row(name, "warning", "Not checked: there is no engine to ask.", "Mend the engine first.")]
    rows: list[Row] = []
    was_away = patient.is_database_away
    try:
        rows.extend(check(patient))
    except DatabaseError as error:
        mend = "Mend the database first." if was_away else "Mend what the message names."
        rows.append(Row(name, "failed", f"{NOT_CHECKED}: {error}", mend))
    except (DockerException, requests.RequestException, OSError) as error:
        rows.append(Row(name, "failed", f"{NOT_CHECKED}: {error}", "Mend what the message names."))
    return rows


def is_database_away(rows: list[Row]) -> bool:
    return any(row.name == "database" and row.found.startswith(NOT_CHECKED) for row in rows)


def isolation(host: str) -> list[Row]:
    """What a run like any other gets through to, in a few seconds; kept as `host`'s verdict."""
    try:
        probes = canary.make(own_engine(), host).run()
        canary.store(host, probes)
    except EngineError as error:
        again = "Mend what the message names, and run doctor again: nothing is known of this host's isolation."
        return [Row("isolation", "warning", str(error), again)]
    except DatabaseError as error:
        return [Row("isolation", "failed", f"{NOT_CHECKED}: {error}", "Mend the database first.")]
    return [_probe(probe) for probe in probes]


def _probe(probe: Probe) -> Row:
    name = f"isolation: {probe.name}"
    if probe.held is None:
        return Row(name, "warning", f"not tried: {probe.found}", "Look at the message; the other probes were made.")
    if probe.held:
        return Row(name, "ok", "held")
    return Row(name, "failed", f"got through: {probe.found}", mend(probe.name))
