"""Looks whether this machine can run jobs: one row a matter, with the mend. It stores the canary's verdict, no more."""

from collections.abc import Callable, Iterator

import requests
from django.db import DatabaseError
from docker.errors import DockerException

from cronium_admin.workers.health import canary
from cronium_admin.workers.health.checks import docker_engine, machine, services
from cronium_admin.workers.health.checks.ceilings import check_ceilings
from cronium_admin.workers.health.checks.log_storage import check_log_storage
from cronium_admin.workers.health.probe import DatabaseCall, HealthProbe, call_directly
from cronium_admin.workers.health.results import CheckResult
from cronium_admin.workers.own_engine import make_own_engine
from executor.checks.isolation import Probe, find_remedy
from executor.docker.errors import EngineError

# In the order in which a newcomer would mend them. Each takes milliseconds where all is well.
CHECKS: dict[str, Callable[[HealthProbe], Iterator[CheckResult]]] = {
    "engine": docker_engine.check_engine,
    "database": services.check_database,
    "ceilings": check_ceilings,
    "images": docker_engine.check_images,
    "broker": services.check_broker,
    "proxies": services.check_proxies,
    "log storage": check_log_storage,
    "data folder": machine.check_data_folder,
    "disk": machine.check_disk,
    "address pool": docker_engine.check_address_pool,
    "reverse path": machine.check_reverse_path,
    "clock": docker_engine.check_clock,
}
_NEED_ENGINE = frozenset({"images", "address pool", "clock"})
NOT_CHECKED = "Could not be checked"


def run_checks(ask: DatabaseCall = call_directly) -> list[CheckResult]:
    """All rows but those of the isolation. While the engine is asked, the database is not held: see `ask`."""
    patient = HealthProbe(ask)
    try:
        return [row for name, check in CHECKS.items() for row in _run_check(name, check, patient)]
    finally:
        patient.close()


def _run_check(
    name: str, check: Callable[[HealthProbe], Iterator[CheckResult]], patient: HealthProbe
) -> list[CheckResult]:
    if name in _NEED_ENGINE and patient.client is None:
        return [CheckResult(name, "warning", "Not checked: there is no engine to ask.", "Mend the engine first.")]
    rows: list[CheckResult] = []
    was_away = patient.is_database_away
    try:
        rows.extend(check(patient))
    except DatabaseError as error:
        mend = "Mend the database first." if was_away else "Mend what the message names."
        rows.append(CheckResult(name, "failed", f"{NOT_CHECKED}: {error}", mend))
    except (DockerException, requests.RequestException, OSError) as error:
        rows.append(CheckResult(name, "failed", f"{NOT_CHECKED}: {error}", "Mend what the message names."))
    return rows


def is_database_away(rows: list[CheckResult]) -> bool:
    return any(row.name == "database" and row.found.startswith(NOT_CHECKED) for row in rows)


def check_isolation(host: str) -> list[CheckResult]:
    """What a run like any other gets through to, in a few seconds; kept as `host`'s verdict."""
    try:
        probes = canary.make_canary(make_own_engine(), host).run()
        canary.store_verdict(host, probes)
    except EngineError as error:
        again = "Mend what the message names, and run doctor again: nothing is known of this host's isolation."
        return [CheckResult("isolation", "warning", str(error), again)]
    except DatabaseError as error:
        return [CheckResult("isolation", "failed", f"{NOT_CHECKED}: {error}", "Mend the database first.")]
    return [_make_probe_result(probe) for probe in probes]


def _make_probe_result(probe: Probe) -> CheckResult:
    name = f"isolation: {probe.name}"
    if probe.held is None:
        return CheckResult(
            name, "warning", f"not tried: {probe.found}", "Look at the message; the other probes were made."
        )
    if probe.held:
        return CheckResult(name, "ok", "held")
    return CheckResult(name, "failed", f"got through: {probe.found}", find_remedy(probe.name))
